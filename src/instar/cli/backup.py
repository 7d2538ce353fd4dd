"""`instar backup` and `instar restore`: a verified copy of the home, and the home made of one."""

from __future__ import annotations

from pathlib import Path

import click

from instar.cli.frame import Frame, command, read_settings
from instar.core.clock import SystemClock
from instar.core.errors import HomeMissing
from instar.stores.backup import BackupReport
from instar.stores.registry import locate
from instar.stores.restoring import RestoreReport, restore_backup


@click.command(epilog="Example: instar backup --to /mnt/usb/instar")
@click.option("--to", "directory", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where it goes.")
@command
async def backup(frame: Frame, *, directory: Path) -> None:
    """Bring the backup in DIR up to the state of now, and verify it. Copies only what is new; works beside a running owner.

    DIR holds one state. After a person was forgotten, the next backup holds nothing of them either.
    """
    async with frame.open_home(create=False) as home:
        report = await home.backup(directory)
    frame.document(report, backup_text(report))


def backup_text(report: BackupReport) -> str:
    """A report for people."""
    dropped = f", {report.dropped:,} of older states dropped" if report.dropped else ""
    return (
        f"{report.files:,} files with {report.bytes:,} bytes verified in {report.to}\n"
        f"{report.copied:,} with {report.copied_bytes:,} bytes were new{dropped}"
    )


@click.command(epilog="Example: instar restore --from /mnt/usb/instar --home ./state-of-yesterday")
@click.option("--from", "directory", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The backup.")
@command
async def restore(frame: Frame, *, directory: Path) -> None:
    """Make the home of the backup in DIR at --home, which must be empty or not there. Verifies every byte first.

    Whoever was forgotten since the backup is forgotten in the restored home as well, as long as the home the
    backup was taken of is where it was, or is the one commands use without --home.
    """
    from instar.embeddings.choose import choose_embedder

    path = _path(frame.settings.home.path)
    usual = locate(read_settings({})[0].home.path).path
    report = await restore_backup(
        directory,
        path,
        beside=[] if usual is None else [usual],
        clock=SystemClock(),
        embedder=choose_embedder(frame.settings.embeddings.kind),
    )
    frame.document(report, restore_text(report))


def restore_text(report: RestoreReport) -> str:
    """A report for people."""
    lines = [f"{report.files:,} files with {report.bytes:,} bytes of {report.taken_at} are the home {report.home}"]
    if report.heeded:
        lines.append(
            f"forgotten again, as in {', '.join(report.heeded)}: {report.forgotten} people, {report.deleted} deletions"
        )
    lines += [f"single deletions could not be taken over from {each}" for each in report.unread]
    return "\n".join(lines)


def _path(location: str) -> Path:
    path = locate(location).path
    if path is None:
        raise HomeMissing(
            "a backup is not restored into memory", why="it would be gone at once", next="name a directory: --home NEW"
        )
    return path
