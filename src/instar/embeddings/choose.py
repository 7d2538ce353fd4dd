"""Which embedder a home uses: the one asked for, or the best one installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instar.core.errors import SettingInvalid

if TYPE_CHECKING:
    from instar.embeddings.port import Embedder

KINDS = ("auto", "minilm", "hashing")


def choose_embedder(kind: str) -> Embedder:
    """Return the embedder for a value of the setting `embeddings.kind`.

    `auto` takes MiniLM when it is installed and hashing otherwise; `Embedder.name` says which it became.
    Raises `ExtraMissing` for `minilm` where it is not installed, `SettingInvalid` for any other word.
    """
    if kind not in KINDS:
        raise SettingInvalid(
            f"embeddings.kind is {kind!r}",
            why=f"the kinds are {', '.join(KINDS)}",
            next="set INSTAR_EMBEDDINGS_KIND to one of them, or take it away to use auto",
        )
    from instar.embeddings.minilm import MiniLmEmbedder, missing_parts

    if kind == "minilm" or (kind == "auto" and not missing_parts()):
        return MiniLmEmbedder()
    from instar.embeddings.hashing import HashingEmbedder

    return HashingEmbedder()
