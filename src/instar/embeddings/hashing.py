"""The embedder of last resort: words and letter groups hashed into a vector. No model, no download.

It knows spelling, not meaning: "birthdays" is near "birthday", "cake" is not. Every feature (a word's term,
or a group of three to five letters) adds plus or minus its weight to one of 384 places, both chosen by
BLAKE2b, so that every process gets the same vector (feature hashing, Weinberger et al. 2009). Function
words have no weight, since they say nothing about the subject.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from hashlib import blake2b
from math import log, sqrt
from typing import TYPE_CHECKING

from instar.embeddings.analysis import ANALYSIS_VERSION, STOP_WORDS, terms, words

if TYPE_CHECKING:
    from instar.embeddings.port import Embedder

DIMENSIONS = 384
_TERM_WEIGHT = 1.0
_LETTERS_WEIGHT = 0.5  # of a word's whole set of letter groups: spelling counts half of the word itself


class HashingEmbedder:
    """Vectors from spelling alone."""

    name = f"hashing of spelling ({DIMENSIONS} dimensions, last resort: finds words, not meaning)"
    fingerprint = f"hashing-1/analysis-{ANALYSIS_VERSION}/{DIMENSIONS}/f32/signed/l2"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="instar-hashing")

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return await asyncio.get_running_loop().run_in_executor(self._worker, _vectors, list(texts))


def _vectors(texts: Sequence[str]) -> list[bytes]:
    return [_vector(text) for text in texts]


def _vector(text: str) -> bytes:
    import numpy as np

    vector = np.zeros(DIMENSIONS, dtype=np.float64)
    telling = [word for word in words(text) if word not in STOP_WORDS] or words(text)
    for word, count in sorted(Counter(telling).items()):
        places, amounts = _features(word)
        np.add.at(vector, list(places), [amount * (1 + log(count)) for amount in amounts])
    length = sqrt(float(vector @ vector))
    if length == 0.0:
        return bytes(4 * DIMENSIONS)
    return (vector / length).astype("<f4").tobytes()


@lru_cache(maxsize=65_536)
def _features(word: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    found = [_place(f"term {term}", _TERM_WEIGHT) for term in terms(word)]
    groups = list(_letter_groups(f"<{word}>"))
    found += [_place(f"letters {group}", _LETTERS_WEIGHT / sqrt(len(groups))) for group in groups]
    return tuple(place for place, _ in found), tuple(amount for _, amount in found)


def _letter_groups(word: str) -> Iterator[str]:
    for size in (3, 4, 5):
        for start in range(len(word) - size + 1):
            yield word[start : start + size]


def _place(feature: str, weight: float) -> tuple[int, float]:
    bits = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "little")
    return (bits >> 1) % DIMENSIONS, weight if bits & 1 else -weight


if TYPE_CHECKING:
    _fulfils: type[Embedder] = HashingEmbedder
