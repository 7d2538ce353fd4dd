"""`instar ask`: one message, one reply."""

from __future__ import annotations

import sys

import click

from instar.agent.reply import Citation, Reply
from instar.cli.frame import Frame, command
from instar.cli.printable import printable
from instar.core.clock import SystemClock, UlidSource
from instar.core.errors import RecordInvalid
from instar.core.ids import ChannelId, MessageId, PersonId


@click.command(epilog='Example: instar ask "When is my birthday?" --person ada')
@click.argument("text")
@click.option("--person", required=True, metavar="P", help="Who asks.")
@click.option("--channel", default="cli", metavar="C", show_default=True, help="The conversation it belongs to.")
@click.option(
    "--message-id",
    metavar="ID",
    default=lambda: UlidSource(SystemClock()).new(),
    help="Asking again with the same id gives the same reply.",
)
@command
async def ask(frame: Frame, *, text: str, person: str, channel: str, message_id: str) -> None:
    """Ask one thing and print the reply. TEXT - reads it from stdin."""
    from instar.app import agent_for

    spoken = _from_stdin() if text == "-" else text
    async with frame.open_home() as home, agent_for(home, frame.settings) as agent:
        reply = await agent.ask(
            spoken, person=PersonId(person), channel=ChannelId(channel), message_id=MessageId(message_id)
        )
    frame.document(reply, reply_text(reply))


def _from_stdin() -> str:
    content = sys.stdin.buffer.read()
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise RecordInvalid(
            f"the message on stdin is not UTF-8 at byte {error.start}",
            why=error.reason,
            next="convert it first, for example: iconv -f LATIN1 -t UTF-8",
        ) from error


def reply_text(reply: Reply) -> str:
    """A reply for people: what was said, then what it rests on."""
    return "\n".join([printable(reply.reply), *(citation_text(citation) for citation in reply.citations)])


def citation_text(citation: Citation) -> str:
    """One cited message in one line."""
    when = citation.sent_at.strftime("%Y-%m-%d %H:%M") if citation.sent_at else "no time"
    said = " ".join(citation.text.split())
    shown = said if len(said) <= 160 else said[:157] + "..."
    line = f"  [{citation.channel} {citation.message_id}, {citation.author}, {when}] {shown}"
    return click.style(printable(line), dim=True)
