"""`instar files`: the Parquet files of a collection, for pandas, polars, DuckDB and others."""

from __future__ import annotations

import click

from instar.cli.frame import Frame, command


@click.command(epilog="Example: instar files messages --seal --json | head -3")
@click.argument("collection")
@click.option("--seal", is_flag=True, help="Seal first, so that the files hold everything acknowledged.")
@command
async def files(frame: Frame, *, collection: str, seal: bool) -> None:
    """List the Parquet files of COLLECTION: messages, profiles, memories or workflows.

    A record that was changed has several rows: of each _key the one with the highest _seq counts, and none
    if its _op is "delete".
    """
    async with frame.open_home(create=False) as home:
        found = await home.files(collection, seal=seal)
    for each in found:
        frame.line(each, each.path)
    if not found:
        advice = "nothing of it is stored" if seal else "--seal puts what is stored into files"
        frame.note(f"{collection} has no sealed files; {advice}")
