"""The words leg: a tantivy index (BM25) of the terms that `instar.embeddings.analysis` gives. Derived.

Whom a memory is visible to is a filter inside the query, so the best hundred are the best hundred of the
scope. The index lives in memory, or beside the store's files under `cache/words` with a stamp: the store
version it covers and a digest of each of its files. A missing, damaged or older index is built anew.

The newest changes stand in `tail.py` and are ranked together with the index, so that nobody waits for it to
be written. Blocking.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import blake3
import msgspec

from instar.core.ids import MemoryId
from instar.core.records import Memory, MemoryKind, Scope
from instar.embeddings.analysis import ANALYSIS_VERSION
from instar.stores.memories.tail import Counted, Tail, indexed_terms, rarity, scored

if TYPE_CHECKING:
    import tantivy

FORM = f"1/analysis-{ANALYSIS_VERSION}"
"""Changes when the fields or the terms change."""

_WRITER_BYTES = 15_000_000  # the least tantivy takes for one thread
_TIES_KEPT = 2  # so many times the asked number is fetched, so that ties at the end are cut by id
_SAME_SCORE = 1e-4  # the index sums in float32, the tail in float64
_PROBES_MAX = 1_000  # terms tried until one is found that not only deleted memories have
_STAMP = "stamp.json"
_DAMAGED = (ValueError, OSError)  # what tantivy raises for files it cannot read


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What the files of an index hold."""

    form: str
    version: int
    """Every change of the store up to here is in the index."""
    digests: dict[str, str]
    """BLAKE3 of each file."""


class Base(msgspec.Struct, frozen=True):
    """An index as it was at one moment; later writes do not disturb it."""

    index: tantivy.Index
    searcher: tantivy.Searcher
    total: int
    """Memories, those counted that were deleted and are not merged away yet: so BM25 counts them."""
    average_length: float

    def holding(self, term: str) -> int:
        """How many memories have a term."""
        return int(self.searcher.doc_freq("terms", term))

    def known(self, memory_ids: Iterable[MemoryId]) -> list[MemoryId]:
        """Those of the ids that it may still hold."""
        return [memory_id for memory_id in memory_ids if self.searcher.doc_freq("id", memory_id)]

    def count(self, hidden: Sequence[MemoryId]) -> int:
        """How many memories are in it, without the hidden ones."""
        if not hidden:
            return int(self.searcher.num_docs)
        found = self.searcher.search(_any_of(self.index.schema, "id", hidden), len(hidden), count=False).hits
        return int(self.searcher.num_docs) - len(found)

    def scored(
        self,
        weights: Mapping[str, float],
        scope: Scope,
        kinds: Sequence[MemoryKind] | None,
        *,
        hidden: Sequence[MemoryId],
        limit: int,
    ) -> list[tuple[float, MemoryId]]:
        """Score and id of the best `limit`; a term counts by its weight instead of its rarity in here."""
        from tantivy import Occur

        wanted = [part for term in weights if (part := self._term(term, weights[term])) is not None]
        if not wanted:
            return []
        parts = [(Occur.Must, _either(wanted)), (Occur.Must, _filter(_visible(self.index.schema, scope)))]
        if kinds is not None:
            parts.append((Occur.Must, _filter(_any_of(self.index.schema, "kind", kinds))))
        if hidden:
            parts.append((Occur.MustNot, _any_of(self.index.schema, "id", hidden)))
        return self._found(parts, limit)

    def _found(self, parts: list[tuple[tantivy.Occur, tantivy.Query]], limit: int) -> list[tuple[float, MemoryId]]:
        from tantivy import Query

        hits = self.searcher.search(Query.boolean_query(parts), limit, count=False).hits
        return [(float(score), MemoryId(str(self.searcher.doc(address)["id"][0]))) for score, address in hits]

    def _term(self, term: str, weight: float) -> tantivy.Query | None:
        from tantivy import Query

        holding = self.holding(term)
        if not holding:
            return None
        query = Query.term_query(self.index.schema, "terms", term, "freq")
        return Query.boost_query(query, weight / rarity(self.total, holding))


