"""Manifests: which files a store consists of. Numbered, immutable, never overwritten.

`manifest/<generation>.json` is one line of JSON and a line with its CRC32C. It is written beside, synced,
and linked to its number, which fails when the number is taken: so two writers cannot both go on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import google_crc32c
import msgspec

from instar.core.errors import HomeNewer
from instar.stores.segment.files import Files

FORMAT = 1
DIRECTORY = "manifest"
TEMPORARY = "manifest/new"
_NAME = re.compile(r"[0-9]{20}\.json")


class SegmentFile(msgspec.Struct, frozen=True, kw_only=True):
    """One segment of a collection."""

    collection: str
    bucket: str
    """The bucket its rows belong to; "all" for rows of every bucket."""
    merged: bool
    """True when no other merged segment of the collection holds any of its keys."""
    digest: str
    """BLAKE3 of the Parquet file."""
    rows: int
    tombstones: int
    bytes: int

    @property
    def path(self) -> str:
        """Where the Parquet file is."""
        return f"{self.directory}/{self.digest}.parquet"

    @property
    def directory(self) -> str:
        """The directory of the Parquet file."""
        return f"seg/{self.collection}/{self.bucket}"

    @property
    def cache_path(self) -> str:
        """Where the row cache is."""
        return f"cache/{self.digest}.rows"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a store, but for what the log adds."""

    format: int = FORMAT
    generation: int = 0
    epoch: int = 0
    uuid: str = ""
    version: int = 0
    """The highest version ever given."""
    sealed_seq: int = 0
    """Frames up to this sequence number are in the segments."""
    log: str = ""
    """The file in which the log goes on."""
    segments: Sequence[SegmentFile] = ()
    """Of each collection the newest last."""
    fields: Mapping[str, Mapping[str, int]] = {}
    """Field ids by collection and name; a name that is no longer used keeps its id."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found on opening."""

    manifest: Manifest
    damaged: Sequence[str]
    """Newer manifests that do not check."""


def path_of(generation: int) -> str:
    """Where a manifest is."""
    return f"{DIRECTORY}/{generation:020d}.json"


def newest(files: Files) -> Found:
    """The newest manifest that checks; the one of an empty store when there is none. Raises `HomeNewer`."""
    damaged: list[str] = []
    for path in reversed(paths(files)):
        manifest = decode(bytes(files.read(path)), path)
        if manifest is not None:
            return Found(manifest=manifest, damaged=damaged)
        damaged.append(path)
    return Found(manifest=Manifest(), damaged=damaged)


def paths(files: Files) -> Sequence[str]:
    """Every manifest, oldest first."""
    return [f"{DIRECTORY}/{name}" for name in files.list(DIRECTORY) if _NAME.fullmatch(name)]


def write(files: Files, manifest: Manifest) -> None:
    """Make `manifest` the newest, durably. Raises `FileExistsError` when its generation is taken."""
    if TEMPORARY.rpartition("/")[2] in files.list(DIRECTORY):
        files.unlink(TEMPORARY)
    files.make_directory(DIRECTORY)
    file = files.create(TEMPORARY)
    try:
        file.write(0, _encode(manifest))
        file.sync()
    finally:
        file.close()
    files.link(TEMPORARY, path_of(manifest.generation))
    files.sync_directory(DIRECTORY)
    files.unlink(TEMPORARY)


def _encode(manifest: Manifest) -> bytes:
    line = msgspec.json.encode(manifest)
    return line + b'\n{"crc32c":"%08x"}\n' % google_crc32c.value(line)


def decode(data: bytes, path: str) -> Manifest | None:
    """A manifest from its file; None when it does not check. Raises `HomeNewer`."""
    line, _, rest = data.partition(b"\n")
    if rest != b'{"crc32c":"%08x"}\n' % google_crc32c.value(line):
        return None
    manifest = msgspec.json.decode(line, type=Manifest)
    if manifest.format != FORMAT:
        raise HomeNewer(
            f"{path} has manifest format {manifest.format}",
            why=f"this instar reads format {FORMAT}",
            next="install the instar that wrote it, or a later one",
        )
    return manifest
