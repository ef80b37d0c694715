"""Reads frozen TensorFlow 1 graphs as data: the few fields of `GraphDef` that a classifier needs.

The wire format is protobuf's (https://protobuf.dev/programming-guides/encoding/), the fields are those of
TensorFlow's graph.proto, node_def.proto, attr_value.proto and tensor.proto. Nothing in the file is run, nothing is
allocated for more than the file holds, and every length is checked before it is used.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvid.errors import NetworkError

Attribute = bool | int | float | str | tuple[int, ...] | npt.NDArray[np.float32] | npt.NDArray[np.int32]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types
_MAX_VARINT = 10  # bytes
_MAX_NODES = 20_000
_MAX_ELEMENTS = 2**28
_NUMBERS: dict[int, type[np.float32] | type[np.int32]] = {1: np.float32, 3: np.int32}  # DT_FLOAT, DT_INT32


@dataclass(frozen=True)
class GraphNode:
    """One operation: its inputs are names of nodes, in order; attributes of kinds that are not read are left out.

    Texts are strings, lists of integers tuples; tensors are float32 or int32 arrays, read-only.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


class _MalformedError(ValueError):
    pass


def read_graph(content: bytes, origin: str) -> list[GraphNode]:
    """Read the nodes of a serialised GraphDef, in the file's order. `origin` names the file in messages.

    Raises NetworkError for a graph that is truncated, and for any other file.
    """
    try:
        nodes = [_node(_message(value)) for number, value in _fields(memoryview(content)) if number == 1]
        if not nodes:
            raise _MalformedError("it has no nodes")
        if len(nodes) > _MAX_NODES:
            raise _MalformedError(f"it has {len(nodes)} nodes, more than {_MAX_NODES}")
    except (_MalformedError, UnicodeDecodeError) as error:
        raise NetworkError(
            f"{origin} is not a complete frozen TensorFlow graph: {error}. Its size is {len(content)} bytes. "
            "Give the file tensorflow_inception_graph.pb, unpacked from inception5h.zip, or that archive."
        ) from None
    return nodes


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of a message: an integer for a varint, else the bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(message, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise _MalformedError(f"a field of the unknown wire type {wire}")
        if length > len(message) - position:
            raise _MalformedError(
                f"a field of {length} bytes where only {len(message) - position} are left (is the file complete?)"
            )
        yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT):
        if position + index >= len(message):
            raise _MalformedError("it ends within a number")
        byte = message[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & (2**64 - 1), position + index + 1
    raise _MalformedError("a number without an end")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _MalformedError("a number where a message should be")
    return value


def _integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise _MalformedError("bytes where a number should be")
    return _signed(value)


def _text(value: int | memoryview) -> str:
    return str(_message(value), "utf-8")


def _node(message: memoryview) -> GraphNode:
    name = op = ""
    inputs: list[str] = []
    attributes: dict[str, Attribute] = {}
    for number, value in _fields(message):
        if number == 1:
            name = _text(value)
        elif number == 2:
            op = _text(value)
        elif number == 3:
            inputs.append(_text(value))
        elif number == 5:
            key, attribute = _entry(_message(value))
            if attribute is not None:
                attributes[key] = attribute
    if not name or not op:
        raise _MalformedError("a node without a name or an operation")
    return GraphNode(name, op, tuple(inputs), attributes)


def _entry(message: memoryview) -> tuple[str, Attribute | None]:
    """Read one entry of a node's map of attributes."""
    key, attribute = "", None
    for number, value in _fields(message):
        if number == 1:
            key = _text(value)
        elif number == 2:
            attribute = _attribute(_message(value))
    return key, attribute


def _attribute(message: memoryview) -> Attribute | None:
    found: Attribute | None = None
    for number, value in _fields(message):
        if number == 1:
            found = tuple(_integers(_message(value), 3))
        elif number == 2:
            found = _text(value)
        elif number == 3:
            found = _integer(value)
        elif number == 4:
            found = _float(value)
        elif number == 5:
            found = bool(_integer(value))
        elif number == 8:
            found = _tensor(_message(value))
    return found


def _integers(message: memoryview, wanted: int) -> Iterator[int]:
    """Yield the repeated integers of a field, packed or one by one."""
    for number, value in _fields(message):
        if number != wanted:
            continue
        if isinstance(value, int):
            yield _signed(value)
            continue
        position = 0
        while position < len(value):
            integer, position = _varint(value, position)
            yield _signed(integer)


def _float(value: int | memoryview) -> float:
    if isinstance(value, int) or len(value) != 4:
        raise _MalformedError("a number of another kind than 32-bit float")
    return float(struct.unpack("<f", value)[0])


def _tensor(message: memoryview) -> Attribute | None:
    """Read a tensor of float32 or int32, None for other types; a single value stands for all elements."""
    kind = 0
    shape: list[int] = []
    content: memoryview | None = None
    floats = bytearray()
    for number, value in _fields(message):
        if number == 1:
            kind = _integer(value)
        elif number == 2:
            shape = [_size(_message(size)) for dim, size in _fields(_message(value)) if dim == 2]
        elif number == 4:
            content = _message(value)
        elif number == 5:
            floats += _message(value)
    if kind not in _NUMBERS:
        return None
    number_type = _NUMBERS[kind]
    count = 1
    for size in shape:
        count *= size
        if not 0 <= size <= _MAX_ELEMENTS or count > _MAX_ELEMENTS:
            raise _MalformedError(f"a tensor of the shape {shape}")
    values: npt.NDArray[Any]
    if content is not None:
        if len(content) != 4 * count:
            raise _MalformedError(f"a tensor of the shape {shape} with {len(content)} bytes")
        values = np.frombuffer(content, np.dtype(number_type).newbyteorder("<"))
    elif number_type is np.int32:
        wide = list(_integers(message, 7))
        if any(abs(value) >= 2**31 for value in wide):
            raise _MalformedError("a number above 32 bits in a tensor of 32-bit numbers")
        values = np.array(wide, np.int32)
    else:
        if len(floats) % 4:
            raise _MalformedError("a tensor of 32-bit floats that ends within one")
        values = np.frombuffer(bytes(floats), "<f4")
    if values.size == 1 != count:
        return np.broadcast_to(values[0], shape)
    if values.size != count:
        raise _MalformedError(f"a tensor of the shape {shape} with {values.size} values")
    return values.reshape(shape)


def _size(message: memoryview) -> int:
    return next((_integer(value) for number, value in _fields(message) if number == 1), 0)
