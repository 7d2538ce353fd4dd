"""`instar config show`: every setting, its value, and where it came from."""

from __future__ import annotations

import click

from instar.cli.frame import Frame, command


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command(epilog="Example: INSTAR_SERVER_PORT=9000 instar config show")
@command
async def show(frame: Frame) -> None:
    """Print every setting, its value and where it came from. Secrets are hidden."""
    for row in frame.rows:
        frame.line(row, f"{row.key:<28}{row.value!s:<44.44} {row.source}")
