"""The words leg: a tantivy index (BM25) of the terms that `instar.embeddings.analysis` gives. Derived.

Whom a memory is visible to is a filter inside the query, so the best hundred are the best hundred of the
scope. The index lives in memory, or beside the store's files under `cache/words` with a stamp: the store
version it covers and a digest of each of its files. A missing, damaged or older index is built anew.

Blocking; used from one thread.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import blake3
import msgspec

from instar.core.ids import MemoryId
from instar.core.records import Memory, MemoryKind, Scope
from instar.embeddings.analysis import ANALYSIS_VERSION, terms

if TYPE_CHECKING:
    import tantivy

FORM = f"1/analysis-{ANALYSIS_VERSION}"
"""Changes when the fields or the terms change."""

_WRITER_BYTES = 15_000_000  # the least tantivy takes for one thread
_TIES_KEPT = 2  # so many times the asked number is fetched, so that ties at the end are cut by id
_STAMP = "stamp.json"
_DAMAGED = (ValueError, OSError)  # what tantivy raises for files it cannot read


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What the files of an index hold."""

    form: str
    version: int
    """Every change of the store up to here is in the index."""
    digests: dict[str, str]
    """BLAKE3 of each file."""


class WordsIndex:
    """One index. What it is told is in it at the next question."""

    def __init__(self, directory: Path | None, *, not_above: int) -> None:
        """Open what is in `directory`, or begin an empty index; None keeps it in memory.

        An index that covers a version above `not_above` is of a store that has since lost its end.
        """
        self._directory = directory
        self._digests: dict[str, str] = {}
        self._pending: dict[MemoryId, Memory | None] = {}
        stamp = _stamp_of(directory) if directory else None
        self.covered = stamp.version if stamp and stamp.version <= not_above else 0
        """Every change of the store up to this version is in it; 0 for an empty one."""
        self._index = self._opened() if self.covered else self._begun()
        self._stamped = self.covered

    @property
    def count(self) -> int:
        """How many memories are in it."""
        self._commit()
        return int(self._index.searcher().num_docs)

    def follow(self, memory_id: MemoryId, memory: Memory | None) -> None:
        """Follow a change of the store; a superseded memory leaves the index like one that is gone."""
        self._pending[memory_id] = None if memory is None or memory.superseded_by is not None else memory

    def covers(self, version: int) -> None:
        """Note that it has been told of every change up to `version`."""
        self.covered = version

    def top(
        self, query: Sequence[str], scope: Scope, *, kinds: Sequence[MemoryKind] | None, limit: int
    ) -> list[MemoryId]:
        """The ids of the best memories that `scope` allows, best first; `kinds` None takes every kind."""
        from tantivy import Occur, Query

        self._commit()
        schema, searcher = self._index.schema, self._index.searcher()
        wanted = [(Occur.Should, Query.term_query(schema, "terms", term, "freq")) for term in query]
        required = [Query.boolean_query(wanted), _filter(_visible(schema, scope))]
        if kinds is not None:
            required.append(_filter(Query.term_set_query(schema, "kind", list(kinds))))
        every = Query.boolean_query([(Occur.Must, part) for part in required])
        found = searcher.search(every, limit * _TIES_KEPT, count=False).hits
        ranked = sorted((-round(float(score), 4), str(searcher.doc(address)["id"][0])) for score, address in found)
        return [MemoryId(memory_id) for _, memory_id in ranked[:limit]]

    def _commit(self) -> None:
        if self._pending:
            self._write()
        if self._directory is not None and self._stamped != self.covered:
            self._write_stamp(self._directory)
            self._stamped = self.covered

    def _write(self) -> None:
        import tantivy

        writer = self._index.writer(_WRITER_BYTES, 1)
        for memory_id, memory in self._pending.items():
            writer.delete_documents_by_term("id", memory_id)
            if memory is not None:
                writer.add_document(tantivy.Document(**_fields(memory)))
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
        self._pending.clear()

    def _opened(self) -> tantivy.Index:
        import tantivy

        try:
            return tantivy.Index.open(str(self._directory))
        except _DAMAGED:
            self.covered = 0
            return self._begun()

    def _begun(self) -> tantivy.Index:
        import tantivy

        if self._directory is None:
            return tantivy.Index(_schema())
        discard(self._directory)
        self._directory.mkdir(parents=True)
        return tantivy.Index(_schema(), path=str(self._directory))

    def _write_stamp(self, directory: Path) -> None:
        names = _index_files(directory)
        kept = {name: digest for name, digest in self._digests.items() if name in names and name[0] not in ".m"}
        self._digests = kept | {name: _digest(directory / name) for name in names if name not in kept}
        stamp = Stamp(form=FORM, version=self.covered, digests=self._digests)
        fresh = directory / f"{_STAMP}.new"
        fresh.write_bytes(msgspec.json.encode(stamp))
        fresh.replace(directory / _STAMP)


def is_kept(directory: Path) -> bool:
    """True when there is an index in `directory`, or was one."""
    return directory.exists()


def unstamp(directory: Path) -> None:
    """Let the next opening build the index anew, even after power loss; what is open goes on."""
    if not (directory / _STAMP).exists():
        return
    (directory / _STAMP).unlink()
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(directory: Path) -> None:
    """Take an index off the disk."""
    if directory.exists():
        shutil.rmtree(directory)


def _stamp_of(directory: Path) -> Stamp | None:
    """The stamp, if it is of this form and every file is as it says."""
    try:
        stamp = msgspec.json.decode((directory / _STAMP).read_bytes(), type=Stamp)
        if stamp.form != FORM or set(stamp.digests) != set(_index_files(directory)):
            return None
        whole = all(_digest(directory / name) == digest for name, digest in stamp.digests.items())
    except (OSError, msgspec.DecodeError):
        return None
    return stamp if whole else None


def _index_files(directory: Path) -> list[str]:
    """The files of the index itself, without the stamp and the writers' locks."""
    return [path.name for path in directory.iterdir() if not path.name.endswith(".lock") and _STAMP not in path.name]


def _digest(path: Path) -> str:
    return blake3.blake3(path.read_bytes()).hexdigest(length=16)


def _schema() -> tantivy.Schema:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    for name in ("person", "channel", "kind"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
    return builder.build()


def _fields(memory: Memory) -> dict[str, str]:
    said_by = f" {memory.author_name}" if memory.author_name else ""
    fields = {
        "id": memory.id,
        "person": memory.person,
        "kind": memory.kind,
        "terms": " ".join(terms(memory.text + said_by)),
    }
    return fields | ({"channel": memory.channel} if memory.shared and memory.channel else {})


def _visible(schema: tantivy.Schema, scope: Scope) -> tantivy.Query:
    from tantivy import Occur, Query

    own = (Occur.Should, Query.term_query(schema, "person", scope.person, "basic"))
    shared = [(Occur.Should, Query.term_query(schema, "channel", channel, "basic")) for channel in scope.channels]
    return Query.boolean_query([own, *shared])


def _filter(query: tantivy.Query) -> tantivy.Query:
    """A query that decides and does not count."""
    from tantivy import Query

    return Query.const_score_query(query, 0.0)
