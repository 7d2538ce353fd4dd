"""The `instar` command: its groups, and what it says when called alone."""

from __future__ import annotations

import os

import click

from instar import __version__
from instar.cli.backup import backup, restore
from instar.cli.chat import chat
from instar.cli.config import config
from instar.cli.files import files
from instar.cli.forget import forget
from instar.cli.health import doctor, status
from instar.cli.look import channels, memories, messages, people, profile
from instar.cli.serve import serve
from instar.cli.talk import ask
from instar.cli.transfer import export_, import_

FIRST_STEPS = """instar: an agent that remembers, on plain files. Three things to try first:

  instar chat --person you                       talk with it in the terminal
  instar serve                                   open it in the browser
  instar import examples/ada.jsonl               bring a conversation, then ask about it

`instar --help` lists every command; `instar COMMAND --help` shows an example of one."""


@click.group(
    invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="instar")
@click.pass_context
def main(context: click.Context) -> None:
    """Run a conversational agent whose state is on plain files and can move."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    if context.invoked_subcommand is None:
        click.echo(FIRST_STEPS)


for each in (
    ask,
    chat,
    serve,
    messages,
    memories,
    profile,
    people,
    channels,
    import_,
    export_,
    files,
    backup,
    restore,
    forget,
    status,
    doctor,
    config,
):
    main.add_command(each)
