"""The settings tree: each setting's type, default, bounds, unit and help, said here and nowhere else.

Command-line flags, preset files, recipes and the Python API are read off these classes. The name of a leaf is
unique in the whole tree, so that a flag or a keyword argument needs no group in front of it.
"""

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType, NoneType
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic.fields import FieldInfo

from dreamvid.errors import SettingsError, nearest
from dreamvid.runtime.plugins import FLOW_ESTIMATORS, Registry
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.settings.schedule import parse_schedule

_RANGE = re.compile(r"(\d*):(\d*)")
_RATE = re.compile(r"[0-9]{0,9}(\.[0-9]{0,12}|/[0-9]{1,9})?")
_SIZE = re.compile(r"(\d+)x(\d+)")


def _frame_range(text: str) -> str:
    match = _RANGE.fullmatch(text)
    if not match:
        raise ValueError("allowed is START:STOP in frames, either of them may be left out, such as 0:24 or 100:")
    start, stop = match.groups()
    if stop and int(stop) <= int(start or 0):
        raise ValueError("STOP has to be above START, such as 0:24 (STOP itself is not rendered)")
    return text


def _size(text: str) -> str:
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError("allowed is WIDTHxHEIGHT in pixels, such as 640x480")
    if not all(1 <= int(side) <= 16384 for side in match.groups()):
        raise ValueError("each side has to be from 1 to 16384 pixels")
    return text


def _rate(text: str) -> str:
    try:
        rate = Fraction(text if _RATE.fullmatch(text) else "")  # it would take 1e9999999 for a number, in hours
    except (ValueError, ZeroDivisionError):
        raise ValueError("allowed is a number or a fraction, such as 25 or 30000/1001") from None
    if not 0 < rate <= 1000:
        raise ValueError("a frame rate has to be above 0 and at most 1000")
    return text


def _cadence(value: object) -> object:
    if value == "auto":
        return value
    try:
        frames = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else 0
    except ValueError:
        frames = 0
    if not 1 <= frames <= 24:
        raise ValueError("allowed is auto, or a whole number of frames from 1 to 24")
    return frames


def _objective(value: object) -> object:
    """A list of stations becomes their text; text is looked at and kept as it was written."""
    if not isinstance(value, str | list | tuple):
        return value
    try:
        stations = parse_timeline(value)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return value if isinstance(value, str) else str(stations)


@dataclass(frozen=True)
class Choice:
    """Checks that a text is a name in a registry; the command line reads the choices off it."""

    registry: Registry[Any]

    def __call__(self, name: str) -> str:
        """Return the name. Raises ValueError with the nearest names."""
        if name not in self.registry:
            raise ValueError(self.registry.unknown(name))
        return name


def bounds(field: FieldInfo) -> str:
    """Say a number's limits in words: 'from 1 to 12', 'above 0, up to 1'; '' where there are none."""
    words = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
    said = [
        template.format(getattr(rule, key))
        for rule in field.metadata
        for key, template in words.items()
        if getattr(rule, key, None) is not None
    ]
    return " ".join(said)


def flag_name(name: str) -> str:
    """Name a setting's command-line flag: `half_life_seconds` → `--half-life`."""
    return "--" + name.removesuffix("_seconds").replace("_", "-")


