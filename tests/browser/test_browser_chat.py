"""The chat as a person meets it: streamed, stopped, retried, cited, by keyboard, and never run as HTML."""

from __future__ import annotations

import pytest
from browser_steps import ready, say, send, tell

from instar.core.errors import ModelUnreachable
from instar.core.ids import ChannelId
from instar.models.scripted import Hang, ScriptedModel

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script> **bold** `code`\nsecond line'


async def test_a_reply_is_visible_in_part_before_its_end(site) -> None:
    hang = Hang()
    served = await site(ScriptedModel([["The first half", hang, " and the second."]]))
    page = await served.window()
    await send(page, "Tell me")
    await hang.reached.wait()
    writing = page.locator(".message.writing")
    await page.get_by_text("The first half", exact=True).wait_for()
    assert await writing.count() == 1
    assert await page.locator("#messages").get_attribute("aria-busy") == "true"
    hang.release()
    await page.get_by_text("The first half and the second.").wait_for()
    await writing.wait_for(state="detached")
    assert await page.locator("#messages").get_attribute("aria-busy") is None


async def test_the_extractive_responder_answers_with_a_citation_that_leads_to_the_message(site) -> None:
    served = await site()
    page = await served.window()
    await say(page, "My sister Mira lives in Lisbon.")
    await say(page, "Where does my sister Mira live?")
    reply = page.locator(".message.agent").last
    assert "Lisbon" in await reply.locator(".text").inner_text()
    await reply.locator(".citations a").first.click()
    marked = page.locator(".message.marked")
    assert "My sister Mira lives in Lisbon." in await marked.inner_text()
    assert await marked.evaluate("element => element === document.activeElement")


async def test_a_citation_from_another_conversation_opens_it_there_and_marks_the_message(site) -> None:
    served = await site()
    page = await served.window()
    await page.goto(f"{served.url}/?channel=garden")
    await say(page, "The key to the shed hangs behind the blue door.")
    await page.goto(f"{served.url}/?channel=kitchen")
    await say(page, "Where does the key to the shed hang?")
    await page.locator(".message.agent .citations a").first.click()
    await page.wait_for_url("**/conversations/garden?at=1#m-1")
    assert "behind the blue door" in await page.locator(".message.marked").inner_text()


async def test_what_was_recalled_is_shown_with_its_reasons(site) -> None:
    served = await site()
    page = await served.window()
    await say(page, "My sister Mira lives in Lisbon.")
    await say(page, "Where does my sister Mira live?")
    recalled = page.locator(".message.agent .recalled").last
    await recalled.locator("summary").click()
    assert "words: rank 1" in await recalled.inner_text()


async def test_stop_keeps_what_was_shown_and_the_composer_is_ready_again(site) -> None:
    hang = Hang()
    served = await site(ScriptedModel([["Only this much", hang, " and never this."]]))
    page = await served.window()
    await send(page, "Tell me everything")
    await page.get_by_text("Only this much").wait_for()
    await page.click("#stop")
    await page.locator(".writing").wait_for(state="detached")
    window = await served.home.conversations.window(ChannelId("web"), limit=5)
    assert [message.text for message in window] == ["Tell me everything", "Only this much"]
    assert await page.locator("#send").is_visible()
    assert not await page.locator("#stop").is_visible()


async def test_escape_stops_before_the_first_word_and_retry_answers(site) -> None:
    hang = Hang()
    served = await site(ScriptedModel([[hang, "too late"], "Here I am."]))
    page = await served.window()
    await send(page, "Hello")
    await hang.reached.wait()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Retry").click()
    await page.get_by_text("Here I am.").wait_for()
    assert await page.locator(".message").count() == 2


async def test_a_failed_model_is_shown_and_retry_answers_the_same_message_once(site) -> None:
    failure = ModelUnreachable("the model does not answer", why="nothing listens there", next="start the model")
    served = await site(ScriptedModel([failure, "Now I can."]))
    page = await served.window()
    await send(page, "Are you there?")
    alert = page.get_by_role("alert")
    await alert.wait_for()
    shown = await alert.inner_text()
    for part in ("the model does not answer", "nothing listens there", "Next: start the model"):
        assert part in shown
    await alert.get_by_role("button", name="Retry").click()
    await page.get_by_text("Now I can.").wait_for()
    await alert.wait_for(state="detached")
    window = await served.home.conversations.window(ChannelId("web"), limit=5)
    assert [message.text for message in window] == ["Are you there?", "Now I can."]


