"""`instar chat`: talk in the terminal, or through a pipe: one line in, one reply out."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from instar.agent.reply import Recalled, Replied, ReplyDelta
from instar.cli.forget import receipt_text
from instar.cli.frame import Frame, command, error_text
from instar.cli.look import STATED, every_memory, memory_line, memory_text, search_memories, why_text
from instar.cli.printable import printable
from instar.cli.talk import citation_text
from instar.core.errors import InstarError, MemoryUnknown
from instar.core.ids import ChannelId, MemoryId, PersonId
from instar.stores.home import Home
from instar.stores.memories.port import Hit

if TYPE_CHECKING:
    from instar.agent.turn import Agent

HELP = """  /memories [WORDS]   what is remembered of you, or a search in it
  /why                what was recalled for the last reply, and how it scored
  /forget ID          forget one memory (its id is shown by /memories)
  /forget me          erase everything about you, with a receipt
  /export FILE        write everything about you to a file
  /help               this list
  /quit               leave (so does Ctrl-D)"""

HISTORY_LINES = 200  # what arrow-up offers, taken from the conversation itself


@click.command(epilog="Example: instar chat --person ada")
@click.option("--person", required=True, metavar="P", help="Who talks.")
@click.option("--channel", default="cli", metavar="C", show_default=True, help="The conversation to go on with.")
@command
async def chat(frame: Frame, *, person: str, channel: str) -> None:
    """Talk with the agent; the conversation goes on where it was."""
    from instar.app import agent_for

    async with frame.open_home() as home, agent_for(home, frame.settings) as agent:
        talk = _Chat(frame, home, agent, person=PersonId(person), channel=ChannelId(channel))
        failed = await talk.run()
    if failed:
        raise click.exceptions.Exit(1)


class _Chat:
    def __init__(self, frame: Frame, home: Home, agent: Agent, *, person: PersonId, channel: ChannelId) -> None:
        self._frame = frame
        self._home = home
        self._agent = agent
        self._person = person
        self._channel = channel
        self._hits: tuple[Hit, ...] = ()
        self._at_terminal = sys.stdin.isatty() and not frame.as_json

    async def run(self) -> bool:
        """Talk until the last line. True when a line through a pipe got no reply."""
        try:
            return await self._talk()
        except asyncio.CancelledError:
            if self._at_terminal:
                click.echo(err=True)  # Ctrl-C in the middle of a line: the shell's prompt begins on the next
            raise

    async def _talk(self) -> bool:
        failed = False
        if self._at_terminal:
            click.echo(f"instar, home {self._home.location}. /help lists commands, /quit leaves.", err=True)
        async for line in self._lines():
            text = line.strip()
            if text in ("/quit", "/exit"):
                break
            if not text:
                continue
            try:
                await self._carry_out(text)
            except InstarError as error:
                failed = failed or not (self._at_terminal or text.startswith("/"))
                click.echo(error_text(error, as_json=self._frame.as_json), err=True)
        return failed

    async def _lines(self) -> AsyncIterator[str]:
        past = await self._said_before() if self._at_terminal else []
        with _typed_lines(past, at_terminal=self._at_terminal) as lines:
            while (line := await lines.next()) is not None:
                yield line

    async def _said_before(self) -> list[str]:
        window = await self._home.conversations.window(self._channel, limit=HISTORY_LINES)
        return [message.text for message in window if message.author == self._person]

    async def _carry_out(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        if not word.startswith("/"):
            await self._reply(text)
        elif word == "/help":
            click.echo(HELP)
        elif word == "/why":
            self._why()
        elif word == "/memories":
            await self._memories(rest.strip())
        elif word == "/forget":
            await self._forget(rest.strip())
        elif word == "/export":
            await self._export(rest.strip())
        else:
            click.echo(f"{word} is not a command; /help lists them. Begin with a space to say it.", err=True)

    async def _reply(self, text: str) -> None:
        begun = False
        try:
            async for event in self._agent.stream(text, person=self._person, channel=self._channel):
                if isinstance(event, Recalled):
                    self._hits = event.hits
                elif isinstance(event, ReplyDelta) and not self._frame.as_json:
                    click.echo(printable(event.text), nl=False)
                    begun = True
                elif isinstance(event, Replied):
                    cited = [citation_text(citation) for citation in event.reply.citations]
                    self._frame.document(event.reply, "\n".join(["", *cited]) if self._at_terminal else "")
        except InstarError:
            if begun:
                click.echo()  # the words already shown get their own line
            raise

    def _why(self) -> None:
        if not self._hits:
            click.echo("nothing was recalled for the last reply")
        for hit in self._hits:
            click.echo(f"{printable(hit.memory.text)}\n    {why_text(hit.score, hit.why)}")

    async def _memories(self, query: str) -> None:
        if query:
            async for line in search_memories(self._home, self._person, query):
                click.echo(memory_text(line))
            return
        async for memory in every_memory(self._home, person=self._person, kinds=STATED):
            click.echo(memory_text(memory_line(memory)))

    async def _forget(self, what: str) -> None:
        if what == "me":
            if self._at_terminal and not click.confirm(f"Erase everything about {self._person}?", default=False):
                return
            click.echo(receipt_text(await self._home.forget(self._person)))
            return
        memory = await self._home.memories.get(MemoryId(what)) if what else None
        if memory is None or memory.person != self._person:
            raise MemoryUnknown(
                f"you have no memory {what!r}",
                why="its id is not among yours",
                next="/memories lists them with their ids",
            )
        await self._home.memories.forget(memory.id)
        click.echo(f"forgotten: {memory.text}")

    async def _export(self, file: str) -> None:
        from instar.migrate.exporting import export_home

        if not file:
            click.echo("say where to: /export FILE", err=True)
            return
        report = await export_home(self._home, _path(file), person=self._person)
        click.echo(f"{sum(report.records.values())} records in {file}, digest {report.digest}")


def _path(typed: str) -> Path:
    return Path(typed).expanduser()


class _Lines:
    """Lines a thread reads, so that the home goes on serving others while the terminal waits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._wanted = threading.Semaphore(0)

    async def next(self) -> str | None:
        self._wanted.release()
        return await self._queue.get()

    def read_all(self, *, at_terminal: bool) -> None:
        line: str | None = ""
        while line is not None:
            self._wanted.acquire()
            line = _read_line(at_terminal=at_terminal)
            with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits for this line
                self._loop.call_soon_threadsafe(self._queue.put_nowait, line)


def _read_line(*, at_terminal: bool) -> str | None:
    if at_terminal:
        try:
            return input("> ")
        except EOFError:
            click.echo(err=True)
            return None
    return sys.stdin.readline() or None


@contextlib.contextmanager
def _typed_lines(past: list[str], *, at_terminal: bool) -> Iterator[_Lines]:
    """Lines from the terminal with editing and history, or from a pipe; the terminal is left as it was found."""
    restore = _prepare_terminal(past) if at_terminal else None
    lines = _Lines()
    threading.Thread(
        target=lines.read_all, kwargs={"at_terminal": at_terminal}, name="instar-terminal", daemon=True
    ).start()
    try:
        yield lines
    finally:
        if restore is not None:
            restore()


def _prepare_terminal(past: list[str]) -> Callable[[], None]:
    import readline
    import termios

    readline.clear_history()
    for text in past:
        readline.add_history(text)
    descriptor = sys.stdin.fileno()
    found = termios.tcgetattr(descriptor)
    return lambda: termios.tcsetattr(descriptor, termios.TCSADRAIN, found)
