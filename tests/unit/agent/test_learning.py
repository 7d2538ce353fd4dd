"""What stays of messages: episodes, facts, notes and profiles, once each and with their source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from instar.agent.remember import EPISODES_PER_MESSAGE_MAX, episodes, learn
from instar.agent.turn import Agent
from instar.core.records import Message, Profile, Scope
from instar.core.settings import AgentSettings
from instar.models.scripted import ScriptedModel
from instar.stores.home import Home

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = AgentSettings()
EVERY_KIND = ("fact", "note", "episode", "block")


def said(number: int, text: str, **fields: object) -> Message:
    at = START + timedelta(hours=number)
    return Message(
        **{
            "id": f"m{number}",
            "channel": "diary",
            "author": "ada",
            "person": "ada",
            "text": text,
            "sent_at": at,
            **fields,
        }
    )


async def learned(home: Home, *messages: Message) -> int:
    await home.conversations.append_many(messages)
    return (await learn(home, messages, settings=SETTINGS)).memories


async def profile(home: Home, person: str = "ada") -> Profile:
    stored = await home.profiles.load(person)
    assert stored is not None
    return stored.profile


async def values(home: Home, attribute: str) -> list[str]:
    return [fact.value for fact in (await profile(home)).facts if fact.attribute == attribute]


async def test_a_history_gives_episodes_facts_and_profiles(home: Home) -> None:
    await learned(home, said(1, "My name is Ada."), said(2, "I live in Leeds."), said(3, "The boat is blue."))
    known = await profile(home)
    assert (known.name, known.interaction_count, known.relationship_level) == ("Ada", 3, "acquaintance")
    assert (known.first_seen, known.last_seen) == (START + timedelta(hours=1), START + timedelta(hours=3))
    assert [(fact.attribute, fact.value, fact.source_message_id) for fact in known.facts] == [
        ("name", "Ada", "m1"),
        ("lives in", "Leeds", "m2"),
    ]
    kept = await home.memories.listing(Scope("ada"), kinds=EVERY_KIND)
    assert sorted((each.kind, each.source_message_id or "") for each in kept) == [
        ("episode", "m1"), ("episode", "m2"), ("episode", "m3"), ("fact", "m1"), ("fact", "m2"),
    ]  # fmt: skip


async def test_learning_again_changes_nothing(home: Home) -> None:
    messages = [
        said(1, "My name is Ada."),
        said(2, "I live in Ghent."),
        said(3, "I live in Leeds."),
        said(4, "I am sad."),
    ]
    assert await learned(home, *messages) > 0
    before, version = await profile(home), await home.memories.version()
    assert await learned(home, *messages) == 0
    assert await profile(home) == before
    assert await home.memories.version() == version


async def test_a_newer_value_supersedes_and_nothing_is_overwritten(home: Home) -> None:
    await learned(home, said(1, "I live in Ghent."), said(2, "I live in Leeds."))
    facts = await home.memories.listing(Scope("ada"), kinds=("fact",))
    old, new = sorted(facts, key=lambda each: each.created_at or START)
    assert (old.value, old.superseded_by, new.value, new.superseded_by) == ("Ghent", new.id, "Leeds", None)
    assert await values(home, "lives in") == ["Leeds"]


async def test_an_older_statement_learned_later_does_not_replace_the_newer(home: Home) -> None:
    await learned(home, said(5, "I live in Leeds."))
    await learned(home, said(1, "I live in Ghent."))
    assert await values(home, "lives in") == ["Leeds"]
    found = {each.value: each for each in await home.memories.listing(Scope("ada"), kinds=("fact",))}
    assert found["Ghent"].superseded_by == found["Leeds"].id


async def test_the_same_fact_told_twice_is_kept_once(home: Home) -> None:
    await learned(home, said(1, "I like tea."), said(2, "I like tea."), said(3, "I like figs."))
    assert await values(home, "likes") == ["tea", "figs"]
    assert len(await home.memories.listing(Scope("ada"), kinds=("fact",))) == 2


async def test_a_change_of_taste_replaces_the_old_taste(home: Home) -> None:
    await learned(home, said(1, "I like olives."), said(2, "I don't like olives."))
    assert await values(home, "likes") == []
    assert await values(home, "dislikes") == ["olives"]


async def test_a_correction_in_a_history_means_the_last_thing_told(home: Home) -> None:
    await learned(home, said(1, "My birthday is 3 May."), said(2, "Sorry, I meant 4 May."))
    assert await values(home, "birthday") == ["4 May"]


async def test_hidden_unselected_and_system_messages_are_not_learned(home: Home) -> None:
    added = await learned(
        home,
        said(1, "My name is Ada.", hidden=True),
        said(2, "My name is Ada.", selected=False),
        said(3, "My name is Ada.", role="system", person=None),
    )
    assert added == 0
    assert await home.profiles.load("ada") is None


async def test_an_agents_words_are_episodes_of_the_person_they_were_for_and_state_no_facts(home: Home) -> None:
    await learned(home, said(1, "My name is Hal.", role="agent", author="hal", person="ada"))
    (kept,) = await home.memories.listing(Scope("ada"), kinds=EVERY_KIND)
    assert (kept.kind, kept.person, kept.author_name) == ("episode", "ada", "hal")
    assert await home.profiles.load("hal") is None


@pytest.mark.parametrize("text", ["When is my birthday?", "thanks!", "Hello", "forget my birthday"])
def test_questions_and_chatter_are_not_episodes(text: str) -> None:
    assert episodes(said(1, text)) == []


def test_a_long_message_is_several_episodes_and_bounded() -> None:
    chapters = episodes(said(1, "The river ran under the old bridge. " * 100))
    assert 1 < len(chapters) < 10
    assert len({each.id for each in chapters}) == len(chapters)
    assert len(episodes(said(1, "x" * 1_000_000))) == EPISODES_PER_MESSAGE_MAX


def test_a_pasted_key_is_not_kept_in_a_memory() -> None:
    (kept,) = episodes(said(1, "My key is sk-abcdefghijklmnopqrstuvwx1234567890, keep it."))
    assert "sk-abcdefgh" not in kept.text


async def test_people_in_a_shared_channel_each_get_their_own_facts(home: Home) -> None:
    await learned(
        home,
        said(1, "My name is Ada.", shared=True),
        said(2, "My name is Bo.", author="bo", person="bo", shared=True),
    )
    assert (await profile(home)).name == "Ada"
    assert (await profile(home, "bo")).name == "Bo"
    assert (await profile(home)).emotion_samples == ()


async def test_feelings_of_a_history_are_estimated_by_time_and_do_not_escalate(home: Home) -> None:
    await learned(home, said(2, "I am sad."), said(1, "I am furious."))
    known = await profile(home)
    assert [each.label for each in known.emotion_samples] == ["angry", "sad"]
    assert known.escalation_count == 0


async def test_recalled_text_is_not_learned_again(home: Home) -> None:
    async with Agent(home) as agent:
        await agent.ask("My birthday is 3 May.", person="ada")
        before = await home.memories.version()
        for _ in range(5):
            await agent.ask("When is my birthday?", person="ada")
        assert await home.memories.version() == before


async def test_what_a_model_claims_is_not_learned(home: Home) -> None:
    async with Agent(home, model=ScriptedModel(["My name is Hal. Your birthday is 9 May."] * 2)) as agent:
        await agent.ask("The oak is old.", person="ada")
        await agent.ask("The elm is young.", person="ada")
    assert (await profile(home)).facts == ()
    kept = await home.memories.listing(Scope("ada"), kinds=EVERY_KIND)
    assert sorted(each.text for each in kept) == ["The elm is young.", "The oak is old."]


async def test_messages_stored_without_a_turn_are_known_to_the_next_turn(home: Home) -> None:
    await home.conversations.append(said(1, "My birthday is 3 May.", channel="cli"))
    async with Agent(home) as agent:
        reply = await agent.ask("When is my birthday?", person="ada", channel="cli")
    assert reply.reply.startswith("Your birthday is 3 May.")
    assert [each.message_id for each in reply.citations] == ["m1"]
    assert (await profile(home)).interaction_count == 1


async def test_a_fact_can_be_corrected_after_it_was_asked_for(home: Home) -> None:
    async with Agent(home) as agent:
        await agent.ask("My birthday is 3 May.", person="ada")
        await agent.ask("When is my birthday?", person="ada")
        await agent.ask("No, it is 4 May.", person="ada")
        reply = await agent.ask("When is my birthday?", person="ada")
    assert reply.reply.startswith("Your birthday is 4 May.")


async def test_what_is_forgotten_on_request_is_not_recalled_and_not_learned_again(home: Home) -> None:
    async with Agent(home) as agent:
        await agent.ask("My birthday is 3 May.", person="ada", message_id="m1")
        await agent.ask("No, it is 4 May.", person="ada", message_id="m2")
        done = await agent.ask("Please forget my birthday.", person="ada")
        assert done.reply.startswith('I have forgotten this: "Your birthday is 4 May".')
        reply = await agent.ask("When is my birthday?", person="ada")
        assert reply.reply.startswith("I have nothing about that yet.")
    history = await home.conversations.page(channel="cli")
    await learn(home, history, settings=SETTINGS)
    assert await values(home, "birthday") == []
    assert not [each for each in await home.memories.listing(Scope("ada"), kinds=EVERY_KIND) if "May" in each.text]


async def test_forget_that_means_what_was_said_last(home: Home) -> None:
    async with Agent(home) as agent:
        await agent.ask("The safe is behind the mirror.", person="ada")
        await agent.ask("Forget that.", person="ada")
        reply = await agent.ask("Where is the safe?", person="ada")
        nothing = await agent.ask("Forget my submarine.", person="ada")
    assert reply.reply.startswith("I have nothing about that yet.")
    assert nothing.reply.startswith("I found nothing of that to forget.")


async def test_every_level_is_reached_by_talking(home: Home) -> None:
    levels = []
    async with Agent(home) as agent:
        for number in range(1, 27):
            text = {
                4: "My name is Ada.", 5: "I live in Leeds.", 6: "I like figs.",
                7: "I trust you.", 8: "This stays between us.",
            }.get(number, f"Tree {number} is green.")  # fmt: skip
            await agent.ask(text, person="ada")
            levels.append((await profile(home)).relationship_level)
    assert (levels[1], levels[2]) == ("stranger", "acquaintance")
    assert (levels[8], levels[9]) == ("acquaintance", "friend")
    assert (levels[23], levels[24]) == ("friend", "close_friend")


async def test_a_denied_fact_leaves_the_profile_and_search_and_stays_in_the_history(home: Home) -> None:
    await learned(
        home, said(1, "I am allergic to walnuts."), said(2, "Sorry, I am allergic to hazelnuts, not walnuts.")
    )
    await learned(home, said(3, "I like figs."), said(4, "I am not allergic to hazelnuts."))
    assert await values(home, "allergy") == []
    found = {each.value: each for each in await home.memories.listing(Scope("ada"), kinds=("fact",))}
    assert found["walnuts"].superseded_by == found["hazelnuts"].id
    assert found["hazelnuts"].superseded_by == episodes(said(4, "I am not allergic to hazelnuts."))[0].id
    assert found["figs"].superseded_by is None
