import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from clips import image
from torch import Tensor

from dreamvid import dream_frames, dream_image, load_settings
from dreamvid.errors import InputError
from dreamvid.image.tensors import copy_frame, enlarge_bilinear, frame_pixels, like_frame, resize, to_image

TINY = {"objective": "blocks.1.0", "octaves": 1, "dream_height": 48, "iterations": 1, "warm_iterations": 1}


def as_tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "float16", "batch"])
def test_a_frame_comes_back_as_the_kind_that_it_was(kind: str) -> None:
    pixels = image(5)
    frame = {
        "uint8": lambda: pixels,
        "uint16": lambda: pixels.astype(np.uint16) * 257,
        "float32": lambda: as_tensor(pixels),
        "float16": lambda: as_tensor(pixels).half(),
        "batch": lambda: as_tensor(pixels)[None],
    }[kind]()
    inside = to_image(frame, "cpu")
    assert inside.shape == (1, 3, *pixels.shape[:2])
    assert torch.allclose(inside[0], as_tensor(pixels), atol=1e-3)
    back = like_frame(inside, frame)
    assert back.dtype == frame.dtype
    assert back.shape == frame.shape
    assert (back == frame).all()


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda x: x * 255, "0 to 255"),
        (lambda x: x * 1.2, "to 1.2"),
        (lambda x: x * 2 - 1, "from -1 to 1"),
        (lambda x: x * 65535, "to 65535"),
        (lambda x: x.masked_fill(x > 0.99, float("nan")), "NaN"),
        (lambda x: x.masked_fill(x > 0.99, float("inf")), "infinity"),
        (lambda x: x.masked_fill(x > 0.99, float("-inf")), "infinity"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_floats_out_of_range_are_refused_with_what_was_seen(
    change: Callable[[Tensor], Tensor], seen: str, dtype: torch.dtype
) -> None:
    frame = as_tensor(image(5)).to(dtype)
    frame[0, 0, 0], frame[0, 0, 1] = 0, 1
    if dtype == torch.float16 and "65535" in seen:
        seen = "infinity"  # which that product is
    with pytest.raises(InputError, match=seen):
        to_image(change(frame), "cpu")


def test_rounding_beyond_the_range_is_clamped() -> None:
    frame = as_tensor(image(5)) * 1.002 - 0.001
    inside = to_image(frame, "cpu")
    assert torch.equal(inside[0], frame.clamp(0, 1))


@pytest.mark.parametrize(
    "frame",
    [
        "sky.png",
        None,
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        torch.zeros(3, 4, 4, dtype=torch.uint8),
        torch.zeros(4, 4, 3),
        torch.zeros(2, 3, 4, 4),
        torch.zeros(3, 0, 4),
    ],
)
def test_what_is_not_a_frame_is_refused(frame: object) -> None:
    for check in (lambda: to_image(frame, "cpu"), lambda: frame_pixels(frame)):  # type: ignore[arg-type]
        with pytest.raises(InputError, match="A frame has to be"):
            check()


def test_read_only_and_reversed_arrays_are_taken_without_a_warning() -> None:
    pixels = image(5)
    fixed = pixels.copy()
    fixed.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for frame, expected in (
            (fixed, pixels),
            (pixels[::-1, ::-1], pixels[::-1, ::-1]),
            (fixed[:, ::-1], pixels[:, ::-1]),
        ):
            assert torch.equal(to_image(frame, "cpu")[0], as_tensor(expected))
            assert np.array_equal(frame_pixels(frame), expected)


def test_what_is_kept_is_a_copy() -> None:
    for buffer in (image(5), image(5).astype(np.uint16), as_tensor(image(5))):
        kept = copy_frame(buffer), to_image(buffer, "cpu"), frame_pixels(buffer)
        before = [value.sum() for value in kept]
        buffer[:] = 0
        assert [value.sum() for value in kept] == before


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("cadence", [1, 2])
def test_a_source_that_refills_one_buffer_gives_the_same_frames(kind: str, cadence: int) -> None:
    settings = load_settings(**TINY, cadence=cadence)

    def frames(refilled: bool) -> Iterator[np.ndarray | Tensor]:
        buffer: np.ndarray | Tensor = np.empty_like(image(0)) if kind == "array" else as_tensor(image(0))
        for number in range(5):
            buffer[:] = image(number) if kind == "array" else as_tensor(image(number))  # type: ignore[index]
            yield buffer if refilled else copy_frame(buffer)
            if refilled:
                buffer[:] = 0  # type: ignore[index]

    once = list(dream_frames(frames(False), settings, fps=30))
    again = list(dream_frames(frames(True), settings, fps=30))
    assert len(again) == 5
    assert all((a == b).all() for a, b in zip(once, again, strict=True))


def test_dreaming_refuses_what_it_cannot_take() -> None:
    with pytest.raises(InputError, match="0 to 255"):
        dream_image(torch.arange(256.0).expand(3, 8, 256), load_settings(**TINY))


@pytest.mark.parametrize("size", [(61, 47), (37, 90), (200, 301)])
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "cut out"])
def test_enlarging_by_opencv_has_the_weights_of_pytorch(size: tuple[int, int], layout: str) -> None:
    x = torch.rand(2, 3, 37, 47, generator=torch.Generator().manual_seed(0))
    if layout == "channels last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "cut out":
        x = F.pad(x, (3, 2, 4, 1))[:, :, 4:-1, 3:-2]
    bicubic = F.interpolate(x, size, mode="bicubic", align_corners=False)
    torch.testing.assert_close(resize(x, size), bicubic, atol=1e-4, rtol=0)
    torch.testing.assert_close(resize(x.clone().requires_grad_(), size), bicubic, atol=1e-4, rtol=0)
    bilinear = F.interpolate(x, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarge_bilinear(x, size), bilinear, atol=1e-4, rtol=0)
