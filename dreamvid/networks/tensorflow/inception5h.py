"""Builds "inception5h", the network of the first dreams: the GoogLeNet of TensorFlow's DeepDream notebook (2015).

Its frozen graph holds 59 convolutions with 7,548 channels in all, three classifying heads among them, and takes RGB
from 0 to 255 less 117. The published archive (Apache-2.0, The TensorFlow Authors, 2015) is checked against the SHA-256
that TensorFlow's own build had for it (WORKSPACE of TensorFlow 1.2).
"""

import hashlib
import http.client
import io
import os
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from dreamvid.errors import NetworkError
from dreamvid.networks.tensorflow.graphdef import Attribute, GraphNode, read_graph
from dreamvid.networks.tensorflow.ops import FrozenGraph

NAME = "inception5h"
URL = "https://storage.googleapis.com/download.tensorflow.org/models/inception5h.zip"
SHA256 = "d13569f6a98159de37e92e9c8ec4dae8f674fbf475f69fe6199b514f756d4364"
SIZE_MB = 50.0
GRAPH_FILE = "tensorflow_inception_graph.pb"
LOGITS = "softmax2_pre_activation"
INPUT_SIZE = 224
# Images are in [0, 1]: 255 x - 117 = (x - MEAN) / STD.
MEAN = 117 / 255
STD = 1 / 255

_MAX_BYTES = 256 * 10**6  # of a file, unpacked too; the graph has 54 million
_READ_BYTES = 1 << 20
_DOWNLOAD_SECONDS = 900
_STALL_SECONDS = 30

_STEM = (("conv2d0", 7, 64), ("conv2d1", 1, 64), ("conv2d2", 3, 192))
# Channels of an inception block's convolutions: 1x1; 3x3 and its bottleneck; 5x5 and its; behind the pooling.
_BLOCKS = {
    "mixed3a": (64, 96, 128, 16, 32, 32),
    "mixed3b": (128, 128, 192, 32, 96, 64),
    "mixed4a": (192, 96, 204, 16, 48, 64),
    "mixed4b": (160, 112, 224, 24, 64, 64),
    "mixed4c": (128, 128, 256, 24, 64, 64),
    "mixed4d": (112, 144, 288, 32, 64, 64),
    "mixed4e": (256, 160, 320, 32, 128, 128),
    "mixed5a": (256, 160, 320, 48, 128, 128),
    "mixed5b": (384, 192, 384, 48, 128, 128),
}
_HEADS = {"0": "mixed4a", "1": "mixed4d"}  # the classifiers that only training used, and what they read
_POOLS = {"mixed3b": "maxpool4", "mixed4e": "maxpool10"}  # behind these blocks
_CLASSES = 1008


class Inception5h(FrozenGraph):
    """The network, with random weights (from PyTorch's random state) until `load` reads a file."""

    def __init__(self) -> None:
        super().__init__(architecture(), LOGITS)

    def load(self, path: Path) -> None:
        """Load a frozen graph's file or the published archive; the constants of the graph become the weights.

        Raises NetworkError for a file that is missing, truncated or of another network.
        """
        nodes = read_graph(_graph_bytes(path), repr(str(path)))
        _check(nodes, path)
        self.load_nodes(nodes, LOGITS)


