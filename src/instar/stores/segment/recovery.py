"""Recovery: from the files a store left, however it ended, to the state that was acknowledged.

The newest manifest that checks says which segments there are and where the log goes on. The log is replayed
as long as its frames check and follow each other. What comes behind is an unfinished write, unless
something says that it was durable once: then it is damage, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from instar.core.errors import StoreCorrupt
from instar.stores.segment import manifest
from instar.stores.segment.files import Files
from instar.stores.segment.manifest import Manifest
from instar.stores.segment.wal import Frame, LogContent, LogWriter, decode_header, read_log


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What was read back."""

    manifest: Manifest
    last_seq: int
    log: LogWriter | None
    """Where writing goes on; None when no log was begun, or nothing is to be written."""
    damage: Sequence[str]
    """What does not read back; empty unless the store is opened for reading only."""
    sealed_log_bytes: int
    """In logs before the last one."""


def recover(files: Files, *, read_only: bool, replay: Callable[[Frame], None]) -> Recovered:
    """Read the manifest and hand every frame behind it to `replay`, in order.

    Raises `StoreCorrupt` naming the range; with `read_only` the range is in `damage`, and nothing behind
    it is replayed.
    """
    found = manifest.newest(files)
    damage = [f"{path}: its checksum is wrong; an older manifest was read instead" for path in found.damaged]
    reading = _Reading(files, found.manifest, replay, read_only=read_only)
    try:
        reading.read_logs()
    except StoreCorrupt as error:
        if not read_only:
            raise
        damage.append(f"{error.what}: {error.why}")
    return Recovered(
        manifest=found.manifest,
        last_seq=reading.next_seq - 1,
        log=reading.log,
        damage=damage,
        sealed_log_bytes=reading.earlier_bytes,
    )


class _Reading:
    def __init__(self, files: Files, state: Manifest, replay: Callable[[Frame], None], *, read_only: bool) -> None:
        self._files = files
        self._state = state
        self._replay = replay
        self._read_only = read_only
        self.next_seq = state.sealed_seq + 1
        self.log: LogWriter | None = None
        self.earlier_bytes = 0

    def read_logs(self) -> None:
        paths = [f"wal/{name}" for name in self._files.list("wal")]
        if self._state.log and self._state.log not in paths:
            raise corrupt(self._state.log, "the manifest names this log, and it is not there")
        if not self._state.generation and not paths and self._files.list("seg"):
            raise corrupt("manifest", "there are segments in seg, and neither a manifest nor a log that names them")
        paths = [path for path in paths if path >= self._state.log]
        for path in paths:
            self._read_log(path, last=path == paths[-1])

    def _read_log(self, path: str, *, last: bool) -> None:
        data = self._files.read(path)
        header = decode_header(data, path)
        if header is None:
            self._drop_unbegun(path, data, last=last)
            return
        if header.first_seq != self.next_seq:
            raise corrupt(path, f"it begins with frame {header.first_seq}, and {self.next_seq} is the next")
        content = read_log(data, header)
        for frame in content.frames:
            self._replay(frame)
            self.next_seq = frame.seq + 1
        if content.tail == "corrupt":
            raise corrupt(f"{path}, bytes {content.stop} to {len(data)}", _lost(content, self.next_seq))
        if not last:
            self.earlier_bytes += content.stop
        elif not self._read_only:
            self.log = LogWriter.resume(self._files, path, content, data)

    def _drop_unbegun(self, path: str, data: memoryview, *, last: bool) -> None:
        """A log whose header never reached the disk holds nothing: no frame is written before the header is durable."""
        if not last or path == self._state.log or bytes(data).strip(b"\x00"):
            raise corrupt(path, "its header does not check")
        if not self._read_only:
            self._files.unlink(path)
            self._files.sync_directory("wal")


def _lost(content: LogContent, next_seq: int) -> str:
    return f"frame {next_seq} does not check, and frames up to {content.durable_beyond} were durable"


def corrupt(where: str, why: str) -> StoreCorrupt:
    """The error for a log that does not read back."""
    return StoreCorrupt(
        f"the log is damaged at {where}", why=why, next="run `instar doctor`, then `instar doctor --repair`"
    )
