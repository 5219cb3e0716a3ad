"""Writes and reads flatbuffer tables by field number, for schemas without generated code.

A field's number is its place in the schema's declaration of the table, from 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
from flatbuffers import encode
from flatbuffers import number_types as types
from flatbuffers.table import Table


@dataclass(frozen=True)
class Int8:
    """A value of one byte: an enumeration, or the member of a union."""

    value: int


@dataclass(frozen=True)
class UInt32:
    """A value of four bytes."""

    value: int


@dataclass(frozen=True)
class Offset:
    """A table, string or vector that has already been written."""

    position: int


Value = Int8 | UInt32 | Offset


class TableWriter:
    """Writes tables from the inside out: what a table refers to is written before it."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(256)

    def table(self, fields: Mapping[int, Value]) -> Offset:
        """Writes a table of values by field number; zeros take up no room and read as zero."""
        self._builder.StartObject(max(fields, default=-1) + 1)
        for field, value in fields.items():
            match value:
                case Int8(number):
                    self._builder.PrependInt8Slot(field, number, 0)
                case UInt32(number):
                    self._builder.PrependUint32Slot(field, number, 0)
                case Offset(position):
                    self._builder.PrependUOffsetTRelativeSlot(field, position, 0)
        return Offset(self._builder.EndObject())

    def tables(self, tables: Sequence[Offset]) -> Offset:
        """Writes a vector of tables."""
        self._builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table.position)
        return Offset(self._builder.EndVector())

    def text(self, value: str) -> Offset:
        """Writes a string."""
        return Offset(self._builder.CreateString(value))

    def floats(self, values: Sequence[float]) -> Offset:
        """Writes a vector of 32-bit floats."""
        return Offset(self._builder.CreateNumpyVector(np.asarray(values, "<f4")))

    def finish(self, root: Offset, file_identifier: bytes) -> bytes:
        """Returns the buffer whose root table is ``root``."""
        self._builder.Finish(root.position, file_identifier=file_identifier)
        return bytes(self._builder.Output())


class TableReader:
    """Reads the fields of one table; an absent field reads as zero, empty or ``None``."""

    def __init__(self, buffer: bytes, position: int) -> None:
        self._table = Table(bytearray(buffer), position)

    @classmethod
    def root(cls, buffer: bytes) -> "TableReader":
        """The root table of a buffer."""
        return cls(buffer, encode.Get(types.UOffsetTFlags.packer_type, buffer, 0))

    def _offset(self, field: int) -> int:
        return int(self._table.Offset(4 + 2 * field))

    def byte(self, field: int) -> int:
        """A value of one byte."""
        offset = self._offset(field)
        return int(self._table.Get(types.Int8Flags, offset + self._table.Pos)) if offset else 0

    def text(self, field: int) -> str:
        """A string."""
        offset = self._offset(field)
        return bytes(self._table.String(offset + self._table.Pos)).decode("utf-8") if offset else ""

    def floats(self, field: int) -> list[float]:
        """A vector of 32-bit floats."""
        offset = self._offset(field)
        return [float(value) for value in self._table.GetVectorAsNumpy(types.Float32Flags, offset)] if offset else []

    def table(self, field: int) -> "TableReader | None":
        """A table, or the value of a union."""
        offset = self._offset(field)
        return self._at(self._table.Indirect(offset + self._table.Pos)) if offset else None

    def tables(self, field: int) -> Iterator["TableReader"]:
        """The tables of a vector."""
        offset = self._offset(field)
        if offset:
            start = self._table.Vector(offset)
            for index in range(self._table.VectorLen(offset)):
                yield self._at(self._table.Indirect(start + 4 * index))

    def _at(self, position: int) -> "TableReader":
        return TableReader(self._table.Bytes, position)
