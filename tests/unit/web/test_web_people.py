"""People: what is known of each, estimates that can be deleted, and an erasure that is typed to confirm."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.records import EmotionSample, Fact, Memory, Message, Profile
from instar.stores.home import Home

ORIGIN = "http://127.0.0.1:8427"
ADA = PersonId("Ada")
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def ada(home: Home) -> PersonId:
    await home.conversations.append(
        Message(id=MessageId("1"), channel=ChannelId("web"), author=ADA, person=ADA, text="I am so happy about Rex!")
    )
    await home.memories.remember([Memory(id=MemoryId("n"), person=ADA, kind="note", text="Rex is the dog")])
    await home.profiles.save(
        Profile(
            person=ADA,
            relationship_level="friend",
            interaction_count=12,
            facts=(
                Fact(
                    attribute="pet",
                    value="Rex",
                    text="Ada's dog is Rex.",
                    source_message_id=MessageId("1"),
                    source_channel=ChannelId("web"),
                ),
            ),
            emotion_samples=tuple(
                EmotionSample(
                    label=label, confidence=0.8, intensity=0.5, triggers=("so happy",), at=AT + timedelta(days=day)
                )
                for day, label in enumerate(("happy", "sad"))
            ),
        ),
        expected_version=0,
    )
    return ADA


async def test_everyone_is_listed_with_figures(client: httpx.AsyncClient, ada: PersonId) -> None:
    page = (await client.get("/people")).text
    assert 'href="/people/Ada"' in page
    assert "1 message<" in page
    assert "1 memory<" in page


async def test_a_profile_shows_facts_with_their_source_and_calls_feelings_estimates(client, ada) -> None:
    page = (await client.get("/people/Ada")).text
    assert "Ada&#39;s dog is Rex." in page
    assert 'href="/message?channel=web&amp;id=1"' in page
    assert "perhaps <strong>happy</strong>" in page
    assert "estimate, confidence 80 %" in page
    assert "no diagnosis" in page


async def test_one_estimate_is_deleted_and_the_others_stay(client, home, ada) -> None:
    page = (await client.get("/people/Ada")).text
    newest = page.partition('name="sample" value="')[2].partition('"')[0]
    await client.post("/people/Ada/emotions", data={"sample": newest}, headers={"origin": ORIGIN})
    kept = (await home.profiles.load(ada)).profile.emotion_samples
    assert [sample.label for sample in kept] == ["happy"]


async def test_all_estimates_are_deleted_together(client, home, ada) -> None:
    await client.post("/people/Ada/emotions", data={"sample": "all"}, headers={"origin": ORIGIN})
    assert (await home.profiles.load(ada)).profile.emotion_samples == ()


async def test_an_erasure_needs_the_name_typed(client, home, ada) -> None:
    answer = await client.post("/people/Ada/forget", data={"typed": "ada"}, headers={"origin": ORIGIN})
    assert answer.status_code == 400
    assert "so nothing was erased" in answer.text
    assert await home.profiles.load(ada) is not None


async def test_an_erasure_takes_everything_and_shows_the_receipt(client, home, ada) -> None:
    answer = await client.post("/people/Ada/forget", data={"typed": "Ada"}, headers={"origin": ORIGIN})
    assert answer.status_code == 200
    assert "verified absent" in answer.text
    assert await home.profiles.load(ada) is None
    assert await home.conversations.people() == []
    assert (await client.get("/people/Ada")).status_code == 404


async def test_a_reply_that_runs_during_an_erasure_leaves_nothing_behind(client, home, talker, ada) -> None:
    talker.gate = asyncio.Event()
    running = asyncio.create_task(client.post("/api/chat", json={"text": "Tell me", "message_id": "m1"}))
    await talker.at_gate.wait()
    await client.post("/people/Ada/forget", data={"typed": "Ada"}, headers={"origin": ORIGIN})
    assert "event: stopped" in (await running).text
    assert await home.conversations.channels() == []


async def test_status_shows_figures_of_the_home_and_who_answers(client, ada) -> None:
    page = (await client.get("/status")).text
    for shown in ("memory:", "hashing of spelling", "extractive responder", "messages", "KiB"):
        assert shown in page
