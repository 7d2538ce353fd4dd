"""A BERT encoder with mean pooling as an ONNX model that reads its weights straight from a safetensors file.

An ONNX model is one Protocol Buffers message; the few fields used here are written by hand (numbers after
onnx.proto, https://github.com/onnx/onnx), so that neither `onnx` nor `torch` is needed. The weights are not
copied: every initializer names a range of bytes in the safetensors file.

Texts of one call have the same number of tokens, so there is no padding and no attention mask, and a text's
vector does not depend on what was embedded beside it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import msgspec

_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8
_LAYER_NORM_EPSILON = 1e-12


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of a safetensors file."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def tensors_of(weights: Path) -> tuple[dict[str, Tensor], int]:
    """The tensors of a safetensors file, and where in the file their bytes begin."""
    with weights.open("rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        header = msgspec.json.decode(file.read(header_bytes), type=dict[str, msgspec.Raw])
    header.pop("__metadata__", None)
    return {name: msgspec.json.decode(raw, type=Tensor) for name, raw in header.items()}, 8 + header_bytes


def encoder_model(weights: Path, *, layers: int, heads: int, hidden: int) -> bytes:
    """The serialized model: input `ids` (int64, batch by length), output `pooled` (float32, batch by hidden)."""
    graph = _Graph(weights)
    graph.embed_tokens(hidden)
    for layer in range(layers):
        graph.attend(f"encoder.layer.{layer}.", heads=heads, hidden=hidden)
        graph.feed_forward(f"encoder.layer.{layer}.")
    graph.node("ReduceMean", ["x"], "pooled", axes=[1], keepdims=0)
    return graph.model()


class _Graph:
    """Nodes and initializers as they are added; `x` always names the newest hidden state."""

    def __init__(self, weights: Path) -> None:
        self._tensors, self._data_start = tensors_of(weights)
        self._weights_name = weights.name
        self._parts: list[bytes] = []
        self._known: set[str] = set()

    def embed_tokens(self, hidden: int) -> None:
        self.node("Shape", ["ids"], "ids_shape")
        self.node("Gather", [self.weight("embeddings.word_embeddings.weight"), "ids"], "word_vectors", axis=0)
        self.node("Shape", ["ids"], "length", start=1, end=2)
        positions = self.weight("embeddings.position_embeddings.weight")
        self.node("Slice", [positions, self.integers("zero", [0]), "length"], "positions")
        first_type = self.integers("first_type", [0])
        self.node("Gather", [self.weight("embeddings.token_type_embeddings.weight"), first_type], "types", axis=0)
        self.node("Add", ["word_vectors", "positions"], "placed")
        self.node("Add", ["placed", "types"], "embedded")
        self.node("Concat", ["ids_shape", self.integers("hidden", [hidden])], "x_shape", axis=0)
        self.normalise("embedded", "embeddings.LayerNorm.")

    def attend(self, layer: str, *, heads: int, hidden: int) -> None:
        width = hidden // heads
        self.node("Concat", ["ids_shape", self.integers("heads", [heads, width])], f"{layer}split", axis=0)
        for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            flat = self.linear("x", f"{layer}attention.self.{part}.")
            self.node("Reshape", [flat, f"{layer}split"], f"{flat}.split")
            self.node("Transpose", [f"{flat}.split"], f"{layer}{part}", perm=order)
        self.node("MatMul", [f"{layer}query", f"{layer}key"], f"{layer}likeness")
        scale = self.floats("scale", [width**-0.5])
        self.node("Mul", [f"{layer}likeness", scale], f"{layer}scaled")
        self.node("Softmax", [f"{layer}scaled"], f"{layer}share", axis=-1)
        self.node("MatMul", [f"{layer}share", f"{layer}value"], f"{layer}mixed")
        self.node("Transpose", [f"{layer}mixed"], f"{layer}joined", perm=[0, 2, 1, 3])
        flat = self.linear(f"{layer}joined", f"{layer}attention.output.dense.")
        self.add_and_normalise(flat, f"{layer}attention.output.LayerNorm.")

    def feed_forward(self, layer: str) -> None:
        wide = self.linear("x", f"{layer}intermediate.dense.")
        self.node("Mul", [wide, self.floats("root_half", [0.5**0.5])], f"{layer}gelu.scaled")
        self.node("Erf", [f"{layer}gelu.scaled"], f"{layer}gelu.erf")
        self.node("Add", [f"{layer}gelu.erf", self.floats("one", [1.0])], f"{layer}gelu.raised")
        self.node("Mul", [wide, f"{layer}gelu.raised"], f"{layer}gelu.twice")
        self.node("Mul", [f"{layer}gelu.twice", self.floats("half", [0.5])], f"{layer}gelu")
        flat = self.linear(f"{layer}gelu", f"{layer}output.dense.")
        self.add_and_normalise(flat, f"{layer}output.LayerNorm.")

    def linear(self, source: str, name: str) -> str:
        """Weights are stored output by input, which is what Gemm takes with transB; it wants two dimensions."""
        weight, bias = self.weight(f"{name}weight"), self.weight(f"{name}bias")
        inputs = self._tensors[f"{name}weight"].shape[1]
        self.node("Reshape", [source, self.integers(f"rows_of_{inputs}", [-1, inputs])], f"{name}rows")
        self.node("Gemm", [f"{name}rows", weight, bias], f"{name}out", transB=1)
        return f"{name}out"

    def add_and_normalise(self, flat: str, name: str) -> None:
        self.node("Reshape", [flat, "x_shape"], f"{name}shaped")
        self.node("Add", [f"{name}shaped", "x"], f"{name}sum")
        self.normalise(f"{name}sum", name)

    def normalise(self, source: str, name: str) -> None:
        # ONNX names are assigned once, so the hidden state gets a new one and `x` follows it.
        inputs = [source, self.weight(f"{name}weight"), self.weight(f"{name}bias")]
        self.node("LayerNormalization", inputs, f"{name}out", axis=-1, epsilon=_LAYER_NORM_EPSILON)
        self._newest = f"{name}out"

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: float | list[int]) -> None:
        message = b"".join(_text(1, self._newest if name == "x" else name) for name in inputs)
        message += _text(2, output) + _text(4, kind)
        message += b"".join(_message(5, _attribute(name, value)) for name, value in attributes.items())
        self._parts.append(_message(1, message))

    def weight(self, name: str) -> str:
        tensor = self._tensors[name]
        start, stop = tensor.data_offsets
        place = {"location": self._weights_name, "offset": str(self._data_start + start), "length": str(stop - start)}
        entries = b"".join(_message(13, _text(1, key) + _text(2, text)) for key, text in place.items())
        return self._initializer(name, _FLOAT, tensor.shape, entries + _number(14, 1))

    def floats(self, name: str, values: Sequence[float]) -> str:
        return self._initializer(name, _FLOAT, [len(values)], _message(9, struct.pack(f"<{len(values)}f", *values)))

    def integers(self, name: str, values: Sequence[int]) -> str:
        return self._initializer(name, _INT64, [len(values)], _message(9, struct.pack(f"<{len(values)}q", *values)))

    def _initializer(self, name: str, data_type: int, shape: Sequence[int], content: bytes) -> str:
        if name not in self._known:
            self._known.add(name)
            dimensions = b"".join(_number(1, size) for size in shape)
            self._parts.append(_message(5, dimensions + _number(2, data_type) + _text(8, name) + content))
        return name

    def model(self) -> bytes:
        ids = _value("ids", _INT64, ["batch", "length"])
        pooled = _value("pooled", _FLOAT, ["batch", "hidden"])
        graph = b"".join(self._parts) + _text(2, "encoder") + _message(11, ids) + _message(12, pooled)
        return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, _number(2, _OPSET))


def _attribute(name: str, value: float | list[int]) -> bytes:
    if isinstance(value, float):
        return _text(1, name) + _key(2, 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, list):
        return _text(1, name) + b"".join(_number(8, item) for item in value) + _number(20, 7)
    return _text(1, name) + _number(3, value) + _number(20, 2)


def _value(name: str, element: int, dimensions: Sequence[str]) -> bytes:
    shape = b"".join(_message(1, _text(2, dimension)) for dimension in dimensions)
    return _text(1, name) + _message(2, _message(1, _number(1, element) + _message(2, shape)))


def _key(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _key(field, 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())
