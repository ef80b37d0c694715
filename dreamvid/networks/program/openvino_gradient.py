"""Computes the gradient of simple objectives by OpenVINO: forward, objective and backward as one graph of fixed shape.

Below some 300 lines, PyTorch spends more time on preparing each of a gradient's 84 operators than on their arithmetic.
OpenVINO (Apache-2.0, `pip install openvino`) compiles all of them into one program for the image's size, with buffers
that are planned once; that takes about a quarter of a second for each size.

The graph holds objectives that are a mean over a layer's positions of Σ (square · y² / 2 + linear · y), with two
numbers for each channel: layers and channels, in any weighted sum. The numbers are inputs of the graph, so that a
cross-fade needs no new one. The bits of a result may depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dreamvid.errors import DeviceError
from dreamvid.networks.program.convolutions import Pointwise, Spatial
from dreamvid.networks.program.fused_conv import sub_pixel_kernel
from dreamvid.networks.program.operators import Sum
from dreamvid.networks.program.program import Program, Step
from dreamvid.runtime.threads import most_threads

_MOST_GRAPHS = 16  # compiled ones that are kept; each holds the buffers of its size

Array = npt.NDArray[np.float32]
Slopes = Mapping[str, tuple[Tensor, Tensor]]
"""By layer: `square` and `linear`, each (C,). The derivative at one of n positions is (square · y + linear) / n."""


def require_openvino() -> Any:
    """Import OpenVINO. Raises DeviceError without it."""
    try:
        import openvino
    except ImportError:
        raise DeviceError(
            "`runtime=openvino` needs OpenVINO: pip install 'dreamvid[openvino]'. Without it: `runtime=torch`."
        ) from None
    return openvino


class OpenVinoGradient:
    """The gradient of a program's objective with respect to the image. Raises DeviceError without OpenVINO.

    scale, shift: (1, 3, 1, 1), what brings an image in [0, 1] to the network's range.
    """

    def __init__(self, program: Program, scale: Tensor, shift: Tensor) -> None:
        self._openvino = require_openvino()
        self._core = self._openvino.Core()
        self._program, self._scale, self._shift = program, scale, shift
        self._requests: dict[tuple[int, ...], Any] = {}
        self._threads = most_threads()  # for good: the bits of a result may depend on it

    @staticmethod
    def takes(program: Program) -> bool:
        """Return True for a program of convolutions and sums."""
        return all(isinstance(step.operator, Pointwise | Spatial | Sum) for step in program.steps)

    def __call__(self, images: Tensor, slopes: Slopes, shift: tuple[int, int] = (0, 0)) -> Tensor:
        """Compute the gradients (N, 3, H, W) of images (N, 3, H, W) in [0, 1], float32 on the CPU.

        shift: the images are rolled by it (down, right) for the network, and their gradients back. NumPy does that, on
        one thread: after an operator of PyTorch on several, these wait for the next one on cores that OpenVINO needs.
        """
        inputs: list[Array] = [np.roll(images.contiguous().numpy(), shift, axis=(2, 3))]
        for layer in self._program.outputs:
            inputs += [slope.view(1, -1, 1, 1).numpy() for slope in slopes[layer]]
        found = self._request(tuple(images.shape)).infer(inputs, share_inputs=True, share_outputs=True)[0]
        return torch.from_numpy(np.roll(found, (-shift[0], -shift[1]), axis=(2, 3)))

    def _request(self, shape: tuple[int, ...]) -> Any:
        request = self._requests.pop(shape, None)
        if request is None:
            model = _Graph(self._openvino, self._program, shape, self._scale, self._shift).model()
            options = {
                "INFERENCE_NUM_THREADS": self._threads,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
            }
            request = self._core.compile_model(model, "CPU", options).create_infer_request()
        self._requests[shape] = request  # the latest comes last
        if len(self._requests) > _MOST_GRAPHS:
            del self._requests[next(iter(self._requests))]
        return request


class _Graph:
    """Builds the graph of a program for images of one shape; scale, shift: as for `OpenVinoGradient`."""

    def __init__(self, openvino: Any, program: Program, shape: tuple[int, ...], scale: Tensor, shift: Tensor) -> None:
        self._openvino, self._program, self._shape, self._scale, self._shift = openvino, program, shape, scale, shift
        self._op: Any = openvino.opset13

    def model(self) -> Any:
        """Build the graph: the image and the slopes of each layer in, the gradient out."""
        op = self._op
        image = op.parameter(list(self._shape), np.float32)
        values = {self._program.image: op.add(op.multiply(image, _array(self._scale)), _array(self._shift))}
        for step in self._program.steps:
            values[step.target] = self._forward(step, values)
        inputs, found = [image], dict[str, Any]()
        for name in self._program.outputs.values():
            channels = _sizes(values[name])[1]
            square, linear = (op.parameter([1, channels, 1, 1], np.float32) for _ in range(2))
            inputs += [square, linear]
            positions = math.prod(_sizes(values[name])[2:])
            gradient = op.multiply(op.add(op.multiply(values[name], square), linear), np.float32(1 / positions))
            self._collect(found, name, gradient)
        for step in reversed(self._program.steps):
            self._backward(step, values, found)
        return self._openvino.Model([found[self._program.image]], inputs, "gradient")

    def _forward(self, step: Step, values: Mapping[str, Any]) -> Any:
        op, operator = self._op, step.operator
        x, *add = (values[name] for name in step.sources)
        if isinstance(operator, Sum):
            return op.add(x, *add)
        assert isinstance(operator, Pointwise | Spatial)
        layer = operator.layer
        kernel, padding = layer.kernel_for(*_sizes(x)[2:])
        y = self._convolve(x, kernel, padding, layer.stride, layer.groups)
        if layer.bias is not None:
            y = op.add(y, _array(layer.bias.view(1, -1, 1, 1)))
        if operator.ceiling is not None:
            y = op.relu(y) if math.isinf(operator.ceiling) else op.clamp(y, 0.0, operator.ceiling)
        return op.add(y, *add) if add else y

    def _backward(self, step: Step, values: Mapping[str, Any], found: dict[str, Any]) -> None:
        """Turn the gradient of a step's result into those of what it reads; that of the image is scaled."""
        gradient = found.pop(step.target, None)
        if gradient is None:
            return
        source, *add = step.sources
        for name in add:
            self._collect(found, name, self._scaled(gradient, name))
        if isinstance(step.operator, Sum):
            gradient = self._scaled(gradient, source)
        else:
            assert isinstance(step.operator, Pointwise | Spatial)
            gradient = self._masked(gradient, values[step.target], step.operator)
            gradient = self._gradient_of_input(step.operator, source, gradient, _sizes(values[source])[2:])
        self._collect(found, source, gradient)

    def _collect(self, found: dict[str, Any], name: str, gradient: Any) -> None:
        found[name] = self._op.add(gradient, found[name]) if name in found else gradient

    def _scaled(self, gradient: Any, name: str) -> Any:
        return self._op.multiply(gradient, _array(self._scale)) if name == self._program.image else gradient

    def _masked(self, gradient: Any, y: Any, operator: Pointwise | Spatial) -> Any:
        """Zero a gradient where y was clamped."""
        if operator.ceiling is None:
            return gradient
        op = self._op
        # One product is faster than two comparisons. y is within the bounds, so it is 0 at both of them only.
        above = y if math.isinf(operator.ceiling) else op.multiply(y, op.subtract(np.float32(operator.ceiling), y))
        return op.select(op.greater(above, np.float32(0)), gradient, np.float32(0))

    def _gradient_of_input(self, operator: Pointwise | Spatial, source: str, gradient: Any, size: Sequence[int]) -> Any:
        op, layer = self._op, operator.layer
        kernel, padding = layer.kernel_for(*size)
        if source == self._program.image:  # three channels by themselves are slow to scale
            kernel = kernel * self._scale
        if layer.uses_sub_pixels:
            return self._gradient_by_sub_pixels(gradient, kernel, padding, layer.stride[0], size)
        if layer.stride == (1, 1) and (layer.groups == 1 or kernel.shape[1] == 1 == kernel.shape[0] // layer.groups):
            # Without a stride it is a convolution with the flipped kernel.
            flipped = kernel.flip(2, 3) if layer.groups > 1 else kernel.transpose(0, 1).flip(2, 3)
            around = (kernel.shape[2] - 1 - padding[0], kernel.shape[3] - 1 - padding[1])
            return self._convolve(gradient, flipped, around, (1, 1), layer.groups)
        lines = _sizes(gradient)[2:]
        reached = [(lines[i] - 1) * layer.stride[i] - 2 * padding[i] + kernel.shape[2 + i] for i in (0, 1)]
        # Pixels at the end that no position of the kernel reaches; below 0, padding that the image does not have.
        more = [size[i] - reached[i] for i in (0, 1)]
        transposed = op.group_convolution_backprop_data if layer.groups > 1 else op.convolution_backprop_data
        return transposed(
            gradient,
            _array(self._grouped(kernel, layer.groups)),
            strides=list(layer.stride),
            pads_begin=list(padding),
            pads_end=[padding[i] - min(more[i], 0) for i in (0, 1)],
            dilations=[1, 1],
            auto_pad="explicit",
            output_padding=[max(pixels, 0) for pixels in more],
        )

    def _gradient_by_sub_pixels(
        self, gradient: Any, kernel: Tensor, padding: tuple[int, int], stride: int, size: Sequence[int]
    ) -> Any:
        """Compute it as `fused_conv` does: as a convolution without stride, whose channels are then interleaved."""
        op, square = self._op, sub_pixel_kernel(kernel, stride)
        y = self._convolve(gradient, square, (square.shape[2] - 1, square.shape[3] - 1), (1, 1), 1)
        y = op.depth_to_space(y, "blocks_first", stride)
        ends = [min(padding[i] + size[i], _sizes(y)[2 + i]) for i in (0, 1)]
        y = op.slice(y, list(padding), ends, [1, 1], [2, 3])
        # Pixels at the end that no position of the kernel reaches have no gradient.
        more = [size[i] - _sizes(y)[2 + i] for i in (0, 1)]
        return op.pad(y, [0, 0, 0, 0], [0, 0, *more], "constant", np.float32(0)) if any(more) else y

    def _convolve(self, x: Any, kernel: Tensor, padding: tuple[int, int], stride: tuple[int, int], groups: int) -> Any:
        convolution = self._op.group_convolution if groups > 1 else self._op.convolution
        return convolution(x, _array(self._grouped(kernel, groups)), list(stride), list(padding), list(padding), [1, 1])

    @staticmethod
    def _grouped(kernel: Tensor, groups: int) -> Tensor:
        return kernel if groups == 1 else kernel.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:])


def _sizes(node: Any) -> list[int]:
    return list(node.output(0).get_shape())


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().contiguous().numpy()
    return array
