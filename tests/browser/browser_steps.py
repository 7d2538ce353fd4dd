"""What a person does in the browser, in one call."""

from __future__ import annotations

from playwright.async_api import Page

from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message
from instar.stores.home import Home


async def ready(page: Page) -> None:
    """Wait until the composer takes messages."""
    await page.locator("#send:enabled").wait_for()


async def send(page: Page, text: str) -> None:
    """Send a message."""
    await ready(page)
    await page.fill("#text", text)
    await page.keyboard.press("Enter")


async def say(page: Page, text: str) -> None:
    """Send a message and wait until the reply is stored and shown."""
    replies = page.locator(".message.agent:not(.writing):not(.failed)")
    before = await replies.count()
    await send(page, text)
    await replies.nth(before).wait_for()


async def tell(home: Home, channel: str, *texts: str, person: str = "Ada") -> None:
    """Store messages without a turn."""
    await home.conversations.append_many(
        [
            Message(
                id=MessageId(f"{channel}-{number}"),
                channel=ChannelId(channel),
                author=PersonId(person),
                person=PersonId(person),
                text=text,
            )
            for number, text in enumerate(texts)
        ]
    )
