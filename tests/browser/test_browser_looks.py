"""How the pages look: they fit a phone, keep contrast in both schemes, show focus, and honour reduced motion."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_steps import say, send
from playwright.async_api import Page

from instar.models.scripted import Hang, ScriptedModel

pytestmark = pytest.mark.browser

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
PAGES = {
    "chat": "/",
    "memories": "/memories",
    "search": "/memories?query=Lisbon",
    "history": "/conversations",
    "conversation": "/conversations/web?at=1",
    "people": "/people",
    "person": "/people/Ada",
    "status": "/status",
    "welcome": "/welcome",
    "error": "/nowhere",
}
# WCAG 2.2, 1.4.3: 4.5 to 1, or 3 to 1 from 24 px, or from 18.66 px when bold.
LOW_CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const behind = (element) => { const chain = []; for (let at = element; at; at = at.parentElement) chain.unshift(at);
    return chain.reduce((under, at) => over(rgba(getComputedStyle(at).backgroundColor), under), [255, 255, 255, 1]); };
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => { const [hi, lo] = [light(a), light(b)].sort((x, y) => y - x); return (hi + 0.05) / (lo + 0.05); };
  const low = []; let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".hidden, .skip, option")) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize), ground = behind(element);
    const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const found = ratio(over(rgba(style.color), ground), ground);
    seen += 1;
    if (found < needed) low.push(`${walker.currentNode.data.trim().slice(0, 30)}: ${found.toFixed(2)}`);
  }
  return { seen, low };
}"""


@pytest.fixture
async def lived_in(site):
    """A served home with something on every page."""
    served = await site()
    page = await served.window()
    for text in (
        "My sister Mira lives in Lisbon, near the river.",
        "I am so happy: we are going to visit her in May!",
        "Where does my sister Mira live?",
        "```\n" + "a very long line of code that does not fit on a phone " * 3 + "\n```",
        "https://example.org/" + "a-very-long-address-without-a-place-to-break/" * 4,
    ):
        await say(page, text)
    await page.locator(".recalled summary").last.click()
    return served


async def test_every_page_fits_a_phone_without_sideways_scrolling(lived_in, pictures: Path) -> None:
    page = await lived_in.window(viewport=PHONE, has_touch=True)
    too_wide = []
    for name in PAGES:
        await _open(lived_in, page, name)
        await page.screenshot(path=pictures / f"{name}-phone.png")
        widest = max(await page.evaluate("document.documentElement.scrollWidth"), await _widest(page))
        too_wide += [f"{name}: {widest}"] if widest > PHONE["width"] else []
    assert too_wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_text_of_every_page_keeps_its_contrast(lived_in, pictures: Path, scheme: str) -> None:
    page = await lived_in.window(color_scheme=scheme)
    low = []
    for name in PAGES:
        await _open(lived_in, page, name)
        await page.screenshot(path=pictures / f"{name}-{scheme}.png")
        await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        found = await page.evaluate(LOW_CONTRAST)
        assert found["seen"] > 5
        low += [f"{name}: {text}" for text in found["low"]]
    assert low == []


async def test_dark_mode_is_dark(lived_in) -> None:
    page = await lived_in.window(color_scheme="dark")
    colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")) < 60


async def test_every_control_shows_its_focus(lived_in) -> None:
    page = await lived_in.window()
    await page.goto(f"{lived_in.url}/memories")
    for _ in range(15):
        await page.keyboard.press("Tab")
        assert (
            await page.evaluate(
                "() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.outlineWidth; }"
            )
            == "solid3px"
        )


async def test_every_control_has_a_name(lived_in) -> None:
    page = await lived_in.window()
    for name in PAGES:
        await _open(lived_in, page, name)
        unnamed = await page.evaluate(
            """() => [...document.querySelectorAll("a, button, summary, input:not([type=hidden]), textarea, select")]
              .filter((e) => e.checkVisibility())
              .filter((e) => !(e.textContent.trim() || e.ariaLabel || [...(e.labels ?? [])].some((l) => l.textContent.trim())))
              .map((e) => e.outerHTML)"""
        )
        assert unnamed == []


async def test_reduced_motion_stills_the_writing_mark(site) -> None:
    hang = Hang()
    served = await site(ScriptedModel([["Slowly", hang, "."]]))
    page = await served.window(reduced_motion="reduce")
    await send(page, "Go")
    await page.get_by_text("Slowly").wait_for()
    mark = "getComputedStyle(document.querySelector('.writing .text'), '::after').animationName"
    assert await page.evaluate(mark) == "none"
    hang.release()
    await page.locator(".writing").wait_for(state="detached")


async def test_an_answer_found_in_another_conversation_is_shown_with_what_it_rests_on(site, pictures: Path) -> None:
    served = await site()
    for channel, text in (
        ("garden", "The tomatoes want water every second day."),
        ("recipes", "I am allergic to peanuts, and I love lemon cake."),
        ("family", "My sister Mira lives in Lisbon, near the river."),
    ):
        await served.agent.ask(text, person="Ada", channel=channel)
    page = await served.window()
    await page.goto(f"{served.url}/?channel=Lisbon in May")
    await say(page, "Where does my sister Mira live?")
    answer = page.locator(".message.agent")
    assert "Mira lives in Lisbon, near the river." in await answer.locator(".text").inner_text()
    assert "Ada in family" in await answer.locator(".citations").inner_text()
    await page.reload()
    await answer.locator(".recalled summary").click()
    await page.screenshot(path=pictures / "chat.png")


async def _open(served, page: Page, name: str) -> None:
    await page.goto(served.url + PAGES[name])
    if name == "error":
        served.troubles[:] = [trouble for trouble in served.troubles if "404" not in trouble]  # it was asked for


async def _widest(page: Page) -> float:
    """The right edge of the widest visible element that does not scroll inside itself."""
    return await page.evaluate(
        """() => Math.max(...[...document.querySelectorAll("body *")]
          .filter((e) => e.checkVisibility() && !e.closest("pre, nav, .skip"))
          .map((e) => e.getBoundingClientRect().right))"""
    )