async def test_a_message_refused_before_it_is_stored_says_why(site) -> None:
    served = await site()
    page = await served.window()
    await send(page, "a \u0007 bell")
    alert = page.get_by_role("alert")
    await alert.wait_for()
    assert "control character U+0007" in await alert.inner_text()


async def test_html_in_messages_is_shown_as_text_while_streaming_and_stored(site) -> None:
    hang = Hang()
    served = await site(ScriptedModel([[HOSTILE, hang, "."]]))
    page = await served.window()
    title = await page.title()
    await send(page, HOSTILE)
    await hang.reached.wait()
    await page.locator(".writing .text", has_text="<script>").wait_for()
    hang.release()
    await page.locator(".writing").wait_for(state="detached")
    for path in ("/", "/conversations/web"):
        await page.goto(served.url + path)
        for text in await page.locator(".message .text").all_inner_texts():
            assert '<img src=x onerror="document.title=1"><script>document.title=2</script>' in text
        assert await page.locator(".text img, .text script").count() == 0
        assert await page.locator(".text strong", has_text="bold").count() == 2
        assert await page.title() in {title, "web · instar"}


async def test_names_with_html_are_shown_as_text(site) -> None:
    served = await site()
    await tell(served.home, "<b>channel</b>", "hello", person="<i>Eve</i>")
    page = await served.window()
    for path in ("/conversations", "/people", "/conversations/%3Cb%3Echannel%3C%2Fb%3E"):
        await page.goto(served.url + path)
        assert await page.locator("main b, main i").count() == 0
        assert "<i>Eve</i>" in await page.locator("main").inner_text()


async def test_shift_enter_makes_a_line_and_enter_sends(site) -> None:
    served = await site(ScriptedModel(["Read."]))
    page = await served.window()
    await ready(page)
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await page.get_by_text("Read.").wait_for()
    window = await served.home.conversations.window(ChannelId("web"), limit=5)
    assert window[0].text == "one\ntwo"


async def test_reloading_in_the_middle_of_a_reply_goes_on_with_it(site) -> None:
    hang = Hang()
    served = await site(ScriptedModel([["Before the reload", hang, " and after."]]))
    page = await served.window()
    await send(page, "Tell me")
    await page.get_by_text("Before the reload").wait_for()
    await page.reload()
    await page.get_by_text("Before the reload").wait_for()
    hang.release()
    await page.get_by_text("Before the reload and after.").wait_for()
    await page.locator(".writing").wait_for(state="detached")
    assert await page.locator(".message").count() == 2


async def test_the_link_signs_in_asks_for_a_name_and_leads_to_the_chat_by_keyboard_alone(site) -> None:
    served = await site(ScriptedModel(["Welcome."]))
    page = await served.window()
    await page.goto(f"{served.url}/welcome")
    await page.keyboard.press("Control+A")
    await page.keyboard.type("Grace Hopper")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{served.url}/")
    await ready(page)
    await page.keyboard.type("Hello")
    await page.keyboard.press("Enter")
    await page.get_by_text("Welcome.").wait_for()
    assert await page.locator(".talking a").inner_text() == "Grace Hopper"
    assert [count.person for count in await served.home.conversations.people()] == ["Grace Hopper"]


async def test_a_new_conversation_is_opened_by_name_and_listed_after_its_first_message(site) -> None:
    served = await site(ScriptedModel(["Noted."]))
    page = await served.window()
    await page.fill("#new-channel", "Lisbon trip / May")
    await page.keyboard.press("Enter")
    await page.locator("h1", has_text="Lisbon trip / May").wait_for()
    await say(page, "Pack the camera")
    await page.reload()
    assert await page.locator(".conversations .name").all_inner_texts() == ["Lisbon trip / May"]
