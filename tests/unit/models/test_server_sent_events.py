from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.core.errors import ModelReplyInvalid
from instar.models.server_sent_events import EventParser

LINES = st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
EVENTS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=6)


def _parsed(chunks, *, event_max_bytes=10_000):
    parser = EventParser(event_max_bytes=event_max_bytes)
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events + list(parser.end())


@given(EVENTS, st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_events_are_the_same_however_they_are_cut_and_whatever_ends_a_line(events, end, data):
    wire = "".join(
        "".join(f"data: {line}{end}" for line in lines) + f": comment{end}id: 7{end}{end}" for lines in events
    )
    text = wire.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    chunks = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert _parsed(chunks) == ["\n".join(lines) for lines in events]


@pytest.mark.parametrize(
    ("wire", "events"),
    [
        (b"data:no space\n\n", ["no space"]),
        (b"data:  one space stays\n\n", [" one space stays"]),
        (b"data\n\n", [""]),
        (b"\xef\xbb\xbfdata: after a byte order mark\n\n", ["after a byte order mark"]),
        (b"event: ping\n\n\n\n", []),
        (b"data: without the blank line", ["without the blank line"]),
        (b"data: \xff\n\n", ["\ufffd"]),
        (b"", []),
    ],
)
def test_odd_but_legal_forms(wire, events):
    assert _parsed([wire]) == events
    assert _parsed([wire[at : at + 1] for at in range(len(wire))]) == events


@pytest.mark.parametrize("wire", [b"data: " + b"x" * 200, b"data: 0123456789\n" * 20])
def test_an_event_that_does_not_end_is_refused(wire):
    with pytest.raises(ModelReplyInvalid, match="without an end"):
        _parsed([wire, wire], event_max_bytes=100)