def fetch(target: Path) -> None:
    """Download the published archive to `target`, unless it is there already. Raises OSError or HTTPException."""
    if target.is_file() and _sha256(target) == SHA256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    deadline = time.monotonic() + _DOWNLOAD_SECONDS
    try:
        with urllib.request.urlopen(URL, timeout=_STALL_SECONDS) as answer, part.open("wb") as file:
            while block := answer.read(_READ_BYTES):
                if file.tell() + len(block) > _MAX_BYTES or time.monotonic() > deadline:
                    raise OSError(f"more than {_MAX_BYTES} bytes or {_DOWNLOAD_SECONDS} seconds")
                file.write(block)
        if (got := _sha256(part)) != SHA256:
            raise OSError(f"the file's SHA-256 is {got} instead of {SHA256}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


# What `fetch` raises.
FETCH_ERRORS = (OSError, http.client.HTTPException)


def architecture() -> list[GraphNode]:
    """Make the graph's nodes with random weights (He et al., 2015, "Delving Deep into Rectifiers")."""
    nodes = list(_operations())
    shapes: dict[str, tuple[int, ...]] = {}
    for name, side, before, after in _convolutions():
        shapes |= {f"{name}_w": (side, side, before, after), f"{name}_b": (after,)}
    for head in _HEADS:
        shapes |= {f"nn{head}_w": (2048, 1024), f"nn{head}_b": (1024,)}
    for head in (*_HEADS, "2"):
        shapes |= {f"softmax{head}_w": (1024, _CLASSES), f"softmax{head}_b": (_CLASSES,)}
    constants = []
    for name, shape in shapes.items():
        deviation = (2 / np.prod(shape[:-1])) ** 0.5 if len(shape) > 1 else 0.1
        constants.append(GraphNode(name, "Const", (), {"value": (deviation * torch.randn(shape)).numpy()}))
    return [*constants, *nodes]


def _convolutions() -> Iterator[tuple[str, int, int, int]]:
    """Yield every convolution's name, kernel side, input channels and output channels."""
    before = 3
    outputs = {}
    for name, side, after in _STEM:
        yield name, side, before, after
        before = after
    for block, (direct, narrow3, wide3, narrow5, wide5, pooled) in _BLOCKS.items():
        yield f"{block}_1x1", 1, before, direct
        yield f"{block}_3x3_bottleneck", 1, before, narrow3
        yield f"{block}_3x3", 3, narrow3, wide3
        yield f"{block}_5x5_bottleneck", 1, before, narrow5
        yield f"{block}_5x5", 5, narrow5, wide5
        yield f"{block}_pool_reduce", 1, before, pooled
        before = outputs[block] = direct + wide3 + wide5 + pooled
    for head, block in _HEADS.items():
        yield f"head{head}_bottleneck", 1, outputs[block], 128


def _operations() -> Iterator[GraphNode]:
    yield GraphNode("input", "Placeholder", (), {})
    yield from _conv("conv2d0", "input", stride=2)
    yield _pool("maxpool0", "conv2d0", 3, 2)
    yield _response_norm("localresponsenorm0", "maxpool0")
    yield from _conv("conv2d1", "localresponsenorm0")
    yield from _conv("conv2d2", "conv2d1")
    yield _response_norm("localresponsenorm1", "conv2d2")
    yield _pool("maxpool1", "localresponsenorm1", 3, 2)
    source = "maxpool1"
    for block in _BLOCKS:
        yield from _conv(f"{block}_1x1", source)
        for size in ("3x3", "5x5"):
            yield from _conv(f"{block}_{size}_bottleneck", source)
            yield from _conv(f"{block}_{size}", f"{block}_{size}_bottleneck")
        yield _pool(f"{block}_pool", source, 3, 1)
        yield from _conv(f"{block}_pool_reduce", f"{block}_pool")
        yield _integers(f"{block}/concat_dim", 3)
        branches = (f"{block}_{branch}" for branch in ("1x1", "3x3", "5x5", "pool_reduce"))
        yield GraphNode(block, "Concat", (f"{block}/concat_dim", *branches), {})
        source = block
        if block in _POOLS:
            yield _pool(_POOLS[block], block, 3, 2)
            source = _POOLS[block]
    for head, block in _HEADS.items():
        yield _pool(f"head{head}_pool", block, 5, 3, op="AvgPool", padding="VALID")
        yield from _conv(f"head{head}_bottleneck", f"head{head}_pool")
        yield from _flat(f"head{head}_bottleneck", 2048)
        yield from _dense(f"nn{head}_pre_relu", f"head{head}_bottleneck/reshape", f"nn{head}")
        yield GraphNode(f"nn{head}", "Relu", (f"nn{head}_pre_relu",), {})
        yield from _flat(f"nn{head}", 1024)
        yield from _classifier(head, f"nn{head}/reshape")
    yield _pool("avgpool0", source, 7, 1, op="AvgPool", padding="VALID")
    yield from _flat("avgpool0", 1024)
    yield from _classifier("2", "avgpool0/reshape")


def _conv(name: str, source: str, stride: int = 1) -> Iterator[GraphNode]:
    attributes: dict[str, Attribute] = {"strides": (1, stride, stride, 1), "padding": "SAME"}
    yield GraphNode(f"{name}_pre_relu/conv", "Conv2D", (source, f"{name}_w"), attributes)
    yield GraphNode(f"{name}_pre_relu", "BiasAdd", (f"{name}_pre_relu/conv", f"{name}_b"), {})
    yield GraphNode(name, "Relu", (f"{name}_pre_relu",), {})


def _pool(name: str, source: str, side: int, stride: int, *, op: str = "MaxPool", padding: str = "SAME") -> GraphNode:
    windows: dict[str, Attribute] = {"ksize": (1, side, side, 1), "strides": (1, stride, stride, 1), "padding": padding}
    return GraphNode(name, op, (source,), windows)


def _response_norm(name: str, source: str) -> GraphNode:
    return GraphNode(name, "LRN", (source,), {"depth_radius": 5, "bias": 1.0, "alpha": 1e-4, "beta": 0.5})


def _integers(name: str, value: int | list[int]) -> GraphNode:
    return GraphNode(name, "Const", (), {"value": np.array(value, np.int32)})


def _flat(name: str, size: int) -> Iterator[GraphNode]:
    yield _integers(f"{name}/reshape/shape", [-1, size])
    yield GraphNode(f"{name}/reshape", "Reshape", (name, f"{name}/reshape/shape"), {})


def _dense(name: str, source: str, weights: str) -> Iterator[GraphNode]:
    yield GraphNode(f"{name}/matmul", "MatMul", (source, f"{weights}_w"), {})
    yield GraphNode(name, "BiasAdd", (f"{name}/matmul", f"{weights}_b"), {})


def _classifier(number: str, source: str) -> Iterator[GraphNode]:
    name = f"softmax{number}"
    yield from _dense(f"{name}_pre_activation", source, name)
    yield GraphNode(name, "Softmax", (f"{name}_pre_activation",), {})


def _check(nodes: list[GraphNode], path: Path) -> None:
    """Refuse the graph of another network: its convolutions must be those of the table in number, name and shape."""
    constants = {node.name: node.attributes.get("value") for node in nodes if node.op == "Const"}
    found = {}
    for node in nodes:
        if node.op == "Conv2D":
            filters = constants.get(node.inputs[1].partition(":")[0]) if len(node.inputs) > 1 else None
            found[node.name] = filters.shape if isinstance(filters, np.ndarray) else None
    wanted = {f"{name}_pre_relu/conv": (side, side, before, after) for name, side, before, after in _convolutions()}
    wrong = [f"{name} is missing" for name in wanted if name not in found]
    wrong += [f"{name} is unknown" for name in found if name not in wanted]
    wrong += [
        f"{name} is {found[name]} instead of {shape}"
        for name, shape in wanted.items()
        if found.get(name, shape) != shape
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise NetworkError(
            f"The graph in {str(path)!r} is not that of {NAME}: {', '.join(wrong[:3])}{more}. Leave `weights` out to "
            f"download the published one, or get it from {URL}."
        )


def _graph_bytes(path: Path) -> bytes:
    """Read the graph's file, or the file of its name in an archive."""
    if not path.is_file():
        raise NetworkError(f"There is no file {str(path)!r}. Give {GRAPH_FILE}, or the archive inception5h.zip.")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise NetworkError(f"{str(path)!r} has more than {_MAX_BYTES} bytes: it is not the graph of {NAME}.")
        content = path.read_bytes()
        if not content.startswith(b"PK"):
            return content
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(GRAPH_FILE) as member:
            graph = member.read(_MAX_BYTES + 1)
    except (OSError, KeyError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise NetworkError(f"{str(path)!r} cannot be read: {error}. Give {GRAPH_FILE}, or inception5h.zip.") from error
    if len(graph) > _MAX_BYTES:
        raise NetworkError(f"{GRAPH_FILE} in {str(path)!r} has more than {_MAX_BYTES} bytes.")
    return graph


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
