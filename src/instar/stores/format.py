"""`FORMAT.json`: what a directory is, and the key of what was forgotten there.

Without the key the marks of the forgotten say nothing, so the file carries a checksum, and a copy stands
beside it. Both are written once, when the home is begun.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import google_crc32c
import msgspec

from instar.core.errors import HomeForeign, HomeNewer, StoreCorrupt

FORMAT = 1
NAME = "FORMAT.json"
COPY = "FORMAT.copy"
REPAIR = "instar doctor --repair"


class HomeFormat(msgspec.Struct, frozen=True, kw_only=True):
    """What a home is."""

    format: int
    min_reader: int
    id: str
    forget_key: str
    """32 random bytes in hexadecimal. Hashes of what was forgotten are keyed with it, so they cannot be guessed."""
    features: tuple[str, ...] = ()
    crc32c: str = ""
    """Of the other fields as one line of JSON; "" in homes begun before there was one."""


def new_format() -> HomeFormat:
    """The format of a home that is begun now."""
    begun = HomeFormat(format=FORMAT, min_reader=FORMAT, id=secrets.token_hex(16), forget_key=secrets.token_hex(32))
    return msgspec.structs.replace(begun, crc32c=checksum(begun))


def checksum(found: HomeFormat) -> str:
    """The checksum that belongs to the other fields."""
    return f"{google_crc32c.value(msgspec.json.encode(msgspec.structs.replace(found, crc32c=''))):08x}"


def encode_format(found: HomeFormat) -> bytes:
    """The content of the file."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def decode_format(path: Path, content: bytes) -> HomeFormat:
    """A format from its file. Raises `HomeForeign`, `HomeNewer`, `StoreCorrupt`."""
    try:
        found = msgspec.json.decode(content, type=HomeFormat)
        bytes.fromhex(found.forget_key)
    except (msgspec.DecodeError, ValueError) as error:
        raise HomeForeign(
            f"{path} is not an instar format file",
            why=str(error),
            next=f"if this is a home, `{REPAIR}` mends it from its copy; if not, choose another directory: --home DIR",
        ) from error
    if found.min_reader > FORMAT:
        raise HomeNewer(
            f"the home {path.parent} has format {found.format}",
            why=f"this version reads formats up to {FORMAT}",
            next="use the newer instar that wrote it",
        )
    if found.crc32c and found.crc32c != checksum(found):
        raise StoreCorrupt(f"{path} is damaged", why="its checksum is wrong", next=f"`{REPAIR}` mends it from its copy")
    return found


def write_durably(path: Path, content: bytes) -> None:
    """Put a file in place whole, replacing what is there; durable, with its name, when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """A new name is durable once its directory is. See fsync(2)."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
