"""The embedder: text in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Embedder(Protocol):
    """The port. Each sentence of a docstring is a clause of `contract.py`."""

    @property
    def name(self) -> str:
        """How people should read it, for example "MiniLM-L6-v2 (384 dimensions)"."""

    @property
    def fingerprint(self) -> str:
        """Names model digest, dtype, pooling and normalisation; equal fingerprints give comparable vectors."""

    @property
    def dimensions(self) -> int:
        """Length of every vector."""

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        """Return one vector per text, in order: little-endian float32, unit length.

        A text without anything to embed gives the zero vector. The same text gives the same vector in every
        process. Does not block the event loop.
        """
