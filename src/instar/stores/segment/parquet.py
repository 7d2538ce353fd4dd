"""Rows as Parquet, and Parquet as rows. Imports pyarrow: only the sealing worker and tests load this.

Every value comes back as it was. What fits its column's type stands in the column; what does not, and
what the struct does not name, stands as MessagePack in `_extra`. Beside the record's own fields each row has
`_key` (the engine's key, with its parts as text), `_version`, `_seq`, `_op` and `_subject`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import repeat
from typing import Any, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from instar.stores.segment.memtable import Row
from instar.stores.segment.schema import Column

ROW_GROUP_ROWS = 16_384  # smaller groups cost readers and disk; single rows are read from the row cache
Restore = Callable[[Any], Any]
_INT_MAX = 1 << 63
_FLOAT_EXACT_MAX = 1 << 53
_META = [
    pa.field("_key", pa.binary(), nullable=False),
    pa.field("_version", pa.uint64(), nullable=False),
    pa.field("_seq", pa.uint64(), nullable=False),
    pa.field("_op", pa.string(), nullable=False),
    pa.field("_subject", pa.string(), nullable=False),
    pa.field("_extra", pa.binary()),
]
_META_NAMES = {field.name for field in _META}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decoder = msgspec.msgpack.Decoder(dict[str, Any])
_rows_decoder = msgspec.msgpack.Decoder(list[Row])
_versions_decoder = msgspec.msgpack.Decoder(list[tuple[bytes, int]])
_packed_decoder = msgspec.msgpack.Decoder(tuple[int, bytes])
_SCALARS = {
    "text": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "bytes": pa.binary(),
    "time": pa.timestamp("us", tz="UTC"),
}


def encode_parquet(columns: Sequence[Column], rows: Sequence[Row]) -> bytes:
    """Rows in key order as one Parquet file."""
    shown = [column for column in columns if column.kind != "opaque" and column.name not in _META_NAMES]
    schema = pa.schema([_field(column) for column in shown] + _META)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd", compression_level=3) as writer:
        for at in range(0, len(rows), ROW_GROUP_ROWS):
            writer.write_table(_table(shown, schema, rows[at : at + ROW_GROUP_ROWS]))
    return sink.getvalue()


def decode_parquet(data: bytes | memoryview) -> Iterator[Row]:
    """The rows of a file, in its order, whatever struct it was written for."""
    file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(data)))
    for group in range(file.num_row_groups):
        yield from _rows(file.read_row_group(group))


def pack_rows(rows: Sequence[Row]) -> bytes:
    """Rows on their way from one merge to the next: quicker than Parquet, read by nobody else."""
    return _packed(msgspec.msgpack.encode(rows))


def unpack_rows(packed: bytes) -> list[Row]:
    """What `pack_rows` was given."""
    return _rows_decoder.decode(_unpacked(packed))


def pack_versions(rows: Sequence[Row]) -> bytes:
    """Every key of rows with its version."""
    return _packed(msgspec.msgpack.encode([(row.key, row.version) for row in rows]))


def unpack_versions(packed: bytes) -> list[tuple[bytes, int]]:
    """What `pack_versions` made."""
    return _versions_decoder.decode(_unpacked(packed))


def count_needles(data: bytes | memoryview, needles: Sequence[bytes]) -> tuple[int, int]:
    """How many bytes the texts and binaries of a file have once read, and how often a needle is in them."""
    file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(data)))
    scanned = found = 0
    for group in range(file.num_row_groups):
        for column in file.read_row_group(group).columns:
            for chunk in column.chunks:
                for plain in _plain_bytes(chunk):
                    scanned += len(plain)
                    found += sum(plain.count(needle) for needle in needles)
    return scanned, found


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, _type(column), metadata={"PARQUET:field_id": str(column.id)} if column.id else None)


def _type(column: Column) -> pa.DataType:
    if column.kind == "list":
        return pa.list_(pa.field("item", _type(column.items[0])))
    if column.kind == "map":
        return pa.map_(pa.string(), _type(column.items[0]))
    if column.kind == "struct":
        return pa.struct([_field(item) for item in column.items])
    return _SCALARS[column.kind]


def _table(columns: Sequence[Column], schema: pa.Schema, rows: Sequence[Row]) -> pa.Table:
    arrays: dict[str, list[Any]] = {field.name: [] for field in schema}
    for row in rows:
        fields = {} if row.value is None else _decoder.decode(row.value)
        for column in columns:
            arrays[column.name].append(_taken(column, fields))
        arrays["_key"].append(row.key)
        arrays["_version"].append(row.version)
        arrays["_seq"].append(row.seq)
        arrays["_op"].append("delete" if row.value is None else "put")
        arrays["_subject"].append(row.subject)
        arrays["_extra"].append(msgspec.msgpack.encode(fields) if fields else None)
    return pa.table([pa.array(arrays[f.name], type=f.type) for f in schema], schema=schema)


def _taken(column: Column, fields: dict[str, Any]) -> Any:
    """Take a field's value out of `fields` if its column can hold it exactly; else leave it there."""
    value = fields.get(column.name)
    if value is None:
        if column.nullable:
            fields.pop(column.name, None)
        return None
    if not _fits(column, value):
        return None
    del fields[column.name]
    return list(value.items()) if column.kind == "map" else value


