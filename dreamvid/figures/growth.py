"""Watches the dream of a single image grow: pictures of every so many steps, and the whole ascent as a film."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.dream.objectives.binding import fit_network
from dreamvid.dream.octaves import AscentStep
from dreamvid.dream.tiles import read_activations
from dreamvid.image.io import write_image
from dreamvid.image.tensors import resize, to_image, to_pixels
from dreamvid.settings import Settings
from dreamvid.video.encode import StreamSpec
from dreamvid.video.sink import FrameWriter, Recording, open_sink

_RATE = Fraction(25)


@dataclass(frozen=True)
class GrowthStep:
    """What an ascent has made of an image (H, W, 3) after a step.

    number: of the step, from 1, over all octaves. pixels: the image, uint8. objective: its value at the octave's size.
    """

    number: int
    pixels: npt.NDArray[np.uint8]
    objective: float


def grow_image(
    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    settings: Settings,
    on_step: Callable[[GrowthStep], None],
    *,
    every: int = 1,
) -> npt.NDArray[np.uint8]:
    """Dream an image as `dream_image` does, and call `on_step` after every so many steps and the last one.

    Masks are not used. Raises DreamvidError.
    """
    dreamer = FrameDreamer(settings)
    frame = dreamer.frame(to_image(image, dreamer.device))
    count = 0
    last: AscentStep | None = None

    def show(step: AscentStep) -> None:
        residual = step.residual()
        small = (frame.at(frame.size) + resize(residual, frame.size)).clamp(0, 1)
        on_step(GrowthStep(count, to_pixels(dreamer.compose(frame, residual, None)), _objective(dreamer, small)))

    def watch(step: AscentStep) -> None:
        nonlocal count, last
        count, last = count + 1, step
        if count % every == 0:
            show(step)

    dreamer.ascent.on_step = watch
    with torch.no_grad():
        dreamed = dreamer.dream(frame, None, index=0, elapsed_seconds=1 / 30)
        if last is not None and count % every:
            show(last)
    return to_pixels(dreamed)


def _objective(dreamer: FrameDreamer, image: Tensor) -> float:
    gradient = dreamer.ascent.gradient
    objective, _ = gradient.objectives[0]
    fitting = fit_network(gradient.network, image)
    activations = read_activations(gradient.network, fitting.to(gradient.dtype, memory_format=torch.channels_last))
    return float(objective(activations))


class GrowthRecord:
    """Writes what grows: snapshots next to the result, and a film; a context manager that ends the film.

    target: the result, whose snapshots are NAME.step-0100.png. every: steps from one snapshot to the next; None for
    none. film: None for none. report: called with a line of text for each snapshot.
    """

    def __init__(self, target: Path, every: int | None, film: Path | None, report: Callable[[str], None]) -> None:
        self._target, self._every, self._film, self._report = target, every, film, report
        self._sink = None if film is None else open_sink(film)
        self._folder = tempfile.TemporaryDirectory(prefix="dreamvid-")
        self._writer: FrameWriter | None = None
        self._spec: StreamSpec | None = None
        self._count = 0

    def __call__(self, step: GrowthStep) -> None:
        """Take in a step."""
        if self._every is not None and step.number % self._every == 0:
            file = self._target.with_name(f"{self._target.stem}.step-{step.number:04d}{self._target.suffix}")
            write_image(file, step.pixels)
            self._report(f"step {step.number}: objective {step.objective:.4g}, {file}")
        if self._sink is None:
            return
        if self._writer is None:
            height, width = step.pixels.shape[:2]
            self._spec = StreamSpec(width=width, height=height, rate=_RATE, time_base=1 / _RATE)
            self._sink.check(self._spec)
            self._writer = self._sink.open_segment(self._segment(), self._spec)
        self._writer.write(step.pixels, self._count)
        self._count += 1

    def _segment(self) -> Path:
        assert self._sink is not None
        return Path(self._folder.name) / f"growth{self._sink.segment_suffix}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is None or self._sink is None or self._film is None or self._spec is None:
                return
            if error is not None:
                self._writer.abort()
                return
            self._writer.close()
            self._sink.join(Recording([self._segment()], self._spec, [range(self._count)]), self._film)
            self._report(str(self._film))
        finally:
            self._folder.cleanup()
