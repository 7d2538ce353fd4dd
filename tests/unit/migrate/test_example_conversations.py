"""The examples come in whole, and the questions of their README find the messages it names."""

import re
from pathlib import Path

import pytest

import instar
from instar.agent.remember import learn
from instar.agent.turn import Agent
from instar.core.settings import Settings, load_settings
from instar.migrate.importing import import_file

EXAMPLES = Path(__file__).parents[3] / "examples"
ROW = re.compile(r"^\| (?P<question>[^|`]+\?) \| `(?P<message>(?P<file>[a-z]+)-\d+)` \|$", re.MULTILINE)
QUESTIONS = [row.group("question", "file", "message") for row in ROW.finditer((EXAMPLES / "README.md").read_text())]
ASKED_BY = {"ada": ("ada", "cli"), "earnest": ("jack", "half-moon-street")}


async def brought_in(home, name):
    async def learning(messages):
        await learn(home, messages, settings=Settings().agent)

    return await import_file(home, EXAMPLES / f"{name}.jsonl", learn=learning)


@pytest.mark.parametrize(("name", "messages", "shared"), [("ada", 362, False), ("earnest", 110, True)])
async def test_every_line_of_an_example_comes_in(home, name, messages, shared):
    report = await brought_in(home, name)
    assert (report.kind, report.written, report.skipped, report.not_carried) == ("plain", messages, (), ())
    (channel,) = await home.conversations.channels()
    assert (channel.messages, channel.shared) == (messages, shared)


def test_the_readme_asks_of_both_conversations():
    assert len(QUESTIONS) == 17
    assert {file for _, file, _ in QUESTIONS} == {"ada", "earnest"}


@pytest.mark.parametrize("name", ASKED_BY)
async def test_the_questions_of_the_readme_rest_on_the_messages_it_names(home, name):
    assert await missed_in(home, name) == {}


@pytest.mark.embed
@pytest.mark.parametrize("name", ASKED_BY)
async def test_they_do_so_too_when_meaning_is_compared_by_minilm(name):
    async with instar.open("memory:", settings=load_settings({"INSTAR_EMBEDDINGS_KIND": "minilm"})[0]) as home:
        assert await missed_in(home, name) == {}


async def missed_in(home, name):
    """The questions whose answer does not rest on the message the README names."""
    await brought_in(home, name)
    person, channel = ASKED_BY[name]
    missed = {}
    async with Agent(home) as agent:
        for question, _, message in [each for each in QUESTIONS if each[1] == name]:
            reply = await agent.ask(question, person=person, channel=channel)
            found = [citation.message_id for citation in reply.citations]
            if message not in found:
                missed[question] = (message, found, reply.reply)
    return missed


async def test_adas_pen_is_not_known_to_bob(home):
    await brought_in(home, "ada")
    async with Agent(home) as agent:
        reply = await agent.ask("Where do I keep the adrenaline pen?", person="bob", channel="cli")
    assert reply.citations == ()
    assert "rucksack" not in reply.reply
