"""What another thread has a GPU do, beside what this one has it do.

All threads share a device's default stream: whoever waits for a result there also waits for everything that the others
have asked for before. So the thread that looks ahead has a stream of its own.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def in_own_stream(items: Iterator[T], device: torch.device) -> Iterator[T]:
    """Compute items in a CUDA device's own stream for them; each is finished when it comes. Elsewhere as they are."""
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


def keep_for_this_stream(tensors: Iterable[Tensor | None]) -> None:
    """Keep the memory of another stream's tensors from being used anew before this stream has read them."""
    for tensor in tensors:
        if tensor is not None and tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))
