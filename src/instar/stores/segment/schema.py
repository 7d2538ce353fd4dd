"""Columns of a collection: how the fields of its struct stand in Parquet.

The owner derives them from the struct and hands them to the sealing worker as data, so that the worker
needs none of the owner's classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal["text", "int", "float", "bool", "bytes", "time", "list", "struct", "map", "opaque"]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One field. `opaque` is a form without a column type: such values stay in `_extra`."""

    name: str
    kind: Kind
    id: int = 0
    """The field id in Parquet; a name keeps its id for as long as the store lives."""
    nullable: bool = False
    """True when a missing value means None, so that None need not be told from missing."""
    items: tuple[Column, ...] = ()
    """Of a list or map: the one inside. Of a struct: its fields."""


_KINDS: dict[str, Kind] = {
    "StrType": "text",
    "LiteralType": "text",
    "EnumType": "text",
    "IntType": "int",
    "FloatType": "float",
    "BoolType": "bool",
    "BytesType": "bytes",
    "DateTimeType": "time",
    "ListType": "list",
    "VarTupleType": "list",
    "SetType": "list",
    "FrozenSetType": "list",
    "DictType": "map",
    "StructType": "struct",
}


def columns_of(struct: type[msgspec.Struct], ids: Mapping[str, int]) -> Sequence[Column]:
    """The columns of a struct, numbered with `ids` where a name has one and behind the highest where not."""
    columns = _fields(msgspec.inspect.type_info(struct))
    numbered = dict(ids)
    for column in columns:
        numbered.setdefault(column.name, max(numbered.values(), default=0) + 1)
    return [msgspec.structs.replace(column, id=numbered[column.name]) for column in columns]


def _fields(info: object) -> tuple[Column, ...]:
    assert isinstance(info, msgspec.inspect.StructType), "values are maps of a struct's fields"
    return tuple(
        _column(field.encode_name, field.type, nullable=not field.required and field.default is None)
        for field in info.fields
    )


def _column(name: str, info: msgspec.inspect.Type, *, nullable: bool) -> Column:
    if isinstance(info, msgspec.inspect.UnionType):
        some = [each for each in info.types if not isinstance(each, msgspec.inspect.NoneType)]
        if len(some) != 1:
            return Column(name=name, kind="opaque")
        info = some[0]
    kind = _KINDS.get(type(info).__name__, "opaque")
    if isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType | msgspec.inspect.CollectionType):
        return _around(name, "list", _column("item", info.item_type, nullable=False), nullable=nullable)
    if isinstance(info, msgspec.inspect.DictType):
        inner = _column("value", info.value_type, nullable=False)
        keyed_by_text = isinstance(info.key_type, msgspec.inspect.StrType)
        return _around(name, "map", inner, nullable=nullable) if keyed_by_text else Column(name=name, kind="opaque")
    if isinstance(info, msgspec.inspect.StructType):
        fields = _fields(info)
        plain = not info.array_like and info.tag is None and fields
        opaque = not plain or any(field.kind == "opaque" for field in fields)
        return (
            Column(name=name, kind="opaque")
            if opaque
            else Column(name=name, kind=kind, nullable=nullable, items=fields)
        )
    return Column(name=name, kind=kind, nullable=nullable)


def _around(name: str, kind: Kind, inner: Column, *, nullable: bool) -> Column:
    if inner.kind == "opaque":
        return Column(name=name, kind="opaque")
    return Column(name=name, kind=kind, nullable=nullable, items=(inner,))
