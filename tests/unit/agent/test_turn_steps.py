"""A turn against a home in memory: what is stored, what is answered, and what happens when things go wrong."""

from __future__ import annotations

import asyncio

import pytest

from instar.agent.remember import EPISODES_PER_MESSAGE_MAX
from instar.agent.reply import Recalled, Replied, ReplyDelta, reply_id_of
from instar.agent.turn import Agent
from instar.core.clock import ManualClock
from instar.core.errors import (
    MessageUnknown,
    ModelReplyInvalid,
    ModelUnreachable,
    RecordInvalid,
    RecordTooLarge,
)
from instar.core.limits import MESSAGE_TEXT_MAX_BYTES
from instar.core.records import Message, Scope
from instar.core.settings import AgentSettings
from instar.models.scripted import Hang, ScriptedModel
from instar.stores.home import Home


async def texts(home: Home, channel: str = "cli") -> list[str]:
    return [each.text for each in await home.conversations.window(channel, limit=100)]


async def test_a_reply_is_in_the_conversation_when_the_caller_gets_it(home: Home, clock: ManualClock) -> None:
    async with Agent(home, model=ScriptedModel(["Good morning."]), clock=clock) as agent:
        reply = await agent.ask("Hello there, old oak", person="ada", message_id="m1")
    kept = await home.conversations.get("cli", reply.reply_id)
    assert kept is not None
    assert (kept.text, kept.reply_to, kept.role, kept.person) == ("Good morning.", "m1", "agent", "ada")
    assert (reply.responder.kind, reply.message_id) == ("scripted", "m1")
    assert await home.workflows.unfinished("turn") == []


async def test_a_stream_shows_what_was_recalled_then_the_reply_then_the_whole(home: Home) -> None:
    async with Agent(home, model=ScriptedModel([("Good ", "morning.")])) as agent:
        events = [event async for event in agent.stream("The oak is old.", person="ada")]
    assert isinstance(events[0], Recalled)
    assert [event.text for event in events if isinstance(event, ReplyDelta)] == ["Good ", "morning."]
    assert isinstance(events[-1], Replied)
    assert events[-1].reply.reply == "Good morning."


@pytest.mark.parametrize("text", ["", "   ", "\n\t "])
async def test_an_empty_message_is_refused_before_anything_is_written(home: Home, text: str) -> None:
    async with Agent(home) as agent:
        with pytest.raises(RecordInvalid, match="empty"):
            await agent.ask(text, person="ada")
    assert await home.conversations.channels() == []
    assert await home.workflows.unfinished("turn") == []


async def test_a_control_character_is_refused_by_name_and_place(home: Home) -> None:
    async with Agent(home) as agent:
        with pytest.raises(RecordInvalid, match=r"U\+0000 at character 4"):
            await agent.ask("abc\x00", person="ada")
        with pytest.raises(RecordInvalid, match=r"U\+0085"):
            await agent.ask("a\x85b", person="ada")
        with pytest.raises(RecordInvalid, match="person"):
            await agent.ask("fine", person="a\x1bda")
    assert await home.conversations.channels() == []


async def test_line_ends_of_other_systems_are_newlines(home: Home) -> None:
    async with Agent(home) as agent:
        await agent.ask("one\r\ntwo\rthree\tfour", person="ada", message_id="m1")
    kept = await home.conversations.get("cli", "m1")
    assert kept is not None
    assert kept.text == "one\ntwo\nthree\tfour"


async def test_too_long_a_message_is_refused_before_anything_is_written(home: Home) -> None:
    async with Agent(home) as agent:
        with pytest.raises(RecordTooLarge):
            await agent.ask("x" * (MESSAGE_TEXT_MAX_BYTES + 1), person="ada")
    assert await home.conversations.channels() == []