class SettingsGroup(BaseModel):
    """A table of settings: frozen, and it refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class NetworkSettings(SettingsGroup):
    """Which network dreams."""

    model: str = Field(
        "efficientnet_lite2",
        description="Network to dream with: the embedded one, or a torchvision or timm classifier by name.",
    )
    weights: str | None = Field(
        None, description="Checkpoint file (.pth, .safetensors) to use in place of the published weights."
    )


class DreamSettings(SettingsGroup):
    """What is dreamed, and how hard."""

    objective: Annotated[str, BeforeValidator(_objective)] = Field(
        "blocks.4.1",
        description="What to make more of: layers, channels and classes, weighted and summed. "
        "Such as 'blocks.4.1', '0.5*blocks.3.2 + blocks.4.1:7', 'blocks.4.1:strongest(8)', 'class:peacock', "
        "'guide(\"flowers.jpg\")@blocks.3.2'; or several in turn: "
        "'blocks.3.2 | blocks.4.1 @ 5s'.",
    )
    reduction: Literal["auto", "mean", "l2"] = Field(
        "auto",
        description="What counts of a layer's or channel's activations: their mean, or l2, the mean of their squares. "
        "auto: l2 for layers and what is selected of them, mean for channels that are named.",
    )
    octaves: int = Field(4, ge=1, le=12, description="Number of scales, coarse to fine.")
    octave_scale: float = Field(1.4, gt=1.0, le=4.0, description="Size ratio from one octave to the next.")
    dream_height: int = Field(
        480,
        ge=16,
        le=8640,
        json_schema_extra={"unit": "px"},
        description="Height at which the finest octave works, whatever the frame's size: "
        "it sets the size of the patterns. Never above the frame's own height.",
    )
    iterations: int = Field(
        10,
        ge=0,
        le=2000,
        description="Ascent steps per octave where nothing was carried (first frame, cuts).",
    )
    step_size: float = Field(
        0.012,
        gt=0.0,
        le=1.0,
        description="Length of one ascent step, as the mean change of a pixel on the scale 0 to 1.",
    )
    optimizer: Literal["ascent", "adam"] = Field(
        "ascent",
        description="How gradients become steps: each by itself, or by Adam (Kingma and Ba 2014), which evens the "
        "pixels out and keeps its way; it starts anew in every octave of every frame.",
    )
    total_variation: float = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="Weight of smoothness: this many times as strong as the objective, every step takes from the "
        "image's total variation. 0.1 to 0.5 calms grain, 1 pulls as hard as the dream.",
    )
    laplacian_levels: int = Field(
        4,
        ge=0,
        le=10,
        description="Laplacian levels that the gradient is evened out over; 0 keeps it as it is.",
    )
    gradient_norm: Literal["mean", "std", "none"] = Field(
        "mean",
        description="What of the gradient is made 1, so that a step has a size: its mean absolute value, its "
        "standard deviation, or nothing (with levels, each of them is 1 by itself).",
    )
    color_space: Literal["rgb", "imagenet"] = Field(
        "rgb",
        description="Where steps are taken: on RGB from 0 to 1, or on ImageNet's normalised colors "
        "(less the mean, over the standard deviation).",
    )
    clamp: Literal["step", "end"] = Field(
        "step", description="When colors are held between 0 and 1: after every step, or only at the end."
    )
    octave_carry: Literal["residual", "image"] = Field(
        "residual",
        description="What goes up from one octave to the next: what was added, with the source's own detail, "
        "or the whole image, enlarged.",
    )
    mask: str | None = Field(
        None,
        description="Image or video that says where to dream: white wholly, gray partly, black not. "
        "Stretched to the frame; a video runs beside the source by its own times.",
    )
    keep_color: bool = Field(False, description="Dream in brightness only: the source's colors stay, none are added.")
    tile: int = Field(
        1024,
        ge=64,
        le=8192,
        json_schema_extra={"unit": "px"},
        description="Largest side that goes through the network at once; halved by itself when memory runs out.",
    )


# A dream that lives for a second is renewed often enough by this: all further frames can lie between two of these.
_DREAMED_PER_SECOND = 15


class CoherenceSettings(SettingsGroup):
    """How the dream stays on what moves."""

    coherence: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="One dial for half-life, warm-iterations and cadence, which go over it: 0 each frame dreams alone "
        "and boils, up to 0.25 rough, every frame dreamed in one step, 0.5 the default, 0.75 calm, 1 locked onto what "
        "moves.",
    )
    half_life_seconds: float = Field(
        1.2,
        ge=0.0,
        le=3600.0,
        json_schema_extra={"unit": "s"},
        description="Time in which half of the carried dream fades (its color in twice that where the footage is "
        "calm); 0 dreams each frame alone.",
    )
    warm_iterations: int = Field(
        3,
        ge=0,
        le=100,
        description="Ascent steps at the finest octave on a frame that carries a dream already; the coarser octaves "
        "take two thirds of them.",
    )
    disocclusion_iterations: int = Field(
        0,
        ge=0,
        le=100,
        description="Ascent steps of their own for places that are newly seen, such as what drives in: with 6 they are "
        "dreamed more fully, and a busy scene takes up to twice as long; 0 lets them share the others' steps.",
    )
    cadence: Annotated[int | Literal["auto"], BeforeValidator(_cadence)] = Field(
        "auto",
        json_schema_extra={"unit": "frames"},
        description="Dream one frame in so many (and the last of a shot) and carry the dream to those in between, "
        "from both sides: quicker and calmer. 1 dreams every frame; auto dreams some 15 frames in a second.",
    )
    flow: Annotated[str, AfterValidator(Choice(FLOW_ESTIMATORS))] = Field(
        "dis",
        description="Optical flow that carries the dream: dis (quick, OpenCV), raft (torchvision, downloads "
        "its weights), none (stays where it was), or that of a plugin.",
    )
    flow_weights: str | None = Field(
        None, description="Checkpoint file for the optical flow estimator, in place of its published weights."
    )

    def cadence_at(self, fps: float | Fraction) -> int:
        """Work out the cadence, in frames from one that is dreamed to the next, of a film with `fps` a second."""
        if self.cadence != "auto":
            return self.cadence
        return 1 if self.half_life_seconds == 0 else max(1, round(fps / _DREAMED_PER_SECOND))

    def alone_at(self, fps: float | Fraction) -> bool:
        """Whether every frame of a film with `fps` a second depends on itself alone."""
        return self.half_life_seconds == 0 and self.cadence_at(fps) == 1


class CameraSettings(SettingsGroup):
    """How an animation moves, and how its image lives on: all of it per second."""

    zoom: float = Field(
        1.25,
        gt=0.0,
        le=16.0,
        json_schema_extra={"unit": "per s"},
        description="Factor by which the image grows in a second; 1 stands still, 0.8 moves away.",
    )
    rotate: float = Field(
        0.0, ge=-3600.0, le=3600.0, json_schema_extra={"unit": "degrees per s"}, description="Turn, clockwise."
    )
    pan_x: float = Field(
        0.0,
        ge=-10.0,
        le=10.0,
        json_schema_extra={"unit": "widths per s"},
        description="Move of the image to the right.",
    )
    pan_y: float = Field(
        0.0, ge=-10.0, le=10.0, json_schema_extra={"unit": "heights per s"}, description="Move of the image down."
    )
    shear_x: float = Field(
        0.0,
        ge=-10.0,
        le=10.0,
        json_schema_extra={"unit": "px per px and s"},
        description="Shear: pixels to the right per pixel down.",
    )
    shear_y: float = Field(
        0.0,
        ge=-10.0,
        le=10.0,
        json_schema_extra={"unit": "px per px and s"},
        description="Shear: pixels down per pixel to the right.",
    )
    center_x: float = Field(
        0.5, ge=0.0, le=1.0, description="What zoom, turn and shear leave in its place: 0 left, 1 right."
    )
    center_y: float = Field(
        0.5, ge=0.0, le=1.0, description="What zoom, turn and shear leave in its place: 0 top, 1 bottom."
    )
    track_objective: bool = Field(
        False, description="Let the center drift to where the image shows most of the objective."
    )
    camera_path: str | None = Field(
        None,
        description="File that leads the center: a line 'x y t' for each point, x and y from 0 to 1, t in seconds.",
    )
    kaleidoscope: int = Field(
        0, ge=0, le=48, description="Sectors of a kaleidoscope about the center, each its own mirror image; 0 is none."
    )
    dream_rate: float = Field(
        0.3,
        ge=0.0,
        le=10.0,
        json_schema_extra={"unit": "per s"},
        description="How fast the dream goes on: mean change of a pixel by ascent, per octave, on the scale 0 to 1.",
    )
    frame_iterations: int = Field(
        1, ge=1, le=100, description="Ascent steps per octave on each frame behind the first, that share the growth."
    )
    hold_half_life_seconds: float = Field(
        0.15,
        ge=0.0,
        le=3600.0,
        json_schema_extra={"unit": "s"},
        description="Time in which colors and contrast come half of the way back to those of the start; "
        "without the hold, what is fed back soon runs to the ends of its range.",
    )
    loop: bool = Field(False, description="Close the film: its last frame leads to its first.")
    audio: str | None = Field(
        None,
        description="Sound or video file whose sound drives schedules (rms, bass, mid, treble, onset, beat) and "
        "becomes that of the film.",
    )


class VideoSettings(SettingsGroup):
    """Which part of the source, and how the result is stored."""

    frames: Annotated[str, AfterValidator(_frame_range)] = Field(
        ":", description="Range START:STOP of the source's frames to render, STOP left out."
    )
    size: Annotated[str, AfterValidator(_size)] | None = Field(
        None, description="Size WIDTHxHEIGHT to render at, in place of the source's own."
    )
    draft: bool = Field(
        False,
        description="Try out a film: smaller and at half the frame rate, several times faster, with patterns of much "
        "the same size and strength.",
    )
    fps: Annotated[str, AfterValidator(_rate)] | None = Field(
        None,
        json_schema_extra={"unit": "1/s"},
        description="Constant frame rate to convert to, in place of the source's own times.",
    )
    codec: str | None = Field(
        None,
        description="Video encoder by ffmpeg's name, such as libx265; the output's suffix decides without it.",
    )
    crf: int | None = Field(
        None, ge=0, le=63, description="Encoding quality, lower is better; the codec decides without it."
    )

    def frame_range(self) -> tuple[int, int | None]:
        """`frames` as numbers: (first, one past the last or None for the end)."""
        start, stop = self.frames.split(":")
        return int(start or 0), int(stop) if stop else None

    def size_pixels(self) -> tuple[int, int] | None:
        """`size` as (width, height)."""
        if self.size is None:
            return None
        width, height = self.size.split("x")
        return int(width), int(height)

    def rate(self) -> Fraction | None:
        """`fps` as an exact fraction."""
        return None if self.fps is None else Fraction(self.fps)


class RenderSettings(SettingsGroup):
    """On what the render runs, and its luck."""

    seed: int = Field(0, ge=0, lt=2**32, description="Number that decides everything random.")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="Compute device: auto, cpu, cuda, cuda:N or mps. auto takes a GPU where there is one that can do "
        "all that is needed.",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Number format inside the network; the image itself is always float32. The short formats "
        "spare a GPU's memory; dreams are as strong, but other ones.",
    )


class Settings(SettingsGroup):
    """Every setting of a render. Frozen; change one by merging overrides over it.

    Raises `pydantic.ValidationError` when built by hand from bad values; `merge` and `load_settings` raise
    `SettingsError` with a message for users.
    """

    network: NetworkSettings = NetworkSettings()
    dream: DreamSettings = DreamSettings()
    coherence: CoherenceSettings = CoherenceSettings()
    camera: CameraSettings = CameraSettings()
    video: VideoSettings = VideoSettings()
    render: RenderSettings = RenderSettings()
    schedules: dict[str, str] = Field(
        {}, description="Numbers that change while the film runs: a setting's name and its schedule."
    )

    @field_validator("schedules")
    @classmethod
    def _check_schedules(cls, schedules: dict[str, str]) -> dict[str, str]:
        numbers = numeric_fields()
        for name, text in schedules.items():
            if name not in numbers:
                raise ValueError(
                    f"{name!r} is no number that can change while the film runs.{nearest(name, numbers)} "
                    f"Allowed: {', '.join(numbers)}"
                )
            try:
                parse_schedule(text)
            except SettingsError as error:
                raise ValueError(f"{name}: {error}") from None
        return schedules

    def at(self, time_seconds: float, frame: int, signals: Mapping[str, float] = MappingProxyType({})) -> "Settings":
        """Evaluate every schedule at a time and frame; the result has plain numbers and no schedules.

        signals: the sound's curves at that frame, by the names that schedules know. Integers are rounded.
        Raises SettingsError naming the time for a value that is out of its setting's bounds or not finite.
        """
        if not self.schedules:
            return self
        changed: dict[str, dict[str, int | float]] = {}
        for name in self.schedules:
            group, _ = numeric_fields()[name]
            changed.setdefault(group, {})[name] = self._scheduled(name, time_seconds, frame, signals)
        groups = {group: getattr(self, group).model_copy(update=values) for group, values in changed.items()}
        return self.model_copy(update={**groups, "schedules": {}})

    def check_schedules(
        self,
        duration_seconds: float,
        fps: Fraction | float,
        signals: Callable[[int], Mapping[str, float]] | None = None,
    ) -> None:
        """Evaluate every schedule at every frame of a film, so that a render does not stop half-way.

        signals: gives the sound's curves at a frame; None where there is no sound. Raises SettingsError.
        """
        if not self.schedules:
            return
        for frame in range(max(1, math.ceil(duration_seconds * fps))):
            heard = signals(frame) if signals else {}
            for name in self.schedules:
                self._scheduled(name, float(frame / fps), frame, heard)

    def _scheduled(self, name: str, time_seconds: float, frame: int, signals: Mapping[str, float]) -> int | float:
        _, field = numeric_fields()[name]
        try:
            value = parse_schedule(self.schedules[name]).at(time_seconds, frame, signals, seed=self.render.seed)
        except SettingsError as error:
            raise SettingsError(f"{flag_name(name)}: {error}") from None
        if int in (field.annotation, *get_args(field.annotation)):
            value = round(value)
        if not _within(value, field):
            raise SettingsError(
                f"{flag_name(name)}: the schedule '{self.schedules[name]}' gives {value:g} "
                f"at {time_seconds:g} s (frame {frame}): allowed is {bounds(field)}. "
                "To stop it there, write clamp(…, low, high)."
            )
        return value


# What holds for the whole film: its format, its seed; and the dial, which stands for numbers that can change.
_FIXED_GROUPS = ("video", "render")
_FIXED_NAMES = ("coherence",)


@functools.cache
def numeric_fields() -> Mapping[str, tuple[str, FieldInfo]]:
    """The settings that can be a schedule, all of them numbers: name → group and field."""
    found: dict[str, tuple[str, FieldInfo]] = {}
    for group, table in Settings.model_fields.items():
        kind: Any = table.annotation
        if group in _FIXED_GROUPS or not (isinstance(kind, type) and issubclass(kind, SettingsGroup)):
            continue
        for name, field in kind.model_fields.items():
            kinds = set(get_args(field.annotation) or (field.annotation,)) - {NoneType}
            if name not in _FIXED_NAMES and kinds in ({int}, {float}):
                found[name] = (group, field)
    return MappingProxyType(found)


def _within(value: float, field: FieldInfo) -> bool:
    tests: dict[str, Callable[[Any], bool]] = {
        "ge": lambda limit: value >= limit,
        "gt": lambda limit: value > limit,
        "le": lambda limit: value <= limit,
        "lt": lambda limit: value < limit,
    }
    return all(
        test(getattr(rule, key))
        for rule in field.metadata
        for key, test in tests.items()
        if getattr(rule, key, None) is not None
    )
