"""A look ahead in a stream of its own, and a frame that a GPU is left alone with."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.coherence.keyframes import InbetweenFrame
from dreamvid.dream import cutting, patches
from dreamvid.image.tensors import to_pixels, to_tensor
from dreamvid.motion import inverse_search
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.estimators.raft import Raft
from dreamvid.motion.field import COARSE_FROM_HEIGHT, MotionEstimator
from dreamvid.runtime import cuda as replay
from dreamvid.runtime.cuda import record_on_current_stream, run_on_side_stream
from dreamvid.runtime.queues import BoundedQueue, Worker
from dreamvid.settings import load_settings


def counted(count: int) -> Iterator[Tensor]:
    for number in range(count):
        yield torch.full((3,), float(number))


def test_elsewhere_items_come_as_they_are() -> None:
    items = list(run_on_side_stream(counted(4), torch.device("cpu")))
    record_on_current_stream([*items, None])
    assert [item.tolist() for item in items] == [[number] * 3 for number in range(4)]


class Crossings(TorchDispatchMode):
    """Notes what goes from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        devices = {one.device.type for one in (*args, result) if isinstance(one, Tensor) and one.dim()}
        if len(devices) > 1:
            self.seen.append(f"{func}: {devices}")
        return result


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"tile": 160, "color_space": "imagenet", "total_variation": 0.3},
        {"precision": "bfloat16", "keep_color": True},
    ],
    ids=str,
)
def test_a_gpu_is_neither_waited_for_nor_fed_while_it_dreams(
    overrides: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything stays on the device between upload and download. No device is needed: the tensors have only shapes.

    A value that the program would have to know (`item`, a branch, a size) raises there, and so do tensors of two
    devices in one operation. Autograd and recordings themselves ask the driver: they are taken for granted. Which new
    places get steps of their own has to be known: that is waited for once a keyframe, and answered here. Where their
    patches lie is sent, without waiting, once for each octave.
    """
    monkeypatch.setattr(replay, "_CALLS_BEFORE_RECORDING", 1000)
    monkeypatch.setattr(torch.autograd, "grad", lambda _, x, **options: (torch.empty_like(x),))
    waits: list[int] = []
    sent: list[int] = []

    def answer(cells: Tensor) -> np.ndarray:
        waits.append(cells.numel())
        return np.arange(cells.numel()) == 0

    def send(numbers: Tensor, device: torch.device) -> Tensor:
        sent.append(numbers.numel())
        return torch.empty(numbers.shape, dtype=torch.int64, device=device)

    monkeypatch.setattr(patches, "read_cells", answer)
    monkeypatch.setattr(cutting, "send", send)
    options = dict(dream_height=288, octaves=2, iterations=2, disocclusion_iterations=2, device="cpu")
    dreamer = FrameDreamer(load_settings(None, **{**options, **overrides}))
    with FakeTensorMode():
        move_to_cuda(dreamer.ascent.gradient.network)
        frame, mask = torch.empty(1, 3, 288, 384, device="cuda"), torch.empty(1, 1, 288, 384, device="cuda")
        with Crossings() as crossings, torch.no_grad():
            motions = MotionEstimator(load_estimator("none", "cuda"))  # the others: see below
            prepared = motions.prepare(frame)
            motion, forward_flow = motions.both_ways(prepared, prepared)
            for index, (follows, where) in enumerate([(None, None), (motion, None), (motion, mask)]):
                dreamed = dreamer.dream(dreamer.frame(frame), follows, index=index, elapsed_seconds=1 / 15, mask=where)
                assert (dreamed.device.type, dreamed.shape) == ("cuda", frame.shape)
                assert len(waits) == index, "once for each frame that carries a dream"
            between = InbetweenFrame(None, forward_flow, forward_flow, 0.5)
            dreamer.interpolate(dreamer.frame(frame), between, index=3, mask=mask)
    assert crossings.seen == []
    assert len(sent) == 2, "patches of the finest octave, in both frames that carry a dream"


@pytest.mark.parametrize("size", [(90, 130), (COARSE_FROM_HEIGHT, 430)], ids=str)
@pytest.mark.parametrize("name", ["dis", "raft", "none"])
def test_a_gpu_is_neither_waited_for_nor_fed_while_motion_is_estimated(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_CALLS_BEFORE_RECORDING", 1000)
    monkeypatch.setattr(inverse_search, "search_kernels", lambda device: None)  # tensors without values have no address
    raft = load_estimator("raft", "cpu", weights="random") if name == "raft" else None
    with FakeTensorMode():
        if isinstance(raft, Raft):
            move_to_cuda(raft._raft)
        with Crossings() as crossings:
            motions = MotionEstimator(raft or load_estimator(name, "cuda"))
            prepared = [motions.prepare(torch.empty(1, 3, *size, device="cuda")) for _ in range(2)]
            motion, forward_flow = motions.both_ways(*prepared)
            coarse = [way.coarse_flow for way in (motion, forward_flow) if way.coarse_flow is not None]
            assert len(coarse) == (0 if size[0] < COARSE_FROM_HEIGHT else 2)
            for tensor in (motion.flow, motion.validity, motion.temporal_activity, *forward_flow[:2], *coarse):
                assert tensor.device.type == "cuda"
                assert tensor.shape[2:] in (size, (size[0] // 2, size[1] // 2))
    assert crossings.seen == []


def move_to_cuda(network: torch.nn.Module) -> None:
    """Replace a module's tensors by those of a CUDA device, without values."""
    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for name, one in tensors.items():
                if one is not None:
                    there = torch.empty_strided(one.shape, one.stride(), dtype=one.dtype, device="cuda")
                    tensors[name] = there if tensors is module._buffers else torch.nn.Parameter(there, False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_another_stream_computed_is_whole_on_a_gpu() -> None:
    device = torch.device("cuda")
    factor = torch.rand(2048, 2048, device=device)

    def items() -> Iterator[Tensor]:
        for number in range(20):
            large = torch.full((2048, 2048), float(number), device=device)
            yield (large @ torch.eye(2048, device=device)).round()

    channel: BoundedQueue[Tensor] = BoundedQueue(2)
    sums = []
    with Worker("ahead", lambda: channel.fill(run_on_side_stream(items(), device))):
        for item in channel:
            record_on_current_stream([item])
            for _ in range(5):  # the default stream lags behind, and reads what was handed out later
                factor = torch.nn.functional.normalize(factor @ factor)
            sums.append(item.mean())
            del item
    assert [round(float(one)) for one in sums] == list(range(20))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_pixels_survive_the_way_to_a_gpu_and_back() -> None:
    pixels = torch.randint(0, 256, (90, 160, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()
    uploaded = [to_tensor(pixels, "cuda") for _ in range(8)]
    assert all((to_pixels(tensor) == pixels).all() for tensor in uploaded)