async def test_a_message_delivered_again_gets_the_same_reply_with_its_citations(home: Home) -> None:
    async with Agent(home) as agent:
        await agent.ask("My birthday is 3 May.", person="ada")
        first = await agent.ask("When is my birthday?", person="ada", message_id="m2")
    async with Agent(home) as agent:
        again = await agent.ask("When is my birthday?", person="ada", message_id="m2")
    assert again == first
    assert [each.text for each in first.citations] == ["My birthday is 3 May."]
    assert len(await texts(home)) == 4


async def test_three_deliveries_at_the_same_moment_are_one_turn(home: Home) -> None:
    hang = Hang()
    model = ScriptedModel([("One ", hang, "reply.")])
    async with Agent(home, model=model) as agent:
        asked = [asyncio.create_task(agent.ask("The oak.", person="ada", message_id="m1")) for _ in range(3)]
        await hang.reached.wait()
        hang.release()
        replies = await asyncio.gather(*asked)
    assert replies[0] == replies[1] == replies[2]
    assert len(model.requests) == 1
    assert await texts(home) == ["The oak.", "One reply."]


async def test_an_id_never_gives_out_the_reply_to_somebody_else(home: Home) -> None:
    hang = Hang()
    async with Agent(home, model=ScriptedModel([("Secret ", hang, "of Ada.")])) as agent:
        asked = asyncio.create_task(agent.ask("My oak.", person="ada", message_id="m1"))
        await hang.reached.wait()
        with pytest.raises(RecordInvalid, match="another message"):
            await agent.ask("My oak.", person="bob", message_id="m1")
        hang.release()
        await asked
        with pytest.raises(RecordInvalid, match="another message"):
            await agent.ask("My oak.", person="bob", message_id="m1")
        with pytest.raises(RecordInvalid, match="another message"):
            await agent.ask("Another text.", person="ada", message_id="m1")
    assert await home.profiles.load("bob") is None


async def test_a_deleted_message_delivered_late_is_not_answered(home: Home) -> None:
    async with Agent(home, model=ScriptedModel(["Yes."])) as agent:
        await home.conversations.append(Message(id="m1", channel="cli", author="ada", text="The oak."))
        await home.conversations.delete("cli", "m1")
        with pytest.raises(MessageUnknown, match="deleted"):
            await agent.ask("The oak.", person="ada", message_id="m1")
    assert await texts(home) == []
    assert await home.workflows.unfinished("turn") == []


async def test_a_failing_model_leaves_the_message_and_no_reply_and_asking_again_works(home: Home) -> None:
    failure = ModelUnreachable("nothing answers", why="refused", next="start it")
    model = ScriptedModel([("Half a ", failure), "Whole."])
    async with Agent(home, model=model) as agent:
        with pytest.raises(ModelUnreachable):
            await agent.ask("The oak is old.", person="ada", message_id="m1")
        assert await texts(home) == ["The oak is old."]
        assert (await agent.ask("The oak is old.", person="ada", message_id="m1")).reply == "Whole."
    assert await texts(home) == ["The oak is old.", "Whole."]


async def test_every_listener_hears_of_a_failure(home: Home) -> None:
    hang = Hang()
    failure = ModelUnreachable("nothing answers", why="refused", next="start it")
    async with Agent(home, model=ScriptedModel([(hang, failure)])) as agent:
        asked = [asyncio.create_task(agent.ask("The oak.", person="ada", message_id="m1")) for _ in range(3)]
        await hang.reached.wait()
        hang.release()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in outcomes] == [ModelUnreachable] * 3


async def test_a_reply_without_a_word_is_an_error(home: Home) -> None:
    async with Agent(home, model=ScriptedModel([(" ", "\n")])) as agent:
        with pytest.raises(ModelReplyInvalid, match="without a word"):
            await agent.ask("The oak.", person="ada")


