"""Message text becomes HTML without ever contributing markup of its own."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from instar.channels.web.prose import prose

ALLOWED = {"p", "br", "code", "strong", "pre"}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(str(prose(text)))
    tags.close()
    return tags


def test_html_in_a_message_is_shown_as_text() -> None:
    assert prose('<img src=x onerror="alert(1)">') == "<p>&lt;img src=x onerror=&#34;alert(1)&#34;&gt;</p>"


def test_html_inside_code_and_bold_is_shown_as_text() -> None:
    assert prose("`<b>` **<i>**") == "<p><code>&lt;b&gt;</code> <strong>&lt;i&gt;</strong></p>"


def test_line_breaks_are_kept_and_blank_lines_part_paragraphs() -> None:
    assert prose("one\ntwo\n\nthree") == "<p>one<br>two</p><p>three</p>"


def test_a_fenced_block_is_code_and_keeps_its_lines() -> None:
    assert prose("so:\n```python\na = 1\n\nb = **2**\n```\ndone") == (
        '<p>so:</p><pre tabindex="0"><code>a = 1\n\nb = **2**</code></pre><p>done</p>'
    )


def test_a_fence_that_never_closes_is_code_to_the_end() -> None:
    assert prose("```\n<script>") == '<pre tabindex="0"><code>&lt;script&gt;</code></pre>'


def test_single_stars_are_no_markup() -> None:
    assert prose("2 * 3 * 4 and ** not bold **") == "<p>2 * 3 * 4 and ** not bold **</p>"


@given(st.text(alphabet=st.sampled_from("<>&\"'`*\n ab/=!-"), max_size=80))
def test_no_text_makes_another_tag_or_attribute(text: str) -> None:
    tags = parsed(text)
    assert tags.tags <= ALLOWED
    assert tags.attributes <= {("tabindex", "0")}


@given(st.text(alphabet="<>&\"'ab\n", max_size=80))
def test_every_visible_character_of_plain_text_is_shown(text: str) -> None:
    assert "".join(parsed(text).text.split()) == "".join(text.split())
