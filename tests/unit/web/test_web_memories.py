"""The memory inspector: what is listed, found, corrected, pinned and forgotten, and what else that reaches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from instar.agent import remember
from instar.channels.web.facts import value_in
from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.records import Fact, Memory, Message, Profile, Scope
from instar.stores.home import Home

ORIGIN = "http://127.0.0.1:8427"
ADA = PersonId("Ada")
SAID = Message(
    id=MessageId("said"),
    channel=ChannelId("web"),
    author=ADA,
    person=ADA,
    text="My birthday is on 3 March.",
    sent_at=datetime(2026, 1, 1, tzinfo=UTC),
)
FACT = Fact(
    attribute="birthday",
    value="3 March",
    text="Ada's birthday is 3 March.",
    source_message_id=SAID.id,
    source_channel=SAID.channel,
    learned_at=SAID.sent_at,
)


@pytest.fixture
async def birthday(home: Home) -> Memory:
    """A fact as the agent learns it: its memory, its episode and its place in the profile."""
    await home.conversations.append(SAID)
    memory = Memory(
        id=remember.fact_memory_id(FACT),
        person=ADA,
        kind="fact",
        text=FACT.text,
        attribute=FACT.attribute,
        value=FACT.value,
        created_at=SAID.sent_at,
        channel=SAID.channel,
        source_message_id=SAID.id,
    )
    await home.memories.remember([memory, *remember.episodes(SAID)])
    await home.profiles.save(Profile(person=ADA, facts=(FACT,)), expected_version=0)
    return memory


async def post(client: httpx.AsyncClient, path: str, **form: str) -> httpx.Response:
    return await client.post(path, data=form, headers={"origin": ORIGIN})


async def texts(home: Home, query: str) -> list[str]:
    return [hit.memory.text for hit in await home.memories.search(query, scope=Scope(ADA))]


async def test_facts_are_listed_with_a_link_to_their_message(client, birthday) -> None:
    page = (await client.get("/memories")).text
    assert "Ada&#39;s birthday is 3 March." in page
    assert 'href="/message?channel=web&amp;id=said"' in page


async def test_a_search_shows_ranks_and_score_and_finds_episodes(client, birthday) -> None:
    page = (await client.get("/memories", params={"query": "birthday"})).text
    assert "words: rank 1" in page
    assert "score 0." in page
    assert "My birthday is on 3 March." in page


async def test_a_search_that_finds_nothing_says_so(client, birthday) -> None:
    assert "fits <q>zebra</q>" in (await client.get("/memories", params={"query": "zebra"})).text


async def test_another_persons_memories_are_not_mixed_in(client, home, birthday) -> None:
    await home.memories.remember([Memory(id=MemoryId("b"), person=PersonId("Ben"), kind="note", text="Ben's birthday")])
    assert "Ben&#39;s birthday" not in (await client.get("/memories")).text
    assert "Ben&#39;s birthday" not in (await client.get("/memories", params={"query": "birthday"})).text
    assert "Ben&#39;s birthday" in (await client.get("/memories", params={"person": "Ben"})).text


async def test_a_correction_supersedes_and_keeps_the_old_text_readable(client, home, birthday) -> None:
    answer = await post(client, "/memories/edit", id=birthday.id, text="Ada's birthday is 4 March.")
    assert answer.headers["location"] == "/memories?person=Ada&done=corrected"
    old = await home.memories.get(birthday.id)
    new = await home.memories.get(old.superseded_by)
    assert (new.text, new.value) == ("Ada's birthday is 4 March.", "4 March")
    assert "<s>Ada&#39;s birthday is 3 March.</s>" in (await client.get("/memories")).text


async def test_a_correction_is_said_in_the_conversation_and_is_the_source_of_the_new_memory(
    client, home, birthday
) -> None:
    await post(client, "/memories/edit", id=birthday.id, text="Ada's birthday is 4 March.")
    new = await home.memories.get((await home.memories.get(birthday.id)).superseded_by)
    said = await home.conversations.get(new.channel, new.source_message_id)
    assert (said.text, said.author, said.person) == ("Correction: Ada's birthday is 4 March.", "Ada", "Ada")
    assert "data-retry" not in (await client.get("/")).text


async def test_what_was_corrected_is_no_longer_recalled_as_it_was_said(client, home, birthday) -> None:
    await post(client, "/memories/edit", id=birthday.id, text="Ada's birthday is 4 March.")
    assert await texts(home, "birthday March") == ["Ada's birthday is 4 March."]


async def test_forgetting_a_corrected_fact_forgets_what_was_first_said_too(client, home, birthday) -> None:
    await post(client, "/memories/edit", id=birthday.id, text="Ada's birthday is 4 March.")
    current = (await home.memories.get(birthday.id)).superseded_by
    await post(client, "/memories/forget", id=current)
    assert await texts(home, "birthday March") == []
    assert (await home.profiles.load(ADA)).profile.facts == ()


async def test_a_correction_reaches_the_profile(client, home, birthday) -> None:
    await post(client, "/memories/edit", id=birthday.id, text="Ada's birthday is 4 March.")
    facts = (await home.profiles.load(ADA)).profile.facts
    assert [(fact.text, fact.value) for fact in facts] == [("Ada's birthday is 4 March.", "4 March")]


async def test_a_corrected_fact_has_the_id_that_a_later_word_on_it_supersedes(client, home, birthday) -> None:
    await post(client, "/memories/edit", id=birthday.id, text="Ada's birthday is 4 March.")
    (fact,) = (await home.profiles.load(ADA)).profile.facts
    assert (await home.memories.get(remember.fact_memory_id(fact))).text == "Ada's birthday is 4 March."


async def test_a_correction_can_be_corrected_back(client, home, birthday) -> None:
    await post(client, "/memories/edit", id=birthday.id, text="Ada's birthday is 4 March.")
    current = (await home.memories.get(birthday.id)).superseded_by
    answer = await post(client, "/memories/edit", id=current, text=birthday.text)
    assert "done=corrected" in answer.headers["location"]
    again = await home.memories.get((await home.memories.get(current)).superseded_by)
    assert (again.text, again.superseded_by) == (birthday.text, None)


async def test_an_empty_correction_is_refused_and_changes_nothing(client, home, birthday) -> None:
    assert (await post(client, "/memories/edit", id=birthday.id, text="  ")).status_code == 400
    assert (await home.memories.get(birthday.id)).superseded_by is None


async def test_the_same_text_is_no_correction(client, home, birthday) -> None:
    answer = await post(client, "/memories/edit", id=birthday.id, text=birthday.text)
    assert "done=unchanged" in answer.headers["location"]
    assert (await home.memories.get(birthday.id)).superseded_by is None


async def test_a_pin_is_set_and_cleared(client, home, birthday) -> None:
    await post(client, "/memories/pin", id=birthday.id, pinned="yes")
    assert (await home.memories.get(birthday.id)).pinned
    await post(client, "/memories/pin", id=birthday.id, pinned="no")
    assert not (await home.memories.get(birthday.id)).pinned


async def test_forgetting_a_fact_takes_it_from_the_profile_and_its_message_from_recall(client, home, birthday) -> None:
    assert len(await texts(home, "birthday")) == 2
    answer = await post(client, "/memories/forget", id=birthday.id, person="Ada")
    assert "done=forgotten" in answer.headers["location"]
    assert await texts(home, "birthday") == []
    assert (await home.profiles.load(ADA)).profile.facts == ()
    assert await home.conversations.get(SAID.channel, SAID.id) is not None


async def test_deleting_the_message_takes_the_answer_and_all_that_was_learned_from_it(client, home, birthday) -> None:
    await home.conversations.append(
        Message(
            id=MessageId("answer"),
            channel=SAID.channel,
            author=PersonId("instar"),
            person=ADA,
            role="agent",
            text="Noted: 3 March.",
            reply_to=SAID.id,
        )
    )
    answer = await post(client, "/message/delete", channel="web", id="said")
    assert answer.headers["location"] == "/conversations?done=deleted"
    assert await home.conversations.window(ChannelId("web"), limit=9) == []
    assert await home.memories.get(birthday.id) is None
    assert await texts(home, "birthday") == []
    assert (await home.profiles.load(ADA)).profile.facts == ()


async def test_deleting_one_message_leaves_the_others_and_what_they_told(client, home, birthday) -> None:
    await home.conversations.append(
        Message(id=MessageId("other"), channel=SAID.channel, author=ADA, person=ADA, text="Another thing.")
    )
    answer = await post(client, "/message/delete", channel="web", id="other")
    assert answer.headers["location"] == "/conversations/web?done=deleted"
    assert [message.id for message in await home.conversations.window(ChannelId("web"), limit=9)] == ["said"]
    assert (await home.profiles.load(ADA)).profile.facts == (FACT,)
    assert len(await texts(home, "birthday")) == 2


async def test_many_memories_come_in_parts_the_newest_first(client, home) -> None:
    await home.memories.remember(
        [
            Memory(
                id=MemoryId(f"{number * 7919 % 1009:04}"),
                person=ADA,
                kind="note",
                text=f"note {number}.",
                created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
            )
            for number in range(150)
        ]
    )
    first = (await client.get("/memories")).text
    assert "note 149." in first
    assert "note 50." in first
    assert "note 49." not in first
    assert 'href="/memories?person=Ada&amp;from=100" rel="next"' in first
    second = (await client.get("/memories", params={"from": "100"})).text
    assert "note 49." in second
    assert "note 50." not in second


async def test_acting_on_a_memory_that_is_gone_says_so(client) -> None:
    for action in ("edit", "pin", "forget"):
        answer = await post(client, f"/memories/{action}", id="gone", text="x")
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Ada's birthday is 4 April.", "4 April"),
        ("Ada's birthday is .", None),
        ("Ada was born on 4 April.", None),
        ("Ada's birthday is 3 March.", "3 March"),
    ],
)
def test_a_value_is_read_from_a_sentence_that_keeps_its_form(text: str, value: str | None) -> None:
    old = Memory(id=MemoryId("m"), person=ADA, kind="fact", text=FACT.text, attribute="birthday", value="3 March")
    assert value_in(text, like=old) == value
