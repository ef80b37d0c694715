"""Makes an animation from one image: each frame is the frame before, moved, dreamed again and held in its colors.

moved = move(image, camera over one frame's time)     sampled once
grown = moved + a little ascent                       in proportion to the time
image = grown, colors and contrast pulled towards those of the start
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.camera.color_match import ColorStatistics, color_statistics, hold_statistics
from dreamvid.camera.loop import LoopClosure
from dreamvid.camera.movement import Camera, Fold, Moved, Movement, kaleidoscope, move
from dreamvid.camera.path import CameraPath, read_path
from dreamvid.dream.octaves import SMALLEST_SIDE, Shifts
from dreamvid.dream.palette import Palette
from dreamvid.dream.session import DreamSession
from dreamvid.errors import SettingsError
from dreamvid.image.tensors import resize
from dreamvid.settings import CameraSettings, Settings
from dreamvid.settings.schedule import SIGNALS
from dreamvid.settings.size import Size

Signals = Callable[[int], Mapping[str, float]]
"""What the sound does at a frame, for schedules."""

SILENCE: Mapping[str, float] = dict.fromkeys(SIGNALS, 0.0)

# Areas that enter from outside get their whole dream in this time: fast enough not to look bare, too slow to pop.
_RAMP_SECONDS = 0.25
# The steps of a whole dream have random shifts and partly cancel out; the few steps of the ramp agree better, so this
# share of their length reaches as far.
_PORTION = 0.4
_MARGIN = 0.1  # of the image's sides
_AMOUNT_HEIGHT = 64  # of the map of how much is dreamed already, which is smooth
_FOLLOW_HALF_LIFE_SECONDS = 1.5
_FOLLOW_SHARPNESS = 6.0
_FOLLOW_REACH = 0.3  # from the middle: a center at the edge would pull the outside in
# The statistics of a start that is nearly uniform, black or white would suppress the dream.
_LEAST_DEVIATION, _LEAST_DETAIL = 0.14, 0.06
_DARKEST, _BRIGHTEST = 0.25, 0.75


class CameraDreamer:
    """Dreams the frames of an animation in their order, from frame 0 on.

    settings: of a zoom preset; group `camera` says how it moves. start: image (1, 3, H, W) in [0, 1] of the
    video's size; dreamed, it becomes frame 0. fps: frames per second. count: number of frames, None if it is not known.
    signals: what the sound does. camera: replaces the settings' camera; a steady movement or a function of the time in
    seconds.

    Loads the network once. Raises NetworkError, ObjectiveError, DeviceError, and SettingsError for settings that do not
    go together and for a path that cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        start: Tensor,
        *,
        fps: float,
        count: int | None = None,
        signals: Signals | None = None,
        camera: Movement | Callable[[float], Movement] | None = None,
    ) -> None:
        self.settings = settings
        _check_together(settings.camera, count)
        path = settings.camera.camera_path
        self._path: CameraPath | None = None if path is None else read_path(Path(path))
        self._session = DreamSession(settings)
        self.device = self._session.device
        self.ascent = self._session.ascent
        self._start = start.to(self.device)
        self._fps, self._count = float(fps), count
        self._signals: Signals = signals or (lambda frame: SILENCE)
        self._camera = camera
        self._loop = LoopClosure.from_length(count, self._fps) if settings.camera.loop and count is not None else None
        self._target = _colors_to_hold(self._start, settings.dream.palette)
        self._image: Tensor | None = None
        self._first: Tensor | None = None
        self._amount: Tensor | None = None
        self._center: Tensor | None = None

    def update(self, settings: Settings) -> None:
        """Take other settings between two frames; the image goes on. A loop cannot change. Raises ObjectiveError."""
        self._session.update(settings)
        if settings.dream.palette != self.settings.dream.palette:
            self._target = _colors_to_hold(self._start, settings.dream.palette)
        self.settings = settings

    def check_objective(self, objective: str) -> None:
        """Raise ObjectiveError for an objective that the network does not have."""
        self._session.resolve(objective)

    def dream(
        self,
        index: int,
        mask: Tensor | None = None,
        *,
        time_seconds: float | None = None,
        elapsed_seconds: float | None = None,
        signals: Mapping[str, float] | None = None,
    ) -> Tensor:
        """Dream frame `index`, (1, 3, H, W) in [0, 1]; frame 0, or the frame after the last dreamed one.

        mask: where to dream, (1, 1, H, W) in [0, 1]; None everywhere. time_seconds, elapsed_seconds: the frame's time
        and the time since the frame before, where frames do not come at a constant rate. signals: what the sound does.
        """
        seconds = index / self._fps if time_seconds is None else time_seconds
        elapsed = 1 / self._fps if elapsed_seconds is None else elapsed_seconds
        settings = self._session.set_time(seconds, index, self._signals(index) if signals is None else signals)
        if index == 0:
            self._image = self._begin(settings, mask)
            self._first = self._image if self._loop is not None else None
        else:
            self._image = self._go_on(settings, index, seconds, elapsed, mask)
        return self._image

    def _begin(self, settings: Settings, mask: Tensor | None) -> Tensor:
        dream, camera = settings.dream, settings.camera
        height, width = self._start.shape[2:]
        self._center = torch.tensor([camera.center_x, camera.center_y], dtype=torch.float64)
        step: float | Tensor = dream.step_size if mask is None else dream.step_size * mask
        start = self._move(self._start, Camera(), camera, 0.0, (0,)).image  # a kaleidoscope folds it
        image = self._grow(start, settings, 0, dream.iterations, step)
        self._amount = image.new_ones(1, 3, _AMOUNT_HEIGHT, max(1, round(width * _AMOUNT_HEIGHT / height)))
        return hold_statistics(image, self._target, elapsed_seconds=1.0, half_life_seconds=0.0)

    def _go_on(self, settings: Settings, index: int, seconds: float, elapsed: float, mask: Tensor | None) -> Tensor:
        assert self._image is not None
        assert self._center is not None
        camera, dream = settings.camera, settings.dream
        height, width = self._image.shape[2:]
        if self._loop is None or not self._loop.reached(index):
            self._center = self._steer(camera, seconds, elapsed)
        movement = self._movement(camera, seconds)
        moved = self._move(self._image, movement, camera, elapsed, (settings.render.seed, index))
        missing = self._missing_dream(moved, movement, camera, elapsed)
        growth: float | Tensor = camera.dream_rate * elapsed
        if missing is not None:
            growth = growth + missing * (_PORTION * dream.iterations * dream.step_size)
        if mask is not None:
            growth = growth * mask
        weight = back = None
        if self._loop is not None and self._loop.reached(index):
            assert self._first is not None
            back = move(self._first, torch.linalg.inv(self._remaining(index, width, height)), seed=index)
            weight, freedom = self._loop.weights(back, index)
            growth = growth * freedom
        share = growth / camera.frame_iterations
        grown = self._grow(moved.image, settings, index, camera.frame_iterations, share, wide=missing is not None)
        held = hold_statistics(
            grown, self._target, elapsed_seconds=elapsed, half_life_seconds=camera.hold_half_life_seconds
        )
        return held if weight is None or back is None else torch.lerp(held, back.image, weight)

    def _grow(
        self,
        image: Tensor,
        settings: Settings,
        index: int,
        iterations: int,
        step: float | Tensor,
        *,
        wide: bool = False,
    ) -> Tensor:
        """Dream an image again; `wide` keeps patterns that only grow at the border out of it, as it moves inwards."""
        height, width = image.shape[2:]
        sizes = self._session.sizes(height, width, settings)
        # No detail comes from a source, so the finest octave has the image's own size.
        if sizes[-1].height < height <= settings.dream.dream_height:
            sizes.append(Size(height, width))
        whole, margins = image, (0, 0)
        if wide:
            # Opposite borders meet in the rolled image; the ascent would decorate the jump between them.
            margins = round(_MARGIN * height), round(_MARGIN * width)
            around = (margins[1], margins[1], margins[0], margins[0])
            whole = F.pad(image, around, mode="reflect")
            step = F.pad(step, around, mode="reflect") if isinstance(step, Tensor) else step
            sizes = [
                Size(round(h * (1 + 2 * margins[0] / height)), round(w * (1 + 2 * margins[1] / width)))
                for h, w in sizes
            ]
        fine = sizes[-1]
        residual = self._session.ascent.grow(
            whole,
            None,
            sizes,
            iterations=iterations,
            step=resize(step, fine) if isinstance(step, Tensor) else step,
            shifts=Shifts(settings.render.seed, index),
        )
        residual = resize(residual, (whole.shape[2], whole.shape[3]))
        inner = residual[:, :, margins[0] : margins[0] + height, margins[1] : margins[1] + width]
        return self._session.ascent.rule.add(image, inner)

    # --- the camera

    def _movement(self, camera: CameraSettings, seconds: float) -> Movement:
        if self._camera is not None:
            return self._camera if isinstance(self._camera, Movement) else self._camera(seconds)
        assert self._center is not None
        x, y = self._center.tolist()
        return Camera(
            zoom=camera.zoom,
            rotate=camera.rotate,
            pan_x=camera.pan_x,
            pan_y=camera.pan_y,
            shear_x=camera.shear_x,
            shear_y=camera.shear_y,
            center_x=x,
            center_y=y,
        )

    def _move(
        self, image: Tensor, movement: Movement, camera: CameraSettings, elapsed: float, seed: tuple[int, ...]
    ) -> Moved:
        height, width = image.shape[2:]
        return move(
            image, movement.transform(elapsed, width, height), fold=self._fold(camera, width, height), seed=seed
        )

    def _fold(self, camera: CameraSettings, width: int, height: int) -> Fold | None:
        if camera.kaleidoscope == 0:
            return None
        assert self._center is not None
        x, y = self._center.tolist()
        return kaleidoscope(camera.kaleidoscope, width, height, center_x=x, center_y=y)

    def _missing_dream(self, moved: Moved, movement: Movement, camera: CameraSettings, elapsed: float) -> Tensor | None:
        """Compute the part of a whole dream that each pixel is to get now, (1, 1, H, W); None if nothing is missing."""
        assert self._amount is not None
        whole = bool((self._amount >= 1).all())
        if whole and bool((moved.inside >= 1).all()):  # waits for the device: two small maps
            return None
        ride = self._move(self._amount, movement, camera, elapsed, (0,))
        height, width = self._amount.shape[2:]
        amount = (ride.image * resize(moved.inside, (height, width)).clamp(0, 1)).clamp(0, 1)[:, :1]
        growth = (1 - amount).clamp(0, min(1.0, elapsed / _RAMP_SECONDS))
        self._amount = (amount + growth).expand(1, 3, height, width).contiguous()
        size = (moved.image.shape[2], moved.image.shape[3])
        return F.interpolate(growth, size, mode="bilinear", align_corners=False)

    def _steer(self, camera: CameraSettings, seconds: float, elapsed: float) -> Tensor:
        """Return the camera's center at a time, (x, y) from 0 to 1."""
        assert self._center is not None
        if self._path is not None:
            return torch.tensor(self._path.at(seconds), dtype=torch.float64)
        if not camera.track_objective:
            return torch.tensor([camera.center_x, camera.center_y], dtype=torch.float64)
        pull = 1 - 0.5 ** (elapsed / _FOLLOW_HALF_LIFE_SECONDS)
        return torch.lerp(self._center, self._objective_center(), pull)

    def _objective_center(self) -> Tensor:
        """Compute where the objective is strongest, (x, y) from 0 to 1: the mean position, weighted by its density."""
        assert self._image is not None
        height, width = self._image.shape[2:]
        sizes = self._session.sizes(height, width)
        small = resize(self._image, next((size for size in sizes if size.height >= 2 * SMALLEST_SIDE), sizes[-1]))
        density = self._session.density(small)[0, 0].cpu().double().clamp_min(0)
        weight = (density / density.amax().clamp_min(1e-12)) ** _FOLLOW_SHARPNESS
        total = weight.sum().clamp_min(1e-12)
        rows, columns = weight.shape
        x = (weight.sum(dim=0) * ((torch.arange(columns, dtype=torch.float64) + 0.5) / columns)).sum() / total
        y = (weight.sum(dim=1) * ((torch.arange(rows, dtype=torch.float64) + 0.5) / rows)).sum() / total
        return torch.stack((x, y)).clamp(0.5 - _FOLLOW_REACH, 0.5 + _FOLLOW_REACH)

    def _remaining(self, index: int, width: int, height: int) -> Tensor:
        """Multiply all movement from frame `index` to the frame after the last, which is the first again."""
        assert self._count is not None
        total = torch.eye(3, dtype=torch.float64)
        center = self._center
        for later in range(index + 1, self._count + 1):
            at = min(later, self._count - 1)
            camera = self.settings.at(at / self._fps, at, self._signals(at)).camera
            if self._path is not None or not camera.track_objective:
                self._center = self._steer(camera, at / self._fps, 1 / self._fps)
            total = self._movement(camera, at / self._fps).transform(1 / self._fps, width, height) @ total
        self._center = center
        return total

    # --- state

    def state(self) -> dict[str, Tensor]:
        """Return everything that is carried to the next frame; empty before the first."""
        carried = {"image": self._image, "first": self._first, "amount": self._amount, "center": self._center}
        return {name: tensor.cpu() for name, tensor in carried.items() if tensor is not None}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned; with {} only frame 0 can be dreamed."""
        self._image, self._first, self._amount = (
            state[name].to(self.device) if name in state else None for name in ("image", "first", "amount")
        )
        self._center = state.get("center")


def _check_together(camera: CameraSettings, count: int | None) -> None:
    if camera.track_objective and camera.camera_path is not None:
        raise SettingsError("`track_objective` and `camera_path` both move the center. Keep one of them.")
    if camera.loop and count is None:
        raise SettingsError("A loop needs its length: give the number of frames.")


def _colors_to_hold(start: Tensor, palette: str) -> ColorStatistics:
    """Measure the colors of the start, moved to a palette: the animation is held to them."""
    found = Palette.from_text(palette, start.device)
    graded = start if found is None else found.map_from(Palette.of_image(start))(start)
    return _livable(color_statistics(graded))


def _livable(start: ColorStatistics) -> ColorStatistics:
    """Give the statistics of the start enough contrast and detail for a dream."""
    deviation = float(start.covariance.diagonal().mean().clamp_min(0).sqrt())
    missing = max(0.0, _LEAST_DEVIATION**2 - deviation**2)
    # Mostly brightness, some color, as in most images.
    spread = missing * (0.7 + 0.3 * torch.eye(3)).to(start.covariance)
    return ColorStatistics(
        start.mean.clamp(_DARKEST, _BRIGHTEST), start.covariance + spread, start.detail.clamp_min(_LEAST_DETAIL)
    )