class Fold(msgspec.Struct, frozen=True):
    """Changes on their way from the tail into the index."""

    changes: dict[MemoryId, Memory | None]
    covered: int
    """With them the index has every change of the store up to this version."""


class WordsIndex:
    """One index and its tail. What it is told is found by the next question; the index follows in folds.

    `written` may run on a second thread while questions are answered; everything else is for one thread.
    """

    def __init__(self, directory: Path | None, *, not_above: int) -> None:
        """Open what is in `directory`, or begin an empty index; None keeps it in memory.

        An index that covers a version above `not_above` is of a store that has since lost its end.
        """
        self._directory = directory
        self._digests: dict[str, str] = {}
        self._tail = Tail()
        stamp = _stamp_of(directory) if directory else None
        self.covered = stamp.version if stamp and stamp.version <= not_above else 0
        """Every change of the store up to this version is in it; 0 for an empty one."""
        self._base = self._opened() if self.covered else None
        if self._base is None and directory is not None:
            discard(directory)

    @property
    def count(self) -> int:
        """How many memories are in it."""
        indexed = self._base.count(self._hidden()) if self._base else 0
        return indexed + len(self._tail.counted())

    @property
    def behind(self) -> int:
        """How many changes the index does not have yet."""
        return len(self._tail)

    def follow(self, memory_id: MemoryId, memory: Memory | None) -> None:
        """Follow a change of the store; a superseded memory leaves the index like one that is gone."""
        self._tail.put(memory_id, None if memory is None or memory.superseded_by is not None else memory)

    def covers(self, version: int) -> None:
        """Note that it has been told of every change up to `version`."""
        self.covered = version

    def top(
        self, query: Sequence[str], scope: Scope, *, kinds: Sequence[MemoryKind] | None, limit: int
    ) -> list[MemoryId]:
        """The ids of the best memories that `scope` allows, best first; `kinds` None takes every kind."""
        newest = self._tail.counted()
        weights = self._weights(query, newest)
        found = scored(newest, weights, scope, kinds, average_length=self._average_length(newest))
        if self._base is not None:
            found += self._base.scored(weights, scope, kinds, hidden=self._hidden(), limit=limit * _TIES_KEPT)
        return [memory_id for _, memory_id in _ordered(found)[:limit]]

    def _weights(self, query: Sequence[str], newest: Sequence[Counted]) -> dict[str, float]:
        """The rarity of each term of the query among all memories, indexed or newer."""
        base = self._base
        total = len(newest) + (base.total if base else 0)
        holding = {
            term: sum(term in each.times for each in newest) + (base.holding(term) if base else 0) for term in query
        }
        return {term: rarity(total, number) for term, number in holding.items() if number}

    def _average_length(self, newest: Sequence[Counted]) -> float:
        if self._base is not None:
            return self._base.average_length
        return sum(each.words for each in newest) / max(1, len(newest)) or 1.0

    def _hidden(self) -> list[MemoryId]:
        return self._base.known(self._tail.changes()) if self._base else []

    # --- folding ----------------------------------------------------------------------------------

    def fold(self) -> None:
        """Write the tail into the index now."""
        fold = self.begun()
        self.adopt(fold, self.written(fold))

    def begun(self) -> Fold:
        """The tail as it is now, to be written; one fold at a time."""
        return Fold(self._tail.changes(), self.covered)

    def written(self, fold: Fold) -> Base:
        """Write a fold into the index and return the index with it. Questions go on with the one before."""
        import tantivy

        index = self._base.index if self._base else self._fresh()
        writer = index.writer(_WRITER_BYTES, 1)
        for memory_id, memory in fold.changes.items():
            writer.delete_documents_by_term("id", memory_id)
            if memory is not None:
                writer.add_document(tantivy.Document(**_fields(memory)))
        writer.commit()
        writer.wait_merging_threads()
        if self._directory is not None:
            self._write_stamp(self._directory, fold.covered)
        return _base(index)

    def adopt(self, fold: Fold, base: Base) -> None:
        """Answer from the index that has the fold."""
        self._base = base
        self._tail.release(fold.changes)

    def _opened(self) -> Base | None:
        import tantivy

        try:
            return _base(tantivy.Index.open(str(self._directory)))
        except _DAMAGED:
            self.covered = 0
            return None

    def _fresh(self) -> tantivy.Index:
        import tantivy

        if self._directory is None:
            return tantivy.Index(_schema())
        discard(self._directory)
        self._directory.mkdir(parents=True)
        return tantivy.Index(_schema(), path=str(self._directory))

    def _write_stamp(self, directory: Path, version: int) -> None:
        names = _index_files(directory)
        kept = {name: digest for name, digest in self._digests.items() if name in names and name[0] not in ".m"}
        self._digests = kept | {name: _digest(directory / name) for name in names if name not in kept}
        stamp = Stamp(form=FORM, version=version, digests=self._digests)
        fresh = directory / f"{_STAMP}.new"
        fresh.write_bytes(msgspec.json.encode(stamp))
        fresh.replace(directory / _STAMP)


