"""Replay repeated steps on a CUDA device as CUDA graphs, and run work on a side stream.

A gradient of a small image is some hundreds of kernels of a few microseconds each; launching them one by one from
Python takes longer than running them. A CUDA graph, recorded once, launches all of them together.
"""

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from dreamvid.runtime.device import out_of_memory

# cuDNN chooses its algorithms in the first calls, so a recording is made later, and only for shapes that come back.
_CALLS_BEFORE_RECORDING = 2
# Each keeps its activations' memory (shared with the others of one function).
_MOST_RECORDINGS = 24

# PyTorch waits for the whole device before a recording, which would spoil one that another thread makes.
_ONE_AT_A_TIME = threading.Lock()

_Key = tuple[tuple[tuple[int, ...], tuple[int, ...], torch.dtype] | None, ...]
R = TypeVar("R", bound=Tensor | tuple[Tensor, ...])


@dataclass(frozen=True)
class _Recording(Generic[R]):
    graph: torch.cuda.CUDAGraph
    arguments: tuple[Tensor | None, ...]
    result: R


class CudaGraphCache(Generic[R]):
    """Calls a function of tensors that returns new tensors; on a CUDA device it replays a recording of the call.

    function: runs on the device of its arguments (some may be None) without waiting for it, does the same for equal
    shapes, and keeps nothing of its arguments. It returns one tensor or a tuple of them. If it cannot be recorded, it
    is called as usual, with one warning.
    """

    def __init__(self, function: Callable[..., R]) -> None:
        self.function = function
        self._recordings: OrderedDict[_Key, _Recording[R]] = OrderedDict()
        self._seen: dict[_Key, int] = {}
        self._pool: Any = None
        self._records = True

    def __call__(self, *arguments: Tensor | None) -> R:
        """Compute function(*arguments)."""
        if not self._records or not any(each is not None and each.is_cuda for each in arguments):
            return self.function(*arguments)
        key = tuple(None if each is None else (tuple(each.shape), each.stride(), each.dtype) for each in arguments)
        recording = self._recordings.get(key)
        if recording is None:
            self._seen[key] = self._seen.get(key, 0) + 1
            if self._seen[key] <= _CALLS_BEFORE_RECORDING:
                return self.function(*arguments)
            recording = self._try_to_record(arguments)
            if recording is None:
                return self.function(*arguments)
            self._recordings[key] = recording
            if len(self._recordings) > _MOST_RECORDINGS:
                oldest, _ = self._recordings.popitem(last=False)
                self._seen[oldest] = 0
        self._recordings.move_to_end(key)
        for target, argument in zip(recording.arguments, arguments, strict=True):
            if target is not None and argument is not None:
                target.copy_(argument)
        recording.graph.replay()
        return _copied(recording.result)  # the next replay writes over it

    def _try_to_record(self, arguments: tuple[Tensor | None, ...]) -> _Recording[R] | None:
        try:
            with _ONE_AT_A_TIME:
                return self._record(arguments)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            first_line = str(error).partition("\n")[0]
            warnings.warn(
                f"the GPU's work cannot be recorded as a CUDA graph, so it is slower ({first_line[:200]})", stacklevel=3
            )
            self._records = False
            self._recordings.clear()
            return None

    def _record(self, arguments: tuple[Tensor | None, ...]) -> _Recording[R]:
        inputs = tuple(None if each is None else torch.empty_like(each).copy_(each) for each in arguments)
        device = next(each.device for each in inputs if each is not None)
        # A capture must not begin on the default stream, and libraries set themselves up in a call before it.
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            self.function(*inputs)
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # thread_local: what other threads do on the device meanwhile is no fault of the capture. A capture that fails
        # leaves its stream behind as the current one, so the present one is chosen again at the end.
        with (
            torch.cuda.stream(torch.cuda.current_stream(device)),
            torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
        ):
            result = self.function(*inputs)
        self._pool = self._pool or graph.pool()
        return _Recording(graph, inputs, result)


def _copied(result: R) -> R:
    copied: Any = result.clone() if isinstance(result, Tensor) else tuple(each.clone() for each in result)
    copy: R = copied
    return copy


T = TypeVar("T")


def run_on_side_stream(items: Iterator[T], device: torch.device) -> Iterator[T]:
    """Compute items on a CUDA stream of their own; each is finished when it is yielded. Without CUDA: no stream."""
    if device.type != "cuda":
        yield from items
        return
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    while True:
        with torch.cuda.stream(stream):
            try:
                item = next(items)
            except StopIteration:
                return
        stream.synchronize()
        yield item


def record_on_current_stream(tensors: Iterable[Tensor | None]) -> None:
    """Keep the memory of another stream's tensors from being reused before this stream has read them."""
    for tensor in tensors:
        if tensor is not None and tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))
