"""What a person does in the browser, in one call."""

from __future__ import annotations

from playwright.async_api import Page

from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message
from instar.stores.home import Home


async def say(page: Page, text: str) -> None:
    """Send a message and wait until the reply is stored and shown."""
    replies = page.locator(".message.agent:not(.writing):not(.failed)")
    before = await replies.count()
    await page.fill("#text", text)
    await page.keyboard.press("Enter")
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
