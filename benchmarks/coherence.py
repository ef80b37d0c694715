"""Compare methods of dreaming on video by steadiness, strength and speed, on the same clips, in one table.

    python -m benchmarks.coherence CLIP [CLIP …] [--frames 40] [--width 320] [--ways alone,carried,dreamvid]
                                   [--made plain,flicker,grain,turn,zoom]

The network, layer, octaves (3 at 1.4) and Laplacian levels are the same for all methods:

    alone     each frame by itself, 10 steps per octave
    blend     half the frame plus half the previous dream, 10 steps
    warped    half the frame plus half the previous dream, moved by the flow where it is valid, 10 steps
    carried   the residual moved by the flow, decay 0.98 per frame, one step of 0.006 per octave everywhere
    dreamvid  the default preset

Excess is the warping error of the dream minus that of the source (× 1e4, `dreamvid score`), strength is the objective
divided by that of the source; both also relative to the first method. An error means nothing without its strength. New
places are regions that came into view four frames ago: their strength relative to the rest's, the same relative to the
first method (strength there divided by strength there, because small bright objects gain less by a dream than a road
does), and how much more they changed than the rest in any of the four frames. --made changes a clip: `flicker` (its
light changes by 15 %), `grain` (noise of 6 levels of 255), or its first frame in front of a camera that turns by a
degree (`turn`) or comes closer by 1.2 % per frame (`zoom`). Seconds are those of dreaming and motion, without building
the network.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.api import Dreamer
from dreamvid.dream.octaves import Shifts
from dreamvid.dream.session import DreamSession
from dreamvid.image.tensors import to_tensor
from dreamvid.metrics.report import Score
from dreamvid.metrics.score import ObjectiveMeter, score_frames
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.field import MotionEstimator
from dreamvid.motion.warp import warp
from dreamvid.settings import Settings, load_settings
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

STEPS, STEP = 10, 0.012
NEW_FRAMES = 4

Way = Callable[[list[Tensor]], Iterator[Tensor]]


def read(path: str, width: int, count: int) -> tuple[list[Tensor], Fraction]:
    source = open_source(path)
    info = probe(source)
    height = round(info.height * width / info.width / 2) * 2
    with FrameReader(source, info, stop=count, size=Size(height, width)) as reader:
        return [to_tensor(frame.pixels) for frame in reader], info.frame_rate


def flicker(frames: list[Tensor]) -> list[Tensor]:
    return [_in_8_bits(frame * (1 + 0.15 * math.sin(0.9 * number))) for number, frame in enumerate(frames)]


def grain(frames: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [_in_8_bits(frame + 6 / 255 * torch.randn(frame.shape, generator=generator)) for frame in frames]


def turn(frames: list[Tensor]) -> list[Tensor]:
    return [_seen(frames[0], scale=1.4, degrees=number) for number in range(len(frames))]


def zoom(frames: list[Tensor]) -> list[Tensor]:
    return [_seen(frames[0], scale=1.012**number, degrees=0) for number in range(len(frames))]


def _in_8_bits(frame: Tensor) -> Tensor:
    return (255 * frame).round().clamp(0, 255) / 255


def _seen(image: Tensor, scale: float, degrees: float) -> Tensor:
    """Enlarge an image and turn it about its center, by a camera that sees 8 bits."""
    height, width = image.shape[2:]
    cos, sin = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    way = torch.tensor([[[cos, -sin * height / width, 0], [sin * width / height, cos, 0]]])
    grid = F.affine_grid(way, list(image.shape), align_corners=False)
    seen = F.grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return _in_8_bits(seen)


MADE: dict[str, Callable[[list[Tensor]], list[Tensor]]] = {
    "plain": lambda frames: frames,
    "flicker": flicker,
    "grain": grain,
    "turn": turn,
    "zoom": zoom,
}


class Stepper:
    """Take steps of ascent from an image, the same for every method."""

    def __init__(self, settings: Settings) -> None:
        self.scheduled = DreamSession(settings)
        self.estimator = MotionEstimator(load_estimator("dis"))

    def motion(self, this: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        field = self.estimator.motion(*(self.estimator.prepare(frame) for frame in (this, previous)))
        return field.flow, field.validity

    def ascend(self, image: Tensor, carried: Tensor | None, index: int, iterations: int, step: float) -> Tensor:
        sizes = self.scheduled.sizes(image.shape[2], image.shape[3])
        return self.scheduled.ascent.grow(
            image, carried, sizes, iterations=iterations, step=step, shifts=Shifts(0, index)
        )


def alone(settings: Settings, fps: Fraction) -> Way:
    stepper = Stepper(settings)

    def dream(frames: list[Tensor]) -> Iterator[Tensor]:
        for index, frame in enumerate(frames):
            yield frame + stepper.ascend(frame, None, index, STEPS, STEP)

    return dream


def blend(settings: Settings, fps: Fraction) -> Way:
    stepper = Stepper(settings)

    def dream(frames: list[Tensor]) -> Iterator[Tensor]:
        before: Tensor | None = None
        for index, frame in enumerate(frames):
            start = frame if before is None else 0.5 * frame + 0.5 * before
            before = start + stepper.ascend(start, None, index, STEPS, STEP)
            yield before

    return dream


def warped(settings: Settings, fps: Fraction) -> Way:
    stepper = Stepper(settings)

    def dream(frames: list[Tensor]) -> Iterator[Tensor]:
        before: Tensor | None = None
        for index, frame in enumerate(frames):
            start = frame
            if before is not None:
                flow, valid = stepper.motion(frame, frames[index - 1])
                start = torch.lerp(frame, warp(before, flow), 0.5 * valid)
            before = start + stepper.ascend(start, None, index, STEPS, STEP)
            yield before

    return dream


def carried(settings: Settings, fps: Fraction) -> Way:
    stepper = Stepper(settings)

    def dream(frames: list[Tensor]) -> Iterator[Tensor]:
        residual: Tensor | None = None
        for index, frame in enumerate(frames):
            if residual is None:
                residual = stepper.ascend(frame, None, index, STEPS, STEP)
            else:
                flow, valid = stepper.motion(frame, frames[index - 1])
                residual = stepper.ascend(frame, 0.98 * valid * warp(residual, flow), index, 1, 0.006)
            yield frame + residual

    return dream


def dreamvid(settings: Settings, fps: Fraction) -> Way:
    dreamer = Dreamer(settings, fps=fps)

    def dream(frames: list[Tensor]) -> Iterator[Tensor]:
        return (dreamed[None] for dreamed in dreamer.dream_frames(frame[0] for frame in frames))

    return dream


WAYS: dict[str, Callable[[Settings, Fraction], Way]] = {
    "alone": alone,
    "blend": blend,
    "warped": warped,
    "carried": carried,
    "dreamvid": dreamvid,
}


@dataclass(frozen=True)
class Row:
    """Hold what one method did on one clip."""

    score: Score
    seconds: float

    @property
    def new_places(self) -> float:
        """Return the strength of regions that came into view `NEW_FRAMES` ago, relative to the source's."""
        return float(self.score.revealed_strength[NEW_FRAMES]) * self.score.mean_strength


