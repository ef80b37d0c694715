"""What a frozen graph computes, from the formulas in TensorFlow's documentation."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.networks.tensorflow.graphdef import GraphNode


def same(x: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    """Pad as TensorFlow's documentation of SAME says."""
    totals = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    return F.pad(x, (left, right, top, bottom), value=value)


def definitions(nodes: Sequence[GraphNode], image: Tensor) -> dict[str, Tensor]:
    """Compute every node from the formulas in TensorFlow's documentation; `image`: 0 to 255, less 117."""
    values: dict[str, Tensor] = {"input": image}

    def windows(x: Tensor, node: GraphNode, fill: float) -> tuple[Tensor, int, int]:
        kernel, stride = node.attributes["ksize"][1], node.attributes["strides"][1]
        return (same(x, kernel, stride, fill) if node.attributes["padding"] == "SAME" else x), kernel, stride

    def conv(node: GraphNode, x: Tensor, w: Tensor) -> Tensor:
        stride = node.attributes["strides"][1]
        return F.conv2d(same(x, w.shape[0], stride, 0), w.permute(3, 2, 0, 1), stride=stride)

    def max_pool(node: GraphNode, x: Tensor) -> Tensor:
        x, kernel, stride = windows(x, node, -torch.inf)
        return x.unfold(2, kernel, stride).unfold(3, kernel, stride).amax((4, 5))

    def avg_pool(node: GraphNode, x: Tensor) -> Tensor:
        x, kernel, stride = windows(x, node, 0)
        return x.unfold(2, kernel, stride).unfold(3, kernel, stride).mean((4, 5))

    def response_norm(node: GraphNode, x: Tensor) -> Tensor:
        r, bias, alpha, beta = (node.attributes[name] for name in ("depth_radius", "bias", "alpha", "beta"))
        squares = F.pad(x.square(), (0, 0, 0, 0, r, r))
        return x / (bias + alpha * squares.unfold(1, 2 * r + 1, 1).sum(-1)) ** beta

    def reshape(_node: GraphNode, x: Tensor, shape: Tensor) -> Tensor:
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).reshape(*shape.tolist())

    formulas: dict[str, Callable[..., Tensor]] = {
        "Conv2D": conv,
        "MaxPool": max_pool,
        "AvgPool": avg_pool,
        "LRN": response_norm,
        "Reshape": reshape,
        "BiasAdd": lambda _, x, b: x + (b.view(-1, 1, 1) if x.ndim == 4 else b),
        "Relu": lambda _, x: x.clamp_min(0),
        "Concat": lambda _, dim, *branches: torch.cat(branches, {3: 1}[int(dim)]),
        "MatMul": lambda _, x, w: x @ w,
        "Softmax": lambda _, x: x.exp() / x.exp().sum(1, keepdim=True),
    }
    for node in nodes:
        if node.op == "Const":
            value = torch.from_numpy(np.array(node.attributes["value"]))
            values[node.name] = value.to(image.dtype) if value.is_floating_point() else value
        elif node.op != "Placeholder":
            values[node.name] = formulas[node.op](node, *(values[name] for name in node.inputs))
    return values