async def test_a_stopped_reply_is_stored_once_as_far_as_it_was_shown(home: Home) -> None:
    hang = Hang()
    model = ScriptedModel([("Shown ", "too ", hang, "never.")])
    async with Agent(home, model=model) as agent:
        shown: list[str] = []
        events = agent.stream("The oak is old.", person="ada", message_id="m1")
        async for event in events:
            if isinstance(event, ReplyDelta):
                shown.append(event.text)
            if len(shown) == 2:
                break
        await events.aclose()
        assert await texts(home) == ["The oak is old.", "Shown too "]
        again = await agent.ask("The oak is old.", person="ada", message_id="m1")
    assert again.reply == "Shown too "
    assert model.stopped == 1
    assert await home.workflows.unfinished("turn") == []


async def test_a_reply_stopped_before_its_first_word_is_none_and_can_be_asked_for_again(home: Home) -> None:
    hang = Hang()
    async with Agent(home, model=ScriptedModel([(hang, "never."), "Now."])) as agent:
        asked = asyncio.create_task(agent.ask("The oak is old.", person="ada", message_id="m1"))
        await hang.reached.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await texts(home) == ["The oak is old."]
        assert (await agent.ask("The oak is old.", person="ada", message_id="m1")).reply == "Now."


async def test_a_cancelled_call_does_not_end_the_reply_others_wait_for(home: Home) -> None:
    hang = Hang()
    async with Agent(home, model=ScriptedModel([("A ", hang, "reply.")])) as agent:
        first, second = (asyncio.create_task(agent.ask("Oak.", person="ada", message_id="m1")) for _ in range(2))
        await hang.reached.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        hang.release()
        assert (await second).reply == "A reply."


async def test_closing_the_agent_ends_replies_where_they_stand(home: Home) -> None:
    hang = Hang()
    agent = Agent(home, model=ScriptedModel([("Shown ", hang)]))
    events = agent.stream("The oak.", person="ada")
    async for event in events:
        if isinstance(event, ReplyDelta):
            break
    await agent.close()
    assert await texts(home) == ["The oak.", "Shown "]
    await events.aclose()


async def test_a_turn_left_by_a_killed_process_is_finished_by_the_next(home: Home) -> None:
    hang = Hang()
    killed = Agent(home, model=ScriptedModel([("Half ", hang)]))
    asked = asyncio.create_task(killed.ask("My birthday is 3 May.", person="ada", message_id="m1"))
    await hang.reached.wait()
    (begun,) = await home.workflows.unfinished("turn")
    asked.cancel()
    await asyncio.wait({asked})
    await home.workflows.begin(begun)
    async with Agent(home, model=ScriptedModel(["Whole."])):
        assert await texts(home) == ["My birthday is 3 May.", "Whole."]
    stored = await home.profiles.load("ada")
    assert stored is not None
    assert [fact.value for fact in stored.profile.facts] == ["3 May"]
    assert await home.workflows.unfinished("turn") == []


async def test_a_failing_model_does_not_keep_an_agent_from_starting(home: Home) -> None:
    failure = ModelUnreachable("nothing answers", why="refused", next="start it")
    hang = Hang()
    killed = Agent(home, model=ScriptedModel([(hang,)]))
    asked = asyncio.create_task(killed.ask("The oak.", person="ada", message_id="m1"))
    await hang.reached.wait()
    (begun,) = await home.workflows.unfinished("turn")
    asked.cancel()
    await asyncio.wait({asked})
    await home.workflows.begin(begun)
    async with Agent(home, model=ScriptedModel([(failure,), "Late."])) as agent:
        assert (await agent.ask("The oak.", person="ada", message_id="m1")).reply == "Late."


async def test_an_interaction_is_counted_once_per_message(home: Home) -> None:
    async with Agent(home) as agent:
        for _ in range(3):
            await agent.ask("I am happy about the oak.", person="ada", message_id="m1")
        await agent.ask("I am sad about the elm.", person="ada", message_id="m2")
    stored = await home.profiles.load("ada")
    assert stored is not None
    assert stored.profile.interaction_count == 2
    assert [each.label for each in stored.profile.emotion_samples] == ["happy", "sad"]
    assert stored.profile.escalation_count == 1


