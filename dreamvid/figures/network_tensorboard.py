"""Writes a network as a graph into a TensorBoard log."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from dreamvid.errors import InputError, OutputError
from dreamvid.networks.network import Network
from dreamvid.networks.trace import IMAGE

_IMAGE = "image"
# TensorBoard can color nodes by their device; it shows no other marks.
_DREAMED_DEVICE = "/device:dreamed"


def write_graph_log(network: Network, dreamed: Collection[str], folder: Path) -> Path:
    """Write a network's layers to an event file in `folder`, which is created if necessary; return the file.

    A layer `a.b` is the node `a/b`, its inputs are the layers that it is computed from, and its attributes are its
    channels, stride and receptive field; one that only passes on another layer's output is an Identity of that. The
    layers `dreamed` (the network's own names) are on the device `dreamed`: choose "Color: Device". Raises InputError
    where TensorBoard is not installed, OutputError where the folder cannot be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.graph_pb2 import GraphDef
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise InputError(
            f"A TensorBoard log needs tensorboard, which is not installed ({error}): "
            "pip install 'dreamvid[tensorboard]'. Or write an image: `graph=network.svg`"
        ) from error
    graph = GraphDef()
    graph.node.add(name=_IMAGE, op="Placeholder")
    table = network.table.rows
    for flow in network.dataflow().values():
        info = table[flow.name]
        alias = flow.alias_of != flow.name
        read = (flow.alias_of,) if alias else flow.sources
        node: Any = graph.node.add(name=_node(flow.name), op="Identity" if alias else info.kind)
        node.input.extend(_IMAGE if name == IMAGE else _node(name) for name in read)
        if flow.name in dreamed:
            node.device = _DREAMED_DEVICE
        for key, number in (
            ("channels", info.channels),
            ("stride", info.stride),
            ("receptive_field", info.receptive_field),
        ):
            if number is not None:
                node.attr[key].i = number
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = set(folder.iterdir())
        writer = EventFileWriter(str(folder))
        try:
            writer.add_event(Event(graph_def=graph.SerializeToString()))
        finally:
            writer.close()
        (file,) = set(folder.iterdir()) - before
    except OSError as error:
        raise OutputError(f"cannot write a TensorBoard log to {folder}: {error.strerror or error}") from error
    return file


def _node(layer: str) -> str:
    return layer.replace(".", "/")
