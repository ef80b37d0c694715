"""Score a dream against its source: `score` of two videos, `score_frames` of images in memory.

Source and dream are brought to one working size by area averaging. There, for each frame and the one before:

- backward flow f of the *source* (DIS, medium preset), and the hard occlusion mask m of Ruder et al. 2016
  (forward and backward flow agree, inside the frame, off motion boundaries),
- warping error of the dream and of the source × 1e4 over m (after Lai et al. 2018 and Ruder et al. 2016; the
  formula is in `temporal.warping_error`), along f or at rest (`temporal.judging_flow`); their difference is the excess,
- strength: objective(dream) / objective(source), for a timeline of objectives that of the frame's time,
- brightness, contrast and saturation of both,
- the strength of disoccluded regions by the time since they came into view (`temporal.RevealedPlaces`),

and at the dream's own size the share of pixels that it clipped, and flashes, noise and evenness, which need no flow
(`residual_blocks`). A copy of the source has excess 0 and strength 1. An error says nothing without its strength: the
steadiest video is the undreamed one.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.dream.draft import draft
from dreamvid.dream.objectives.binding import encoder_loader, fit_network, layer_network, resolve_objective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.objectives.term import Reduction, no_encoder
from dreamvid.dream.tiles import read_activations
from dreamvid.errors import InputError, SettingsError
from dreamvid.image.tensors import to_8_bits, to_image
from dreamvid.metrics.report import Score
from dreamvid.metrics.residual_blocks import ResidualBlocks
from dreamvid.metrics.temporal import RevealedPlaces, Tone, judging_flow, warping_error
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.occlusion import occlusion_mask, was_visible
from dreamvid.motion.warp import warp
from dreamvid.networks.clip import Clip
from dreamvid.networks.network import load_network
from dreamvid.runtime.device import resolve_device
from dreamvid.settings import Settings, find_preset, load_settings, merge
from dreamvid.settings.merge import to_tables
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader, VideoFrame
from dreamvid.video.probe import frames_to_scan, probe, scan
from dreamvid.video.shots import detection_size, find_cuts
from dreamvid.video.source import Source, open_for_render, open_source

# Width in pixels at which videos are compared: flow holds, noise does not count, and it is quick.
WORKING_WIDTH = 320
# How far in pixels an image is continued by its mirror image.
_MIRRORED = 32

# A frame in memory: uint8 or uint16 (H, W, 3), or a float tensor (3, H, W) or (1, 3, H, W) in [0, 1]; RGB.
Frame = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | Tensor
_Image = npt.NDArray[np.float32]  # (H, W, 3) in [0, 1]


class ObjectiveMeter:
    """Measures an objective, or a timeline of objectives, on images; always in float32.

    Raises NetworkError and ObjectiveError for a network or objective that does not exist.
    """

    def __init__(
        self,
        objective: str,
        model: str,
        weights: str | None = None,
        *,
        measure: Reduction = "auto",
        device: torch.device | str = "cpu",
        encoder: Callable[[], Clip] = no_encoder,
    ) -> None:
        network = load_network(model, weights, device=device)
        self.objective = objective
        self.model = model
        self.device = torch.device(device)
        self._timeline = parse_timeline(objective)
        self._bound = {
            text: resolve_objective(parse_objective(text), network, reduction=measure, encoder=encoder)
            for text in self._timeline.objectives
        }
        self._module = layer_network(
            network, list(dict.fromkeys(layer for bound in self._bound.values() for layer in bound.layers))
        )
        self.set_time(0.0)

    @classmethod
    def from_settings(cls, settings: Settings) -> "ObjectiveMeter":
        """Make the meter of the objective and network in a render's settings, on their device."""
        network, dream = settings.network, settings.dream
        device = resolve_device(settings.render.device)
        return cls(
            dream.objective,
            network.model,
            network.weights,
            measure=dream.reduction,
            device=device,
            encoder=encoder_loader(network, device),
        )

    def set_time(self, time_seconds: float) -> None:
        """Measure from now on with what is dreamed at a time: in a cross-fade the weighted sum of two objectives."""
        self._present = [(self._bound[text], weight) for text, weight in self._timeline.at(time_seconds)]

    def value(self, image: Tensor) -> float:
        """Evaluate the objective on an image (1, 3, H, W) in [0, 1]; waits for the device."""
        activations = self._activations(image)
        return sum(weight * float(bound(activations).cpu().double().mean()) for bound, weight in self._present)

    def density(self, image: Tensor) -> Tensor:
        """Where in the image (1, 3, H, W) the objective is: (1, 1, H, W), on the CPU.

        The image is continued by its mirror image: next to the zeros that networks pad with, which is where
        a moving camera shows new regions, activations are weaker and would be taken for a weaker dream.
        """
        height, width = image.shape[2:]
        top, left = min(_MIRRORED, height - 1), min(_MIRRORED, width - 1)
        wide = F.pad(image, (left, left, top, top), mode="reflect")
        activations, size = self._activations(wide), (wide.shape[2], wide.shape[3])
        spread = torch.zeros((1, 1, *size), device=self.device)
        for bound, weight in self._present:
            density = bound.density(activations)
            spread = spread + weight * F.interpolate(density, size, mode="bilinear", align_corners=False)
        return spread[:, :, top : top + height, left : left + width].cpu()

    def _activations(self, image: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            fitting = fit_network(self._module, image.to(self.device))
            return read_activations(self._module, fitting.contiguous(memory_format=torch.channels_last))


class Scorer:
    """Takes in the frames of a source and its dream pair by pair; only the last pair is kept.

    meter: what strength is measured with. width: the working width in pixels; that of a smaller source or
    dream is not exceeded. Raises SettingsError for a width below 1.
    """

    def __init__(self, meter: ObjectiveMeter, *, width: int = WORKING_WIDTH) -> None:
        if width < 1:
            raise SettingsError(f"The working width got {width}: allowed is 1 pixel or more, such as {WORKING_WIDTH}.")
        self._meter = meter
        self._width = width
        self._size: Size | None = None
        self._estimator = load_estimator("dis")
        self._previous: tuple[Tensor, Tensor] | None = None
        self._revealed = RevealedPlaces()
        self._blocks = ResidualBlocks()
        self._rows: list[dict[str, float]] = []
        self._cuts: list[int] = []

    def add(self, source: Frame, dream: Frame, time_seconds: float, *, cut: bool = False) -> None:
        """Take in a frame of the source and what was dreamed of it. cut: it begins a new shot.

        Raises InputError for what is not an image.
        """
        images = _image(source), _image(dream)
        if self._size is None:
            self._size = _working_size(images[0], images[1], self._width)
        this = _at_size(images[0], self._size), _at_size(images[1], self._size)
        self._blocks.add(*images, cut=cut)
        self._meter.set_time(time_seconds)
        values = [self._meter.value(image) for image in this]
        row = {
            "times_seconds": time_seconds,
            "dream_error": np.nan,
            "source_error": np.nan,
            "valid_fraction": np.nan,
            "strength": values[1] / values[0] if values[0] > 0 else np.nan,
            "clipped": _newly_clipped(*images),
        }
        for prefix, image in zip(("source_", ""), this, strict=True):
            row |= {prefix + name: value for name, value in vars(Tone.from_image(image)).items()}
        if cut and self._rows:
            self._cuts.append(len(self._rows))
        if self._previous is None or cut:
            self._revealed.restart(this[0])
        else:
            row |= self._compare(this, self._previous)
        self._rows.append(row)
        self._previous = this

    def _compare(self, this: tuple[Tensor, Tensor], previous: tuple[Tensor, Tensor]) -> dict[str, float]:
        flow, reverse = self._estimator.estimate(*(self._estimator.prepare(images[0]) for images in (this, previous)))
        mask = occlusion_mask(flow, reverse)
        # The flow at motion boundaries is too doubtful to measure an error, but these pixels are not disoccluded.
        self._revealed.advance(flow, was_visible(flow, reverse))
        along = judging_flow(flow, (this[0], previous[0]), (this[1], previous[1]))
        residual, residual_before = this[1] - this[0], previous[1] - previous[0]
        change = (residual - warp(residual_before, along, mode="bilinear")).abs().mean(dim=1, keepdim=True)
        self._revealed.add(self._meter.density(this[0]), self._meter.density(this[1]), change, mask, flow)
        return {
            "source_error": warping_error(this[0], previous[0], along, mask),
            "dream_error": warping_error(this[1], previous[1], along, mask),
            "valid_fraction": float(mask.mean()),
        }

    def result(self) -> Score:
        """Sum up. Raises InputError when there was no frame."""
        if self._size is None:
            raise InputError("There are no frames to score. Give at least one of the source and one of the dream.")
        curves = {name: np.array([row[name] for row in self._rows], dtype=np.float64) for name in self._rows[0]}
        return Score(
            model=self._meter.model,
            objective=self._meter.objective,
            size=self._size,
            cuts=tuple(self._cuts),
            revealed_strength=np.array(self._revealed.strength()),
            revealed_change=np.array(self._revealed.change()),
            revealed_share=np.array(self._revealed.share()),
            **curves,
            **vars(self._blocks.curves()),
        )


def score_frames(
    source_frames: Iterable[Frame],
    dream_frames: Iterable[Frame],
    meter: ObjectiveMeter | None = None,
    *,
    fps: float,
    width: int = WORKING_WIDTH,
    cuts: Collection[int] = (),
) -> Score:
    """Score a dream's frames against their source's, one for one; `Score` explains the result.

    Frames are RGB: uint8 or uint16 (H, W, 3), or float tensors (3, H, W) or (1, 3, H, W) in [0, 1]; sizes may
    differ. meter: what strength is measured with, made once for several scores; None is that of the default
    settings. fps: frames per second, for the drift. width: working width in pixels. cuts: numbers (from 0) of
    the frames that begin a new shot. Raises InputError when one of the two has more frames.
    """
    scorer = Scorer(meter or ObjectiveMeter.from_settings(load_settings()), width=width)
    pairs = _pairs(iter(source_frames), iter(dream_frames))
    for index, (source, dream) in enumerate(pairs):
        scorer.add(source, dream, index / fps, cut=index in cuts)
    return scorer.result()


def score(
    source: str | Path,
    dream: str | Path,
    *,
    objective: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    frames: str | None = None,
    device: str | None = None,
    width: int = WORKING_WIDTH,
    on_frame: Callable[[int, int], None] | None = None,
) -> Score:
    """Score a dreamed video against its source; memory hardly grows with their length.

    The recipe next to the dream (`<dream>.toml`) says which of the source's frames were dreamed, at which
    rate, and with which objective and network; without one, the default settings do. Cuts are found in the
    source.

    Args:
        source, dream: videos, as `dreamvid run` takes them.
        objective, model, weights: to measure strength with, in place of the recipe's.
        frames: range START:STOP of the source's frames that the dream shows, in place of the recipe's.
        device: where the network runs, in place of the recipe's; everything else runs on the CPU.
        width: working width in pixels.
        on_frame: called with the number of frames done and their total.

    Raises:
        InputError (one of its kinds): a video cannot be read, their numbers of frames differ, an unknown
        objective, network or range, or a dream without a source (a zoom).
    """
    settings = _settings(dream, objective=objective, model=model, weights=weights, frames=frames, device=device)
    pair = _Pair(source, dream, settings)
    meter = ObjectiveMeter.from_settings(pair.settings)
    cuts, total = pair.check()
    scorer = Scorer(meter, width=width)
    with pair.frames() as both:
        for index, (original, dreamed) in enumerate(both):
            scorer.add(original.pixels, dreamed.pixels, original.time_seconds, cut=index in cuts)
            if on_frame is not None:
                on_frame(index + 1, total)
    return scorer.result()


def read_pairs(
    source: str | Path, dream: str | Path, indices: Collection[int], *, frames: str | None = None
) -> dict[int, tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Read some frames of a dream (numbers from 0) with their source's: uint8 (H, W, 3), by number.

    Numbers that the dream does not have are left out. frames: as in `score`. Raises InputError.
    """
    found = {}
    with _Pair(source, dream, _settings(dream, frames=frames)).frames(stop=max(indices, default=0) + 1) as both:
        for index, (original, dreamed) in enumerate(both):
            if index in indices:
                found[index] = to_8_bits(original.pixels), to_8_bits(dreamed.pixels)
    return found


class _Pair:
    """A dream and the frames of its source that it shows. Raises InputError for videos that cannot be read."""

    def __init__(self, source: str | Path, dream: str | Path, settings: Settings) -> None:
        self._source, self._dream = open_for_render(source, settings.video), open_source(dream)
        self._source_info, self._dream_info = probe(self._source), probe(self._dream)
        self.settings = draft(settings, self._source_info)  # the recipe only says that it is a draft
        self._start, self._stop = self.settings.video.frame_range()
        self._rate = self.settings.video.rate()
        until = frames_to_scan(self._source, self._source_info, self._stop, self._rate)
        self._scan = scan(self._source, self._source_info, until)  # refuses a graph without an end
        self._dream_scan = scan(self._dream, self._dream_info)

    def check(self) -> tuple[set[int], int]:
        """Find the source's cuts, and count the frames. Raises InputError when the counts differ."""
        small = detection_size(self._source_info)
        counted = 0

        def images() -> Iterator[npt.NDArray[np.uint8]]:
            nonlocal counted
            with FrameReader(
                self._source,
                self._source_info,
                scan=self._scan,
                start=self._start,
                stop=self._stop,
                fps=self._rate,
                size=small,
            ) as reader:
                for frame in reader:
                    counted += 1
                    yield to_8_bits(frame.pixels)

        cuts = set(find_cuts(images()))
        total = self._dream_scan.count
        if counted != total:
            raise _counts_differ(counted, total, self._source, self._dream, self.settings)
        return cuts, total

    @contextmanager
    def frames(self, stop: int | None = None) -> Generator[Iterator[tuple[VideoFrame, VideoFrame]]]:
        """Open both, from the dream's first frame to `stop` (exclusive)."""
        source_stop = self._stop
        if stop is not None:
            source_stop = self._start + stop if source_stop is None else min(source_stop, self._start + stop)
        with (
            FrameReader(
                self._source,
                self._source_info,
                scan=self._scan,
                start=self._start,
                stop=source_stop,
                fps=self._rate,
            ) as source_frames,
            FrameReader(self._dream, self._dream_info, scan=self._dream_scan, stop=stop) as dream_frames,
        ):
            yield _pairs(source_frames, dream_frames)


def _settings(dream: str | Path, **overrides: str | None) -> Settings:
    """Merge the overrides over the recipe next to the dream, if there is one."""
    recipe = Path(f"{Path(dream).expanduser()}.toml")
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    if "model" in given:
        given.setdefault("weights", None)  # the recipe's are another network's
    if not recipe.is_file():
        return load_settings(None, to_tables(given))
    preset = find_preset(recipe)
    if preset.kind != "run":
        raise InputError(
            f"{str(recipe)!r} is the recipe of a {preset.kind}, which has no source to be compared with. "
            "Only results of `dreamvid run` can be scored."
        )
    return merge(merge(preset.tables, origin=str(recipe)), to_tables(given))


def _counts_differ(counted: int, total: int, source: Source, dream: Source, settings: Settings) -> InputError:
    video = settings.video
    chosen = "" if video.frames == ":" else f" in its range {video.frames}"
    chosen += "" if video.fps is None else f" at {video.fps} frames per second"
    return InputError(
        f"{source.text} has {counted} frames{chosen}, {dream.text} has {total}: they cannot be compared one "
        f"for one. Say which frames of the source the dream shows, such as `frames=0:{total}`."
    )


def _pairs(sources: Iterator[Any], dreams: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    """Go through both at once; raises InputError with both counts when they end apart."""
    for index, (source, dream) in enumerate(zip_longest(sources, dreams)):
        if source is None or dream is None:
            rest = 1 + sum(1 for _ in (dreams if source is None else sources))
            counts = (index, index + rest) if source is None else (index + rest, index)
            raise InputError(
                f"The source has {counts[0]} frames and the dream {counts[1]}: they cannot be compared one "
                "for one. Leave out those of the source that were not dreamed."
            )
        yield source, dream


def _image(frame: Frame) -> _Image:
    """Bring a frame of any kind to float32 (H, W, 3) in [0, 1]. Raises InputError."""
    return np.ascontiguousarray(to_image(frame, "cpu")[0].permute(1, 2, 0).numpy())


def _working_size(source: _Image, dream: _Image, width: int) -> Size:
    """A size in the source's shape, no wider than either video."""
    height, full = source.shape[:2]
    width = min(width, full, dream.shape[1])
    return Size(max(1, round(width * height / full)), width)


def _at_size(image: _Image, size: Size) -> Tensor:
    """Average the areas of (H, W, 3) into a tensor (1, 3, h, w)."""
    if image.shape[:2] != size:
        image = np.asarray(cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_AREA), dtype=np.float32)
    return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()


def _newly_clipped(source: _Image, dream: _Image) -> float:
    """Share of the dream's pixels with a clipped channel where the source, brought to its size, has none."""
    before = _clipped(source)
    if before.shape != dream.shape[:2]:
        size = dream.shape[1], dream.shape[0]
        before = np.asarray(cv2.resize(before, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    return float((_clipped(dream) > before).mean())


def _clipped(image: _Image) -> npt.NDArray[np.uint8]:
    """1 where a channel, rounded to 8 bits, is 0 or 255."""
    half = np.float32(0.5 / 255)
    return np.asarray(((image < half) | (image >= 1 - half)).any(axis=2), dtype=np.uint8)