async def test_feelings_are_not_estimated_among_several_people_unless_asked_for(home: Home) -> None:
    async with Agent(home) as agent:
        await agent.ask("I am so sad.", person="ada", channel="club", shared=True)
    async with Agent(home, settings=AgentSettings(emotion_in_groups=True)) as agent:
        await agent.ask("I am so sad.", person="bo", channel="club", shared=True)
    async with Agent(home, settings=AgentSettings(emotion=False)) as agent:
        await agent.ask("I am so sad.", person="cy")
    counts = []
    for person in ("ada", "bo", "cy"):
        stored = await home.profiles.load(person)
        assert stored is not None
        counts.append(len(stored.profile.emotion_samples))
    assert counts == [0, 1, 0]


async def test_forty_turns_of_several_people_at_once_lose_nothing(home: Home) -> None:
    async with Agent(home) as agent:
        await asyncio.gather(
            *(
                agent.ask(f"Tree {number} is number {number}.", person=f"p{number % 4}", message_id=f"m{number}")
                for number in range(40)
            )
        )
    for person in ("p0", "p1", "p2", "p3"):
        stored = await home.profiles.load(person)
        assert stored is not None
        assert stored.profile.interaction_count == 10
    assert len(await texts(home)) == 80


def test_the_id_of_a_reply_depends_on_channel_and_message_alone() -> None:
    assert reply_id_of("cli", "m1") == reply_id_of("cli", "m1")
    assert reply_id_of("cli", "m1") != reply_id_of("web", "m1")
    assert reply_id_of("a", "bc") != reply_id_of("ab", "c")


@pytest.mark.parametrize(
    "piece", ["a", " x", "“", "```", "hi ", "my name is ", "I love it, ", "?\n", ".) ", "no, it is 5, "]
)
async def test_a_message_of_the_greatest_size_is_answered_whatever_it_repeats(home: Home, piece: str) -> None:
    text = piece * (MESSAGE_TEXT_MAX_BYTES // len(piece.encode()))
    async with Agent(home, model=ScriptedModel(["Long."])) as agent:
        assert (await agent.ask(text, person="ada", message_id="m1")).reply == "Long."
    assert len(await home.memories.listing(Scope("ada"), kinds=("episode",))) <= EPISODES_PER_MESSAGE_MAX


async def test_a_long_run_of_spaces_does_not_hold_up_a_turn(home: Home) -> None:
    async with Agent(home) as agent:
        assert (await agent.ask("a" + " " * 200_000 + "b. I like figs.", person="ada")).reply


async def test_two_agents_on_one_home_answer_a_message_once_between_them(home: Home) -> None:
    hang = Hang()
    first = Agent(home, model=ScriptedModel([("First ", hang, "reply.")]))
    second = Agent(home, model=ScriptedModel(["Second reply."]))
    slow = asyncio.create_task(first.ask("The oak.", person="ada", message_id="m1"))
    await hang.reached.wait()
    quick = await second.ask("The oak.", person="ada", message_id="m1")
    hang.release()
    assert (await slow).reply == quick.reply == "Second reply."
    assert await texts(home) == ["The oak.", "Second reply."]
    stored = await home.profiles.load("ada")
    assert stored is not None
    assert stored.profile.interaction_count == 1


async def test_a_models_reply_cites_the_messages_whose_words_it_uses(home: Home) -> None:
    model = ScriptedModel(["Noted.", "Noted.", "Your spare key hangs behind the water meter, I think."])
    async with Agent(home, model=model) as agent:
        await agent.ask("The spare key hangs behind the water meter.", person="ada", message_id="m1")
        await agent.ask("The spare tyre is flat.", person="ada", message_id="m2")
        reply = await agent.ask("Where is the spare key?", person="ada", message_id="m3")
    assert [each.message_id for each in reply.citations] == ["m1"]