def measure(way: str, frames: list[Tensor], settings: Settings, fps: Fraction, meter: ObjectiveMeter) -> Row:
    dream = WAYS[way](settings, fps)
    began = time.perf_counter()
    dreamed = list(dream(frames))
    seconds = (time.perf_counter() - began) / len(frames)
    return Row(score_frames(frames, dreamed, meter, fps=float(fps)), seconds)


def some_of(allowed: Collection[str]) -> Callable[[str], list[str]]:
    """Read names with commas between them."""

    def read_names(text: str) -> list[str]:
        names = text.split(",")
        if wrong := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"got {', '.join(wrong)}; allowed: {', '.join(allowed)}")
        return names

    return read_names


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--ways", type=some_of(WAYS), default=list(WAYS))
    parser.add_argument("--made", type=some_of(MADE), default=["plain"])
    given = parser.parse_args(words)
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {given.frames} frames, {given.width} px wide\n"
    )
    print(
        "| clip | way | strength | of alone | excess × 1e4 | of alone "
        "| new places, of the rest | of alone | change, of the rest | clipped | s/frame | of alone |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for clip, made in itertools.product(given.clips, given.made):
        frames, fps = read(clip, given.width, given.frames)
        frames = MADE[made](frames)
        name = Path(clip).stem if made == "plain" else f"{Path(clip).stem}, {made}"
        settings = load_settings(None, dream_height=frames[0].shape[2], octaves=3, device="cpu")
        meter = ObjectiveMeter.from_settings(settings)
        reference: Row | None = None
        for way in given.ways:
            row = measure(way, frames, settings, fps, meter)
            reference = reference or row
            score, base, base_seconds = row.score, reference.score, reference.seconds
            print(
                f"| {name} | {way} | {score.mean_strength:.2f} "
                f"| {score.mean_strength / base.mean_strength:.0%} | {score.mean_excess:.2f} "
                f"| {score.mean_excess / base.mean_excess:.2%} "
                f"| {score.revealed_strength[NEW_FRAMES]:.0%} | {row.new_places / reference.new_places:.0%} "
                f"| {np.nanmax(score.revealed_change[1 : NEW_FRAMES + 1]):.1f} "
                f"| {score.mean_clipped:.1%} | {row.seconds:.2f} "
                f"| {row.seconds / base_seconds:.0%} |",
                flush=True,
            )
        print(f"| {name} | source | 1.00 | | error {score.mean_source_error:.2f} | | | | | | | |", flush=True)


if __name__ == "__main__":
    main()
