"""Settings: a frozen tree, read once at the edge from `instar.toml` and the environment.

A value comes from the first of: command-line flag, `INSTAR_<SECTION>_<KEY>`, a name from an earlier system
(`LEGACY_NAMES`), `instar.toml`, the default. A value that cannot be read is an error naming the variable;
it is never replaced in silence.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import msgspec

from instar.core.errors import SettingInvalid
from instar.core.limits import MODEL_READ_TIMEOUT_S, WINDOW_DEFAULT_MESSAGES

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


DEFAULT_INSTRUCTIONS = (
    "You are a thoughtful companion. Answer from what you know of the person; say so when you do not know."
)


class HomeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where state is kept."""

    path: str = ""
    """A directory, `file:DIR`, or `memory:`. Empty: the platform's state directory."""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the agent behaves in a turn."""

    name: str = "instar"
    """What the agent calls itself, and the author of its messages."""
    instructions: str = DEFAULT_INSTRUCTIONS
    """The first part of the system prompt."""
    window: Count = WINDOW_DEFAULT_MESSAGES
    """Messages of the channel that a turn sees."""
    emotion: bool = True
    """Estimate feeling in conversations with one person."""
    emotion_in_groups: bool = False
    """Estimate feeling in shared channels too."""


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The language model. Without a URL the extractive responder answers from stored messages."""

    url: str = ""
    """Base URL of an OpenAI-compatible API, with its version path: http://127.0.0.1:11434/v1"""
    name: str = ""
    """The model's name as the server lists it."""
    api_key: str = ""
    """Sent as a bearer token. Never printed."""
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.7
    """0 to 2; higher varies more."""
    timeout_s: Positive = MODEL_READ_TIMEOUT_S
    """Longest wait for the first event, and between two events of a stream."""
    fallback_url: str = ""
    """A second OpenAI-compatible API, asked when the first fails before its first word."""
    fallback_name: str = ""
    """The model's name at the second API."""
    fallback_api_key: str = ""
    """The key of the second API. Never printed."""


class EmbeddingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What turns text into vectors."""

    kind: str = "auto"
    """`auto` (minilm when installed, else hashing), `minilm` or `hashing`."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web server of `instar serve`."""

    host: str = "127.0.0.1"
    """The address to listen on. Anything but loopback lets other machines reach the agent."""
    port: Port = 8427
    """0 takes a free one."""


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told on stderr while it runs."""

    level: Literal["debug", "info", "warning", "error"] = "warning"
    """`debug`, `info`, `warning` or `error`. Secrets are hidden at every level."""
    json: bool = False
    """One JSON object a line, for a log collector."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    home: HomeSettings = HomeSettings()
    agent: AgentSettings = AgentSettings()
    model: ModelSettings = ModelSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as `instar config show` prints it."""

    key: str
    value: str | int | float | bool
    source: str
    variable: str


SECRET_KEYS = frozenset({"model.api_key", "model.fallback_api_key"})

LEGACY_NAMES: Mapping[str, str] = {
    "INSTAR_HOME": "home.path",
    "LLM_CHAT_API_URL": "model.url",
    "LLM_MODEL_NAME": "model.name",
    "LLM_TEMPERATURE": "model.temperature",
    "LLM_REQUEST_TIMEOUT": "model.timeout_s",
    "LLM_CHAT_API_KEY": "model.api_key",
}
"""Short names, and names that existing deployments already set. Variables that belong to parts which have
not landed yet (Redis, PostgreSQL, Discord, observation) join this table with those parts."""


def load_settings(
    environment: Mapping[str, str],
    *,
    file: Path | None = None,
    flags: Mapping[str, str] | None = None,
) -> tuple[Settings, list[SettingRow]]:
    """Read the tree and say where each value came from.

    `file` is an `instar.toml`; one that does not exist counts as empty, unless it was asked for by name,
    which the caller checks. `flags` maps dotted keys to text. Raises `SettingInvalid`.
    """
    raw: dict[str, tuple[object, str]] = {}
    if file is not None and file.exists():
        raw.update(_from_file(file))
    raw.update(_from_environment(environment))
    for key, text in (flags or {}).items():
        raw[key] = (text, f"flag for {key}")
    tree: dict[str, dict[str, object]] = {}
    for key, (value, source) in raw.items():
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name] = _converted(key, value, source)
    settings = msgspec.convert(tree, Settings)
    return settings, _rows(settings, {key: source for key, (_, source) in raw.items()})


def known_keys() -> dict[str, type]:
    """Every dotted key with the type of its value."""
    return {
        f"{section.name}.{field.name}": field.type
        for section in msgspec.structs.fields(Settings)
        for field in msgspec.structs.fields(section.type)
    }


def _from_file(file: Path) -> dict[str, tuple[object, str]]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingInvalid(
            f"{file} cannot be read", why=str(error), next="mend the file; it is TOML in UTF-8"
        ) from error
    found: dict[str, tuple[object, str]] = {}
    for section, values in document.items():
        if not isinstance(values, dict):
            raise _unknown(section, str(file))
        for name, value in values.items():
            key = f"{section}.{name}"
            if key not in known_keys():
                raise _unknown(key, str(file))
            found[key] = (value, str(file))
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[object, str]]:
    found: dict[str, tuple[object, str]] = {}
    for variable, key in LEGACY_NAMES.items():
        if environment.get(variable):
            found[key] = (environment[variable], variable)
    for key in known_keys():
        variable = variable_of(key)
        if variable in environment:
            found[key] = (environment[variable], variable)
    return found


def variable_of(key: str) -> str:
    """The environment variable of a dotted key."""
    return "INSTAR_" + key.replace(".", "_").upper()


def _converted(key: str, value: object, source: str) -> object:
    if key not in known_keys():
        raise _unknown(key, source)
    try:
        return msgspec.convert(value, known_keys()[key], strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        shown = "(hidden)" if key in SECRET_KEYS else repr(value)
        raise SettingInvalid(
            f"{key} is {shown}, from {source}",
            why=_expectation(known_keys()[key]) or str(error),
            next=f"correct {source}, or take it away to use the default; `instar config show` lists all",
        ) from error


def _expectation(kind: object) -> str | None:
    """What a setting with a fixed list of values expects; None for the others, whose errors say it."""
    return f"Expected one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else None


def _unknown(key: str, source: str) -> SettingInvalid:
    return SettingInvalid(
        f"{source} sets {key!r}, which is not a setting",
        why="no part of instar reads it",
        next="`instar config show` lists every setting",
    )


def _rows(settings: Settings, sources: Mapping[str, str]) -> list[SettingRow]:
    rows = []
    for key in known_keys():
        section, _, name = key.partition(".")
        value = getattr(getattr(settings, section), name)
        if key in SECRET_KEYS and value:
            value = "(hidden)"
        rows.append(SettingRow(key=key, value=value, source=sources.get(key, "default"), variable=variable_of(key)))
    return rows