def _fits(column: Column, value: Any) -> bool:
    """True when the value comes back from the column as it is, or as what the struct takes for the same."""
    match column.kind:
        case "text":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and -_INT_MAX <= value < _INT_MAX
        case "float":
            whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _FLOAT_EXACT_MAX
            return isinstance(value, float) or whole
        case "bytes":
            return isinstance(value, bytes)
        case "time":
            return isinstance(value, datetime) and value.tzinfo is not None
        case "list":
            return isinstance(value, list) and all(_fits(column.items[0], item) for item in value)
        case "map":
            return isinstance(value, dict) and all(
                isinstance(key, str) and _fits(column.items[0], item) for key, item in value.items()
            )
        case "struct":
            return isinstance(value, dict) and _struct_fits(column, value)
    return False


def _struct_fits(column: Column, value: dict[Any, Any]) -> bool:
    items = {item.name: item for item in column.items}
    return value.keys() <= items.keys() and all(
        items[name].nullable if inner is None else items[name].kind != "map" and _fits(items[name], inner)
        for name, inner in value.items()
    )


def _packed(plain: bytes) -> bytes:
    return msgspec.msgpack.encode((len(plain), pa.compress(plain, codec="lz4", asbytes=True)))


def _unpacked(packed: bytes) -> bytes:
    plain_bytes, content = _packed_decoder.decode(packed)
    return cast("bytes", pa.decompress(content, decompressed_size=plain_bytes, codec="lz4", asbytes=True))


def _rows(table: pa.Table) -> Iterator[Row]:
    names = [field.name for field in table.schema if field.name not in _META_NAMES]
    own = [_restored(table[name]) for name in names]
    records: Iterable[tuple[Any, ...]] = zip(*own, strict=True) if own else repeat((), table.num_rows)
    meta = [_restored(table[field.name]) for field in _META]
    for key, version, seq, op, subject, extra, record in zip(*meta, records, strict=True):
        yield Row(key, version, seq, subject, _value(names, record, extra) if op == "put" else None)


def _value(names: Sequence[str], record: Sequence[Any], extra: bytes | None) -> bytes:
    fields = {name: value for name, value in zip(names, record, strict=True) if value is not None}
    if extra is not None:
        fields |= msgspec.msgpack.decode(extra)
    return msgspec.msgpack.encode(fields)


def _restored(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column as they were; the way is found once for the column and not for each value."""
    values = [value for chunk in column.chunks for value in _listed(chunk)]
    restore = _restorer(column.type)
    return values if restore is None else [None if value is None else restore(value) for value in values]


def _listed(array: pa.Array) -> list[Any]:
    """`to_pylist`, ten times as quick for what numpy knows too."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return cast("list[Any]", array.to_numpy(zero_copy_only=False).tolist())
    if array.null_count == 0 and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return cast("list[Any]", array.to_numpy(zero_copy_only=False).tolist())
    if pa.types.is_timestamp(kind):
        return [
            None if us is None else _EPOCH + timedelta(microseconds=us) for us in array.view(pa.int64()).to_pylist()
        ]
    return cast("list[Any]", array.to_pylist())


def _restorer(kind: pa.DataType) -> Restore | None:
    """What makes a map, a list or a struct of what pyarrow gives; None where that is the value already."""
    if pa.types.is_map(kind):
        item = _restorer(kind.item_type)
        return dict if item is None else partial(_map, item)
    if pa.types.is_list(kind):
        item = _restorer(kind.value_type)
        return None if item is None else partial(_list, item)
    if pa.types.is_struct(kind):
        return partial(_struct, [(field.name, _restorer(field.type)) for field in kind])
    return None


def _map(restore: Restore, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {key: restore(item) for key, item in pairs}


def _list(restore: Restore, items: Sequence[Any]) -> list[Any]:
    return [restore(item) for item in items]


def _struct(fields: Sequence[tuple[str, Restore | None]], value: Mapping[str, Any]) -> dict[str, Any]:
    there = ((name, restore, value[name]) for name, restore in fields)
    return {name: restore(item) if restore else item for name, restore, item in there if item is not None}


def _plain_bytes(array: pa.Array) -> Iterator[bytes]:
    """The text and binary bytes inside an array, nested ones included."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        data = array.buffers()[2]
        if data is not None:
            yield data.to_pybytes()
    elif pa.types.is_struct(kind):
        for inner in array.flatten():
            yield from _plain_bytes(inner)
    elif pa.types.is_map(kind):
        yield from _plain_bytes(array.keys)
        yield from _plain_bytes(array.items)
    elif pa.types.is_list(kind):
        yield from _plain_bytes(array.values)