def _ordered(found: Sequence[tuple[float, MemoryId]]) -> list[tuple[float, MemoryId]]:
    """Best first; scores that differ by no more than rounding are one score, and the id decides."""
    ordered: list[tuple[float, MemoryId]] = []
    leader = math.inf
    for score, memory_id in sorted(found, reverse=True):
        leader = leader if leader - score < _SAME_SCORE else score
        ordered.append((-leader, memory_id))
    return sorted(ordered)


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
    fields = {
        "id": memory.id,
        "person": memory.person,
        "kind": memory.kind,
        "terms": " ".join(indexed_terms(memory)),
    }
    return fields | ({"channel": memory.channel} if memory.shared and memory.channel else {})


def _base(index: tantivy.Index) -> Base:
    index.reload()
    searcher = index.searcher()
    total = sum(searcher.doc_freq("kind", kind) for kind in get_args(MemoryKind))
    return Base(index, searcher, total, _average_length(index, searcher))


def _average_length(index: tantivy.Index, searcher: tantivy.Searcher) -> float:
    """The average that BM25 compares lengths with, as the index explains it; 1 where it holds no term."""
    from tantivy import Query

    for term, _ in searcher.terms_with_prefix("terms", "", limit=_PROBES_MAX):
        query = Query.term_query(index.schema, "terms", term, "freq")
        for _, address in searcher.search(query, 1, count=False).hits:
            explained = json.loads(query.explain(searcher, address).to_json())
            return float(next(part["value"] for part in _parts(explained) if part["description"].startswith("avgdl")))
    return 1.0


def _parts(explained: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield explained
    for part in explained.get("details", ()):
        yield from _parts(part)


def _either(queries: Sequence[tantivy.Query]) -> tantivy.Query:
    from tantivy import Occur, Query

    return Query.boolean_query([(Occur.Should, query) for query in queries])


def _any_of(schema: tantivy.Schema, field: str, values: Sequence[str]) -> tantivy.Query:
    from tantivy import Query

    return Query.term_set_query(schema, field, list(values))


def _visible(schema: tantivy.Schema, scope: Scope) -> tantivy.Query:
    from tantivy import Occur, Query

    own = (Occur.Should, Query.term_query(schema, "person", scope.person, "basic"))
    shared = [(Occur.Should, Query.term_query(schema, "channel", channel, "basic")) for channel in scope.channels]
    return Query.boolean_query([own, *shared])


def _filter(query: tantivy.Query) -> tantivy.Query:
    """A query that decides and does not count."""
    from tantivy import Query

    return Query.const_score_query(query, 0.0)
