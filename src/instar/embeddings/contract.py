"""What every embedder promises: the sentences of `port.py`, each as a test."""

from __future__ import annotations

import asyncio
import math
import struct
import subprocess
import sys
from typing import ClassVar

import pytest

from instar.embeddings.port import Embedder

TEXTS = (
    "My birthday is on 3 March.",
    "I live in Oslo, near the harbour.",
    "私は東京に住んでいます",
    "naïve café — ÅNGSTRÖM",
    "x",
    "word " * 400,
)
NOTHING = ("", "   ", "\n", "?!", "…", "🙂")


def values(vector: bytes) -> tuple[float, ...]:
    """A vector as numbers."""
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def cosine(left: bytes, right: bytes) -> float:
    """The dot product of two vectors."""
    return math.fsum(a * b for a, b in zip(values(left), values(right), strict=True))


class EmbedderContract:
    """The clauses of `Embedder`. A subclass gives the fixture `embedder`, and how another process makes one."""

    made_by: ClassVar[str]
    """An expression that makes the same embedder in a process that has imported `instar.embeddings.choose`."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        """The embedder under test; given by the subclass."""
        raise NotImplementedError("the subclass gives the fixture `embedder`")

    async def test_name_and_fingerprint_are_texts_that_say_something(self, embedder: Embedder) -> None:
        assert str(embedder.dimensions) in embedder.name
        assert "/" in embedder.fingerprint
        assert "f32" in embedder.fingerprint

    async def test_embed_returns_one_vector_per_text_in_order(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(TEXTS)
        alone = [(await embedder.embed([text]))[0] for text in TEXTS]
        assert list(vectors) == alone
        assert list(await embedder.embed(TEXTS[::-1])) == alone[::-1]
        assert len(set(alone)) == len(TEXTS)
        assert list(await embedder.embed([])) == []

    async def test_vectors_are_little_endian_float32_of_the_stated_length(self, embedder: Embedder) -> None:
        for vector in await embedder.embed([*TEXTS, *NOTHING]):
            assert len(vector) == 4 * embedder.dimensions
            assert all(abs(value) <= 1 for value in values(vector))

    async def test_vectors_have_unit_length(self, embedder: Embedder) -> None:
        for vector in await embedder.embed(TEXTS):
            assert cosine(vector, vector) == pytest.approx(1.0, abs=1e-6)

    async def test_a_text_without_anything_to_embed_gives_the_zero_vector(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(NOTHING)
        assert [any(values(vector)) for vector in vectors] == [False] * len(NOTHING)

    async def test_a_text_gives_the_same_vector_whatever_is_embedded_beside_it(self, embedder: Embedder) -> None:
        texts = [f"{text} {number}" for number in range(20) for text in TEXTS[:4]]
        together = await embedder.embed(texts)
        pairs = [
            vector for start in range(0, len(texts), 2) for vector in await embedder.embed(texts[start : start + 2])
        ]
        assert list(together) == pairs

    async def test_calls_side_by_side_do_not_mix(self, embedder: Embedder) -> None:
        answers = await asyncio.gather(*(embedder.embed([text]) for text in TEXTS))
        assert [answer[0] for answer in answers] == list(await embedder.embed(TEXTS))

    async def test_the_same_text_gives_the_same_vector_in_every_process(self, embedder: Embedder) -> None:
        script = (
            "import asyncio, sys\nfrom instar.embeddings.choose import choose_embedder\n"
            f"vectors = asyncio.run({self.made_by}.embed({list(TEXTS)!r}))\n"
            "sys.stdout.write(b''.join(vectors).hex())\n"
        )
        other = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", script], capture_output=True, check=True, text=True
        )
        assert bytes.fromhex(other.stdout) == b"".join(await embedder.embed(TEXTS))

    async def test_embed_does_not_block_the_event_loop(self, embedder: Embedder) -> None:
        await embedder.embed(["loaded"])
        turns = 0
        embedding = asyncio.ensure_future(embedder.embed([f"text {number} of many" for number in range(64)]))
        while not embedding.done():
            turns += 1
            await asyncio.sleep(0)
        assert len(await embedding) == 64
        # Work done on the loop takes exactly one turn; handed to a thread it takes more, however fast the thread is.
        assert turns > 1

    async def test_a_text_is_nearer_to_one_about_the_same_than_to_others(self, embedder: Embedder) -> None:
        birthday, question, chess = await embedder.embed(
            ["My birthday is on 3 March.", "When is my birthday?", "Bob plays chess on Sundays."]
        )
        assert cosine(birthday, question) > 0.4
        assert cosine(birthday, question) > cosine(chess, question) + 0.2
