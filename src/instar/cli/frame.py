"""The frame every command runs in: common options, settings, the open home, errors and exit codes.

stdout carries data, stderr carries progress and messages. Exit codes: 0 done, 1 refused or failed, 2 wrong
usage, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from instar.core.errors import HomeReadOnly, InstarError, OwnerLost, SettingInvalid
from instar.core.settings import SettingRow, Settings, load_settings
from instar.stores.home import Home
from instar.telemetry.log import configure

OWNER_LOST_TRIES = 3
Command = TypeVar("Command", bound=Callable[..., Any])


class Frame:
    """What a command gets: settings, how to print, and the home when it asks for it."""

    def __init__(
        self, *, home: str | None, as_json: bool, debug: bool, flags: Mapping[str, str | None] | None = None
    ) -> None:
        self.as_json = as_json
        self.debug = debug
        given = {key: value for key, value in (flags or {}).items() if value is not None}
        if home is not None:
            given["home.path"] = home
        self.settings, self.rows = read_settings(given)
        configure(self.settings.log.level, json=self.settings.log.json)

    @asynccontextmanager
    async def open_home(self, *, create: bool = True) -> AsyncIterator[Home]:
        """The home of this command; only for reading where it may not be written to and need not be begun."""
        from instar.app import open as open_home

        try:
            home = await open_home(settings=self.settings, create=create)
        except HomeReadOnly:
            if create:
                raise
            home = await open_home(settings=self.settings, read_only=True)
        async with home:
            yield home

    def document(self, value: object, text: str) -> None:
        """Print one thing: a JSON document, or `text` for people."""
        click.echo(msgspec.json.encode(value).decode() if self.as_json else text)

    def line(self, value: object, text: str) -> None:
        """Print one line of a listing: a JSON object, or `text` for people."""
        self.document(value, text)

    def note(self, text: str) -> None:
        """Say something to the person at the terminal, beside the data."""
        click.echo(text, err=True)


def read_settings(flags: Mapping[str, str]) -> tuple[Settings, list[SettingRow]]:
    """Settings from flags, the environment and the file: INSTAR_CONFIG, ./instar.toml, or the user's own."""
    named = os.environ.get("INSTAR_CONFIG")
    if named and not Path(named).is_file():
        raise SettingInvalid(
            f"INSTAR_CONFIG names {named}, which is not a file",
            why="the settings were asked for from there",
            next="correct the path, or unset INSTAR_CONFIG",
        )
    return load_settings(os.environ, file=_settings_file(named), flags=flags)


def _settings_file(named: str | None) -> Path | None:
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME", "")
    user = (Path(base) if base.startswith("/") else Path.home() / ".config") / "instar" / "instar.toml"
    # os.path.isfile answers where Path.is_file raises: in a directory that may not be entered.
    return next((path for path in (Path("instar.toml"), user) if os.path.isfile(path)), None)  # noqa: PTH113


def command(run: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Give an async function of a `Frame` the options every command has, and run it to its exit code."""

    @click.option(
        "--home",
        metavar="PATH_OR_URL",
        help="Where state is kept. [default: INSTAR_HOME, else the platform's state directory]",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON; JSON Lines for a listing.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(run)
    def framed(*, home: str | None, as_json: bool, debug: bool, **arguments: Any) -> None:
        flags = {
            key.removeprefix("set_").replace("__", "."): arguments.pop(key)
            for key in list(arguments)
            if key.startswith("set_")
        }

        async def attempt() -> None:
            await run(Frame(home=home, as_json=as_json, debug=debug, flags=flags), **arguments)

        sys.exit(exit_code_of(attempt, as_json=as_json, debug=debug))

    return framed


def exit_code_of(attempt: Callable[[], Coroutine[Any, Any, None]], *, as_json: bool, debug: bool) -> int:
    """Run a command to its end and say how it ended, with the error on stderr."""
    try:
        asyncio.run(_with_owner(attempt))
    except InstarError as error:
        if debug:
            traceback.print_exc()
        click.echo(error_text(error, as_json=as_json), err=True)
        return 1
    except BrokenPipeError:
        sys.stdout = None  # the reader left; nothing more is to be flushed to it
        return 0
    except KeyboardInterrupt:
        return 130
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException:
        raise
    except OSError as error:
        if debug:
            raise
        click.echo(error_text(_refused_by_system(error), as_json=as_json), err=True)
        return 1
    except Exception as error:  # the last place where an unexpected error can be turned into words
        if debug:
            raise
        click.echo(error_text(_unexpected(error), as_json=as_json), err=True)
        return 1
    return 0


async def _with_owner(attempt: Callable[[], Awaitable[None]]) -> None:
    """Run the command again when the owner left in the middle: every command is idempotent by its ids."""
    for left in range(OWNER_LOST_TRIES, 0, -1):
        try:
            return await attempt()
        except OwnerLost:
            if left == 1:
                raise
    return None


def _refused_by_system(error: OSError) -> InstarError:
    return InstarError(
        f"the system refused to go on with {error.filename or 'the output or a file'}",
        why=error.strerror or str(error),
        next="check the space and the rights where it writes to; nothing acknowledged is lost",
    )


def _unexpected(error: Exception) -> InstarError:
    return InstarError(
        "instar met an error it did not expect",
        why=f"{type(error).__name__}: {error}",
        next="run the command again with --debug and report what it shows; `instar doctor` checks the home",
    )


def error_text(error: InstarError, *, as_json: bool) -> str:
    """An error as every command prints it."""
    if as_json:
        body = {"code": error.code, "what": error.what, "why": error.why, "next": error.next}
        return msgspec.json.encode({"error": body}).decode()
    return f"error: {error.what}\nwhy: {error.why}\nnext: {error.next}"


__all__ = ["Frame", "Home", "command", "error_text", "read_settings"]
