"""`instar import` and `instar export`: bring conversations in, take everything out."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import click

from instar.cli.frame import Frame, Home, command
from instar.core.errors import HomeMissing
from instar.migrate.report import ImportReport, Progress

SHOWN_SKIPS = 10
KINDS = ("chatgpt", "sillytavern", "discord", "letta", "plain", "instar")


@click.command("import", epilog="Example: instar import conversations.json --person ada")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--kind", metavar="K", help="What the file is, when it cannot be found out: " + ", ".join(KINDS) + ".")
@click.option("--person", metavar="P", help='Who the human is, in exports that call them only "user".')
@click.option("--dry-run", is_flag=True, help="Read and report; write nothing.")
@command
async def import_(frame: Frame, *, file: Path, kind: str | None, person: str | None, dry_run: bool) -> None:
    """Import a chat export, a plain message file or an instar export. Running it again adds only what is missing."""
    from instar.agent.remember import learn
    from instar.migrate.importing import import_file

    async with _target(frame, dry_run=dry_run) as home:
        learning = functools.partial(learn, home, settings=frame.settings.agent)
        with shown_progress(quiet=frame.as_json) as tell:
            report = await import_file(
                home, file, kind=kind, person=person, dry_run=dry_run, progress=tell, learn=learning
            )
    frame.document(report, report_text(report))


@asynccontextmanager
async def _target(frame: Frame, *, dry_run: bool) -> AsyncIterator[Home]:
    """The home to import into; a dry run into a home that is not there yet does not make one."""
    from instar.app import open as open_home

    async with AsyncExitStack() as open_until_done:
        try:
            home = await open_until_done.enter_async_context(frame.open_home(create=not dry_run))
        except HomeMissing:
            home = await open_until_done.enter_async_context(open_home("memory:", settings=frame.settings))
        yield home


def report_text(report: ImportReport) -> str:
    """A report for people."""
    wrote = f"{report.would_write} would be written" if report.dry_run else f"{report.written} written"
    lines = [
        f"{report.kind}: {report.read} read, {wrote}, {report.already_there} already there, {report.skipped_total} skipped"
    ]
    lines += [f"  skipped {each.where}: {each.why}" for each in report.skipped[:SHOWN_SKIPS]]
    if report.skipped_total > SHOWN_SKIPS:
        lines.append(f"  and {report.skipped_total - SHOWN_SKIPS} more; --json lists them")
    lines += [
        f"  not carried over: {each.what}, {each.count} times, first at {each.where}" for each in report.not_carried
    ]
    return "\n".join(lines)


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {phase: bar.add_task(phase, total=None, visible=False) for phase in ("reading", "writing")}

        def tell(progress: Progress) -> None:
            bar.update(tasks[progress.phase], completed=progress.done, total=progress.total, visible=True)

        yield tell


@click.command("export", epilog="Example: instar export --to ada.instar.jsonl --person ada")
@click.option("--to", "file", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Where to write.")
@click.option("--person", metavar="P", help="Only what belongs to this person.")
@command
async def export_(frame: Frame, *, file: Path, person: str | None) -> None:
    """Write everything to one portable, checksummed file. Importing it elsewhere and exporting again gives the same bytes."""
    from instar.cli.look import refuse_stranger
    from instar.core.ids import PersonId
    from instar.migrate.exporting import export_home

    async with frame.open_home(create=False) as home:
        if person is not None:
            await refuse_stranger(home, PersonId(person))
        report = await export_home(home, file, person=person)
    counts = ", ".join(f"{count} {port}" for port, count in report.records.items())
    frame.document(report, f"{counts} in {file}\ndigest {report.digest}")
