"""What a turn may see: one's own, and what was said among several people where one took part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from instar.agent.recall import recall, visible_window
from instar.agent.remember import learn
from instar.agent.turn import Agent
from instar.core.clock import ManualClock
from instar.core.records import Message
from instar.core.settings import AgentSettings
from instar.models.scripted import ScriptedModel
from instar.stores.home import Home

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = AgentSettings()


def said(number: int, author: str, text: str, *, channel: str, shared: bool) -> Message:
    at = START + timedelta(minutes=number)
    return Message(id=f"m{number}", channel=channel, author=author, person=author, text=text, sent_at=at, shared=shared)


async def talk(home: Home, *messages: Message) -> None:
    await home.conversations.append_many(messages)
    await learn(home, messages, settings=SETTINGS)


async def recalled(home: Home, question: Message) -> set[str]:
    known = await recall(home, question, settings=SETTINGS, now=START)
    return {each.text for each in known.evidence} | {each.text for each in known.window}


async def test_two_people_in_a_channel_of_the_same_name_never_see_each_other(home: Home) -> None:
    await talk(home, said(1, "ada", "The vault code is 4411.", channel="cli", shared=False))
    question = said(2, "bob", "What is the vault code?", channel="cli", shared=False)
    assert await recalled(home, question) == set()
    async with Agent(home) as agent:
        reply = await agent.ask("What is the vault code?", person="bob")
    assert reply.citations == ()
    assert "4411" not in reply.reply


async def test_a_question_in_a_shared_channel_finds_what_the_others_said(home: Home) -> None:
    await talk(home, said(1, "tag", "Ring tomatoes with crushed shells.", channel="club", shared=True))
    question = said(2, "ada", "What did tag say about tomatoes?", channel="club", shared=True)
    assert "Ring tomatoes with crushed shells." in await recalled(home, question)


async def test_alone_with_the_agent_one_reaches_the_shared_channels_one_took_part_in(home: Home) -> None:
    await talk(
        home,
        said(1, "tag", "Ring tomatoes with crushed shells.", channel="club", shared=True),
        said(2, "ada", "I will try the shells.", channel="club", shared=True),
    )
    asked = "What was said about tomatoes?"
    assert "Ring tomatoes with crushed shells." in await recalled(
        home, said(3, "ada", asked, channel="cli", shared=False)
    )
    assert await recalled(home, said(4, "eve", asked, channel="cli", shared=False)) == set()


async def test_what_was_told_to_the_agent_alone_is_not_brought_up_among_others(home: Home) -> None:
    await talk(
        home,
        said(1, "ada", "My birthday is 3 May.", channel="cli", shared=False),
        said(2, "ada", "My favourite tomato is Black Krim.", channel="club", shared=True),
    )
    question = said(3, "ada", "When is my birthday?", channel="club", shared=True)
    assert not any("3 May" in text for text in await recalled(home, question))
    async with Agent(home) as agent:
        reply = await agent.ask("What is my favourite tomato?", person="ada", channel="club", shared=True)
    assert "Black Krim" in reply.reply


async def test_a_question_about_oneself_looks_only_at_ones_own_words(home: Home) -> None:
    await talk(
        home,
        said(1, "tag", "My dentist appointment is on Friday.", channel="club", shared=True),
        said(2, "ada", "Mine is later.", channel="club", shared=True),
    )
    question = said(3, "ada", "When is my dentist appointment?", channel="cli", shared=False)
    known = await recall(home, question, settings=SETTINGS, now=START)
    assert not [each for each in known.evidence if each.author == "tag"]


async def test_the_window_looks_past_the_words_of_others_for_ones_own(home: Home) -> None:
    await talk(home, said(1, "ada", "The boat is blue.", channel="web", shared=False))
    await talk(home, *(said(n, "bob", f"Tree {n} is green.", channel="web", shared=False) for n in range(2, 40)))
    newest = said(50, "ada", "And the mast is white.", channel="web", shared=False)
    assert [each.text for each in await visible_window(home, newest, limit=20)] == ["The boat is blue."]


async def test_the_prompt_holds_only_what_the_person_may_see(home: Home, clock: ManualClock) -> None:
    model = ScriptedModel(["Fine."] * 4)
    async with Agent(home, model=model, clock=clock) as agent:
        await agent.ask("The vault code is 4411.", person="ada", channel="web")
        await agent.ask("The oak is old.", person="bob", channel="web")
        await agent.ask("Tell me about the vault code, the oak and everything.", person="bob", channel="web")
    prompt = "\n".join(each.content for each in model.requests[-1].messages)
    assert "oak is old" in prompt
    assert "4411" not in prompt


async def test_evidence_names_author_time_and_message(home: Home) -> None:
    await talk(home, said(1, "tag", "Ring tomatoes with crushed shells.", channel="club", shared=True))
    question = said(2, "ada", "What did tag say about tomatoes?", channel="club", shared=True)
    known = await recall(home, question, settings=SETTINGS, now=START)
    best = known.evidence[0]
    assert (best.author, best.message_id, best.channel, best.own) == ("tag", "m1", "club", False)
    assert best.said_at == START + timedelta(minutes=1)
    assert known.hits[0].why.word_rank == 1


async def test_a_deleted_message_is_not_evidence(home: Home) -> None:
    await talk(home, said(1, "ada", "The boat is blue.", channel="cli", shared=False))
    await home.conversations.delete("cli", "m1")
    await home.memories.forget_message([("cli", "m1")])
    assert await recalled(home, said(2, "ada", "What colour is the boat?", channel="cli", shared=False)) == set()
