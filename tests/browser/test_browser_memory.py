"""The memory inspector and the people pages in the browser: shown, searched, corrected, pinned, forgotten."""

from __future__ import annotations

import pytest
from browser_steps import say

from instar.core.ids import ChannelId, PersonId

pytestmark = pytest.mark.browser

ADA = PersonId("Ada")


@pytest.fixture
async def told(site):
    """A served home in which Ada told two things, and her window on the memories page."""
    served = await site()
    page = await served.window()
    await say(page, "My birthday is on 3 March.")
    await say(page, "My sister Mira lives in Lisbon.")
    await page.goto(f"{served.url}/memories")
    return served, page


def card_of(page, text: str):
    return page.locator(".card", has_text=text)


async def press_until(page, target, key: str = "Tab", times: int = 60) -> None:
    """Press a key until `target` has the focus, as someone without a mouse does."""
    for _ in range(times):
        if await target.evaluate("element => element === document.activeElement"):
            return
        await page.keyboard.press(key)
    pytest.fail(f"{key} never reached {target}")


async def test_what_was_told_is_listed_and_links_to_its_message(told) -> None:
    _, page = told
    card = card_of(page, "birthday")
    await card.get_by_role("link", name="source message").click()
    assert "My birthday is on 3 March." in await page.locator(".message.marked").inner_text()


async def test_a_search_shows_why_each_memory_was_found(told) -> None:
    _, page = told
    await page.get_by_label("Search").fill("birthday")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/memories?query=birthday*")
    first = page.locator(".card").first
    assert "birthday" in await first.inner_text()
    assert "words: rank" in await first.locator(".why").inner_text()


async def test_a_correction_made_by_keyboard_changes_the_next_answer(told) -> None:
    served, page = told
    card = card_of(page, "birthday")
    edit = card.locator("summary", has_text="Edit")
    await press_until(page, edit)
    await page.keyboard.press("Enter")
    field = card.get_by_label("Corrected text")
    await press_until(page, field)
    text = await field.input_value()
    await page.keyboard.press("Control+A")
    await page.keyboard.type(text.replace("3 March", "9 June"))
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_role("status").get_by_text("Corrected.").wait_for()
    await page.goto(served.url)
    await say(page, "When is my birthday?")
    assert "9 June" in await page.locator(".message.agent .text").last.inner_text()


async def test_a_pin_lifts_a_memory_to_the_top_and_is_shown(told) -> None:
    _, page = told
    last = page.locator(".card").last
    text = await last.locator(".card-text").inner_text()
    await last.get_by_role("button", name="Pin").click()
    await page.get_by_role("status").get_by_text("Pinned").wait_for()
    first = page.locator(".card").first
    assert await first.locator(".card-text").inner_text() == text
    assert await first.locator(".tag", has_text="pinned").is_visible()
    await first.get_by_role("button", name="Unpin").click()
    await page.get_by_role("status").get_by_text("No longer pinned").wait_for()


async def test_forgetting_by_keyboard_asks_first_and_then_nothing_recalls_it(told) -> None:
    served, page = told
    card = card_of(page, "birthday")
    await press_until(page, card.locator("summary", has_text="Forget"))
    confirm = card.get_by_role("button", name="Forget for good")
    assert not await confirm.is_visible()
    await page.keyboard.press("Enter")
    await press_until(page, confirm)
    await page.keyboard.press("Enter")
    await page.get_by_role("status").get_by_text("Forgotten.").wait_for()
    assert await card_of(page, "birthday").count() == 0
    await page.goto(f"{served.url}/?channel=another")
    await say(page, "When is my birthday?")
    assert "3 March" not in await page.locator(".message.agent").last.inner_text()


async def test_an_estimate_of_feeling_is_labelled_and_can_be_deleted(site) -> None:
    served = await site()
    page = await served.window()
    await say(page, "I am so happy and excited about the garden today!")
    await page.goto(f"{served.url}/people/Ada")
    assert "no diagnosis" in await page.locator("main").inner_text()
    await page.get_by_role("button", name="Delete the estimate").first.click()
    await page.get_by_text("The estimate was deleted.").wait_for()
    stored = await served.home.profiles.load(ADA)
    assert stored.profile.emotion_samples == ()


async def test_a_person_is_forgotten_after_typing_the_name_and_the_receipt_is_shown(told) -> None:
    served, page = told
    await page.goto(f"{served.url}/people/Ada")
    await page.locator("summary", has_text="Forget Ada").click()
    await page.get_by_label("to confirm").fill("Ada")
    await page.keyboard.press("Enter")
    await page.locator("h1", has_text="Ada is forgotten").wait_for()
    receipt = await page.locator(".receipt").inner_text()
    assert "verified absent" in receipt
    assert await served.home.conversations.people() == []
    assert await served.home.conversations.window(ChannelId("web"), limit=9) == []
    await page.goto(f"{served.url}/memories?query=birthday")
    assert await page.locator(".card").count() == 0
