"""Every error a caller of instar can meet.

    InstarError
    ├── SettingInvalid             a value in instar.toml, the environment or a flag cannot be read
    ├── ExtraMissing               an optional part is asked for and not installed
    ├── HomeError
    │   ├── HomeMissing            nothing is there and the command needs something
    │   ├── HomeForeign            the directory holds something that is not a home
    │   ├── HomeNewer              written by a newer instar than this one
    │   ├── HomeOwned              another process owns the home and cannot be spoken to
    │   ├── OwnerLost              the owner went away in the middle of a request
    │   ├── HomeReadOnly           opened for reading, or the file system refuses writes
    │   ├── HomeFull               no space; nothing was half-written
    │   ├── HomeClosed             used after close
    │   ├── StorePoisoned          a write or fsync failed; writes are refused until reopened
    │   ├── StoreCorrupt           bytes that were acknowledged do not read back
    │   └── Fenced                 a stale writer was refused
    ├── RecordError
    │   ├── RecordInvalid          a value breaks a rule of its type
    │   ├── RecordTooLarge         a value is over its bound in `core/limits.py`
    │   ├── VersionConflict        the record changed since it was read
    │   └── ScopeMissing           a read without a scope is refused
    ├── NotFound
    │   ├── PersonUnknown
    │   ├── ChannelUnknown
    │   ├── MessageUnknown
    │   └── MemoryUnknown
    ├── TransferError
    │   ├── ImportUnreadable       the file cannot be read as what it claims to be
    │   ├── ImportKindUnknown      the kind of a file could not be found out
    │   └── ExportCorrupt          an export does not match its own checksum
    ├── EmbedderMismatch           vectors of two embedders would be mixed
    └── ModelError
        ├── ModelKeyRefused        401 or 403
        ├── ModelUnknown           404 for the model, or for the path
        ├── ModelUnreachable       nothing answers at the URL
        ├── ModelOverloaded        429 after every retry
        ├── ModelFailed            5xx after every retry, or a refusal of the request
        ├── ModelTimeout           no answer, or a stream that stopped, within the bound
        └── ModelReplyInvalid      the answer is not in the promised form

Each error says what failed, which thing it was, why, and the next step: a command that exists.
"""

from __future__ import annotations

from typing import ClassVar


class InstarError(Exception):
    """Base of every error instar raises on purpose.

    `what` names the failure and the thing it concerns, `why` the cause, `next` a step that helps.
    `code` is stable across releases; programs may match on it.
    """

    code: ClassVar[str] = "instar"

    def __init__(self, what: str, *, why: str, next: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.next = next

    def __str__(self) -> str:
        return f"{self.what}: {self.why} (next: {self.next})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.why, self.next))


def _rebuild(kind: type[InstarError], what: str, why: str, next_: str) -> InstarError:
    return kind(what, why=why, next=next_)


def error_by_code(code: str) -> type[InstarError]:
    """Find the class for a stable code, so that an error can cross the owner's socket unchanged."""
    pending: list[type[InstarError]] = [InstarError]
    while pending:
        kind = pending.pop()
        if kind.code == code:
            return kind
        pending.extend(kind.__subclasses__())
    return InstarError


class SettingInvalid(InstarError):
    code = "setting-invalid"


class ExtraMissing(InstarError):
    code = "extra-missing"


class HomeError(InstarError):
    code = "home"


class HomeMissing(HomeError):
    code = "home-missing"


class HomeForeign(HomeError):
    code = "home-foreign"


class HomeNewer(HomeError):
    code = "home-newer"


class HomeOwned(HomeError):
    code = "home-owned"


class OwnerLost(HomeError):
    code = "owner-lost"


class HomeReadOnly(HomeError):
    code = "home-read-only"


class HomeFull(HomeError):
    code = "home-full"


class HomeClosed(HomeError):
    code = "home-closed"


class StorePoisoned(HomeError):
    code = "store-poisoned"


class StoreCorrupt(HomeError):
    code = "store-corrupt"


class Fenced(HomeError):
    code = "fenced"


class RecordError(InstarError):
    code = "record"


class RecordInvalid(RecordError):
    code = "record-invalid"


class RecordTooLarge(RecordError):
    code = "record-too-large"


class VersionConflict(RecordError):
    code = "version-conflict"


class ScopeMissing(RecordError):
    code = "scope-missing"


class NotFound(InstarError):
    code = "not-found"


class PersonUnknown(NotFound):
    code = "person-unknown"


class ChannelUnknown(NotFound):
    code = "channel-unknown"


class MessageUnknown(NotFound):
    code = "message-unknown"


class MemoryUnknown(NotFound):
    code = "memory-unknown"


class TransferError(InstarError):
    code = "transfer"


class ImportUnreadable(TransferError):
    code = "import-unreadable"


class ImportKindUnknown(TransferError):
    code = "import-kind-unknown"


class ExportCorrupt(TransferError):
    code = "export-corrupt"


class EmbedderMismatch(InstarError):
    code = "embedder-mismatch"


class ModelError(InstarError):
    code = "model"


class ModelKeyRefused(ModelError):
    code = "model-key-refused"


class ModelUnknown(ModelError):
    code = "model-unknown"


class ModelUnreachable(ModelError):
    code = "model-unreachable"


class ModelOverloaded(ModelError):
    code = "model-overloaded"


class ModelFailed(ModelError):
    code = "model-failed"


class ModelTimeout(ModelError):
    code = "model-timeout"


class ModelReplyInvalid(ModelError):
    code = "model-reply-invalid"
