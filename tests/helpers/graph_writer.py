"""Writes frozen TensorFlow graphs, in the two ways in which TensorFlow itself stores small tensors."""

import struct
from collections.abc import Iterable

import numpy as np

from dreamvid.networks.tensorflow.graphdef import GraphNode


def varint(value: int) -> bytes:
    value %= 2**64
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | bytes | str) -> bytes:
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(value: np.ndarray) -> bytes:
    sizes = b"".join(field(2, field(1, size)) for size in value.shape)
    if value.dtype == np.int32 and value.ndim == 0:
        return field(1, 3) + field(2, sizes) + field(7, varint(int(value)))
    kind = 1 if value.dtype == np.float32 else 3
    return field(1, kind) + field(2, sizes) + field(4, np.ascontiguousarray(value).tobytes())


def attribute(value: object) -> bytes:
    if isinstance(value, np.ndarray):
        return field(8, tensor(value))
    if isinstance(value, tuple):
        return field(1, field(3, b"".join(varint(one) for one in value)))
    if isinstance(value, bool):
        return field(5, int(value))
    if isinstance(value, int):
        return field(3, value)
    return field(4, value) if isinstance(value, float) else field(2, str(value))


def write_graph(nodes: Iterable[GraphNode]) -> bytes:
    """Serialise as TensorFlow does: dtypes said, and a version at the end."""
    graph = []
    for node in nodes:
        kinds = {"Const": ("dtype",), "Placeholder": ("dtype",), "Reshape": ("T", "Tshape")}.get(node.op, ("T",))
        attributes = dict(node.attributes)
        message = field(1, node.name) + field(2, node.op) + b"".join(field(3, name) for name in node.inputs)
        message += field(4, "/cpu:0")
        if node.op == "Concat":
            message += field(5, field(1, "N") + field(2, field(3, len(node.inputs) - 1)))
        for kind in kinds:
            integers = kind == "Tshape" or getattr(attributes.get("value"), "dtype", None) == np.int32
            message += field(5, field(1, kind) + field(2, field(6, 3 if integers else 1)))
        for name, value in attributes.items():
            message += field(5, field(1, name) + field(2, attribute(value)))
        graph.append(field(1, message))
    return b"".join([*graph, field(4, field(1, 8))])
