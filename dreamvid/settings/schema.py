"""Define the settings tree: each setting's type, default, bounds, unit and help.

Command-line flags, preset files, recipes and the Python API are made from these classes; nothing repeats a default. The
name of a setting is unique in the whole tree, so a flag or a keyword argument needs no group in front of it.
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
from dreamvid.settings.palettes import NAMED_PALETTES
from dreamvid.settings.rate import parse_rate
from dreamvid.settings.schedule import parse_schedule
from dreamvid.settings.size import Size

_RANGE = re.compile(r"(\d*):(\d*)")
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


def _rate(value: object) -> object:
    """Take numbers and fractions for their text; check the text, and keep it as it was written."""
    if isinstance(value, int | float | Fraction) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        parse_rate(value)
    return value


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
    """Turn a list of objective keyframes into their text; check text and keep it as it was written."""
    if not isinstance(value, str | list | tuple):
        return value
    try:
        timeline = parse_timeline(value)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return value if isinstance(value, str) else str(timeline)


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
    """Describe a number's limits: "from 1 up to 12", "above 0 up to 1"; "" if there are none."""
    templates = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
    parts = [
        template.format(getattr(rule, key))
        for rule in field.metadata
        for key, template in templates.items()
        if getattr(rule, key, None) is not None
    ]
    return " ".join(parts)


def flag_name(name: str) -> str:
    """Return a setting's command-line flag: `half_life_seconds` → `--half-life`."""
    return "--" + name.removesuffix("_seconds").replace("_", "-")


class SettingsGroup(BaseModel):
    """A table of settings. Frozen; an unknown name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class NetworkSettings(SettingsGroup):
    """Which network dreams."""

    model: str = Field(
        "efficientnet_lite2",
        description="Network to dream with: the embedded one, or a torchvision or timm classifier by name.",
    )
    weights: str | None = Field(
        None, description="Checkpoint file (.pth, .safetensors) to use instead of the published weights."
    )
    text_model: str = Field(
        "ViT-B-32-256:datacomp_s34b_b86k",
        description='Encoder for text("…") and like("…") in objectives, by open_clip\'s names: MODEL:WEIGHTS, such as '
        "RN50:openai. It is downloaded on first use.",
    )
    text_weights: str | None = Field(
        None, description="File of weights for the text model (.safetensors, .pt), instead of the published ones."
    )


class DreamSettings(SettingsGroup):
    """What is dreamed, and how strongly."""

    objective: Annotated[str, BeforeValidator(_objective)] = Field(
        "blocks.4.1",
        description="What to make more of: layers, channels and classes, weighted and summed. "
        "For example 'blocks.4.1', '0.5*blocks.3.2 + blocks.4.1:7', 'blocks.4.1:strongest(8)', 'class:peacock', "
        "'class:dog', 'text(\"a coral reef\")', 'guide(\"flowers.jpg\")@blocks.3.2'; or several, one after another: "
        "'blocks.3.2 | blocks.4.1 @ 5s'.",
    )
    reduction: Literal["auto", "mean", "l2"] = Field(
        "auto",
        description="How the activations of a layer or channel become one number: their mean, or l2, the mean of their "
        "squares. auto: l2 for layers and for channels selected by activity, mean for channels given by number.",
    )
    octaves: int = Field(4, ge=1, le=12, description="Number of scales, from coarse to fine.")
    octave_scale: float = Field(1.4, gt=1.0, le=4.0, description="Size ratio from one octave to the next.")
    dream_height: int = Field(
        480,
        ge=16,
        le=8640,
        json_schema_extra={"unit": "px"},
        description="Height at which the finest octave works, independent of the frame's size: it sets the size of the "
        "patterns. Never above the frame's own height, except that a small frame is dreamed at up to 240 lines.",
    )
    iterations: int = Field(
        10,
        ge=0,
        le=2000,
        description="Ascent steps per octave on a frame that carries no dream: the first one, and after a cut.",
    )
    step_size: float = Field(
        0.012,
        gt=0.0,
        le=1.0,
        description="Length of one ascent step: the mean change of a pixel, on a scale from 0 to 1.",
    )
    optimizer: Literal["ascent", "adam"] = Field(
        "ascent",
        description="How gradients become steps: plain gradient ascent, or Adam (Kingma and Ba 2014), which keeps "
        "momentum and scales each pixel's step; its state starts fresh in every octave of every frame.",
    )
    total_variation: float = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="Weight of smoothness: every step also reduces the image's total variation, this many times as "
        "strongly as it follows the objective. 0.1 to 0.5 calms grain; 1 is as strong as the dream.",
    )
    laplacian_levels: int = Field(
        4,
        ge=0,
        le=10,
        description="Laplacian pyramid levels over which the gradient is equalized; 0 leaves it as it is.",
    )
    gradient_norm: Literal["mean", "std", "none"] = Field(
        "mean",
        description="How the gradient is normalized: by mean absolute value, by standard deviation, or not at all "
        "(with Laplacian levels, each level is normalized in any case).",
    )
    color_space: Literal["rgb", "imagenet"] = Field(
        "rgb",
        description="Color space in which steps are taken: RGB from 0 to 1, or ImageNet's normalized colors (minus the "
        "mean, divided by the standard deviation).",
    )
    clamp: Literal["step", "end"] = Field(
        "step", description="When colors are clamped to 0 to 1: after every step, or only at the end."
    )
    octave_carry: Literal["residual", "image"] = Field(
        "residual",
        description="What is carried from one octave to the next: the residual (what the dream added to the source), "
        "or the whole image, enlarged.",
    )
    mask: str | None = Field(
        None,
        description="Image or video that says where to dream: white fully, gray partly, black not at all. It is "
        "stretched to the frame; a video runs along with the source by its own times. Or subject, background (found in "
        "the frames by a small network) or motion (what moves by itself).",
    )
    keep_color: bool = Field(False, description="Dream in brightness only and keep the source's colors.")
    palette: str = Field(
        "none",
        description="Colors to hold the dream to: none leaves them, source takes those of the source; or a palette by "
        f"name ({', '.join(NAMED_PALETTES)}), or those of an image file. "
        "Lightness stays as it is.",
    )
    tile: int = Field(
        1024,
        ge=64,
        le=8192,
        json_schema_extra={"unit": "px"},
        description="Largest side of the tiles that go through the network; halved automatically when memory runs out.",
    )


# Keyframes per second where the footage is calm, and the most where it is fast; all other frames are interpolated.
_FEWEST_PER_SECOND, _MOST_PER_SECOND = 7.5, 30


class CoherenceSettings(SettingsGroup):
    """How the dream follows what moves."""

    coherence: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="Sets half-life, warm-iterations and cadence together; individual flags override it. 0: each frame "
        "is dreamed alone and flickers; below 0.25: rough, every frame is dreamed in one step; 0.5: the default; 0.75: "
        "calm; 1: locked onto what moves.",
    )
    half_life_seconds: float = Field(
        1.2,
        ge=0.0,
        le=3600.0,
        json_schema_extra={"unit": "s"},
        description="Time in which half of the carried dream fades where something moves. What stands still takes four "
        "times as long, and color twice as long as light where the footage is calm. 0 dreams each frame alone.",
    )
    warm_iterations: int = Field(
        3,
        ge=0,
        le=100,
        description="Most ascent steps at the finest octave on a frame that already carries a dream: a calm frame "
        "takes one, a restless one all of them. The coarser octaves take two thirds as many.",
    )
    disocclusion_iterations: int = Field(
        4,
        ge=0,
        le=100,
        description="Ascent steps per octave for what comes into view, such as objects that enter the frame; a quarter "
        "more at coarser octaves where they are taken on these places alone. More steps make fuller shapes and take "
        "longer; 0 gives them no steps of their own.",
    )
    cadence: Annotated[int | Literal["auto"], BeforeValidator(_cadence)] = Field(
        "auto",
        json_schema_extra={"unit": "frames"},
        description="Dream every Nth frame (and the last one of a shot) and interpolate the frames in between along "
        "the motion: faster and calmer. 1 dreams every frame; auto dreams as often as the footage needs, from 7.5 "
        "frames per second where it is calm to 30 where it is fast.",
    )
    flow: Annotated[str, AfterValidator(Choice(FLOW_ESTIMATORS))] = Field(
        "dis",
        description="Optical flow that moves the dream: dis (fast, OpenCV), raft (torchvision, downloads its weights), "
        "none (the dream stays in place), or the name of a plugin.",
    )
    flow_weights: str | None = Field(
        None, description="Checkpoint file for the optical flow estimator, instead of its published weights."
    )

    def cadence_at(self, fps: float | Fraction) -> int:
        """Return the largest distance from one dreamed frame to the next, in frames, at a frame rate."""
        return self.cadence_range(fps)[1]

    def cadence_range(self, fps: float | Fraction) -> tuple[int, int]:
        """Return the smallest and the largest distance from one dreamed frame to the next, in frames, at a rate."""
        if self.cadence != "auto":
            return self.cadence, self.cadence
        if self.half_life_seconds == 0:
            return 1, 1
        least = max(1, round(fps / _MOST_PER_SECOND))
        return least, max(least, round(fps / _FEWEST_PER_SECOND))

    def alone_at(self, fps: float | Fraction) -> bool:
        """Return whether every frame depends only on itself, at a frame rate."""
        return self.half_life_seconds == 0 and self.cadence_at(fps) == 1


BlendMode = Literal["normal", "luma", "overlay", "screen"]


class CompositionSettings(SettingsGroup):
    """How the finished dream is added to its source."""

    strength: float = Field(
        1.0,
        ge=0.0,
        le=2.0,
        description="How much of the dream is added to the source: 0 shows the source, 1 the dream as it was grown, 2 "
        "twice as much.",
    )
    blend: BlendMode = Field(
        "normal",
        description="How it is added: normal (the sum), luma (its brightness only), overlay (it lightens and darkens, "
        "and keeps black and white), screen (it only lightens).",
    )
    sharpen_source: float = Field(
        0.0, ge=0.0, le=4.0, description="Sharpen the source under the dream: 0 leaves it, 1 doubles its finest detail."
    )


class CameraSettings(SettingsGroup):
    """How an animation moves and how its image develops; speeds are per second."""

    zoom: float = Field(
        1.25,
        gt=0.0,
        le=16.0,
        json_schema_extra={"unit": "per s"},
        description="Factor by which the image grows per second; 1 does not move, 0.8 moves away.",
    )
    rotate: float = Field(
        0.0, ge=-3600.0, le=3600.0, json_schema_extra={"unit": "degrees per s"}, description="Rotation, clockwise."
    )
    pan_x: float = Field(
        0.0,
        ge=-10.0,
        le=10.0,
        json_schema_extra={"unit": "widths per s"},
        description="Movement of the image to the right.",
    )
    pan_y: float = Field(
        0.0, ge=-10.0, le=10.0, json_schema_extra={"unit": "heights per s"}, description="Movement of the image down."
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
        0.5, ge=0.0, le=1.0, description="Center of zoom, rotation and shear: 0 is the left edge, 1 the right one."
    )
    center_y: float = Field(
        0.5, ge=0.0, le=1.0, description="Center of zoom, rotation and shear: 0 is the top edge, 1 the bottom one."
    )
    track_objective: bool = Field(
        False, description="Let the center drift to where the objective is strongest in the image."
    )
    camera_path: str | None = Field(
        None,
        description="File with the path of the center: a line 'x y t' for each point, x and y from 0 to 1, t in "
        "seconds.",
    )
    kaleidoscope: int = Field(
        0, ge=0, le=48, description="Sectors of a kaleidoscope around the center, each one mirrored; 0 is none."
    )
    dream_rate: float = Field(
        0.3,
        ge=0.0,
        le=10.0,
        json_schema_extra={"unit": "per s"},
        description="Speed of the dream: mean change of a pixel per octave, on a scale from 0 to 1.",
    )
    frame_iterations: int = Field(
        1, ge=1, le=100, description="Ascent steps per octave on each frame after the first; they share the dream rate."
    )
    hold_half_life_seconds: float = Field(
        0.15,
        ge=0.0,
        le=3600.0,
        json_schema_extra={"unit": "s"},
        description="Time in which colors and contrast return half of the way to those of the first image. Without "
        "this, the feedback soon saturates them.",
    )
    loop: bool = Field(False, description="Close the loop: the last frame leads to the first.")


class VideoSettings(SettingsGroup):
    """Which part of the source is rendered and how the result is stored."""

    frames: Annotated[str, AfterValidator(_frame_range)] = Field(
        ":", description="Frames START:STOP to render (STOP is exclusive), such as 0:100, 250: or :24."
    )
    size: Annotated[str, AfterValidator(_size)] | None = Field(
        None, description="Size WIDTHxHEIGHT to render at, instead of the source's."
    )
    bars: Literal["keep", "dream"] = Field(
        "keep",
        description="Black bars around a video's picture (letterbox, pillarbox): keep them black, or dream on them.",
    )
    draft: bool = Field(
        False,
        description="Render a preview: smaller and at half the frame rate, several times faster, with patterns of "
        "about the same size and strength.",
    )
    fps: Annotated[str, BeforeValidator(_rate)] | None = Field(
        None,
        json_schema_extra={"unit": "1/s"},
        description="Constant frame rate to convert to, such as 25 or 30000/1001, instead of the source's frame times. "
        "Images, which have no times, are shown at this rate.",
    )
    input_fps: Annotated[str, BeforeValidator(_rate)] | None = Field(
        None,
        json_schema_extra={"unit": "1/s"},
        description="Images per second of an image sequence; without it as many as fps says, or 25.",
    )
    stream: int | None = Field(
        None,
        ge=0,
        le=9999,
        description="Number of the video stream to take in a file with several, as ffmpeg counts them; without it the "
        "one that players take.",
    )
    audio: str | None = Field(
        None,
        description="Audio or video file whose audio drives schedules (rms, bass, mid, treble, onset, beat). In zoom "
        "it becomes the audio of the result; in run the video keeps its own audio, which 'source' stands for.",
    )
    hwaccel: str | None = Field(
        None,
        description="Hardware that decodes the video, by its ffmpeg name, such as cuda for NVDEC. By default the CPU "
        "decodes.",
    )
    codec: str | None = Field(
        None,
        description="Video encoder by its ffmpeg name, such as libx265. By default the output's suffix decides.",
    )
    crf: int | None = Field(
        None, ge=0, le=63, description="Encoding quality; lower is better. By default the codec decides."
    )

    def frame_range(self) -> tuple[int, int | None]:
        """Return `frames` as numbers: (first, one past the last or None for the end)."""
        start, stop = self.frames.split(":")
        return int(start or 0), int(stop) if stop else None

    def size_pixels(self) -> Size | None:
        """Return `size`, in pixels."""
        if self.size is None:
            return None
        width, height = self.size.split("x")
        return Size(height=int(height), width=int(width))

    def rate(self) -> Fraction | None:
        """Return `fps` as an exact fraction."""
        return None if self.fps is None else parse_rate(self.fps)

    def images_rate(self) -> Fraction | None:
        """Return `input_fps` as an exact fraction."""
        return None if self.input_fps is None else parse_rate(self.input_fps)


class RenderSettings(SettingsGroup):
    """Device, precision and random seed."""

    seed: int = Field(0, ge=0, lt=2**32, description="Random seed.")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="Compute device: auto, cpu, cuda, cuda:N or mps. auto takes a GPU if there is one that supports "
        "every operation.",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Number format inside the network; the image itself is always float32. 16-bit formats save GPU "
        "memory; results are equally strong but not identical.",
    )
    runtime: Literal["torch", "openvino"] = Field(
        "torch",
        description="What computes gradients on a CPU: torch, or openvino (pip install 'dreamvid[openvino]'), which is "
        "up to twice as fast on small images. It takes layers and channels as objectives; all else stays with torch.",
    )


class Settings(SettingsGroup):
    """Every setting of a render. Frozen: `load_settings(None, settings, octaves=3)` returns a changed copy.

    Raises `pydantic.ValidationError` when built by hand from bad values; `merge` and `load_settings` raise
    `SettingsError` with a message for users.
    """

    network: NetworkSettings = NetworkSettings()
    dream: DreamSettings = DreamSettings()
    coherence: CoherenceSettings = CoherenceSettings()
    composition: CompositionSettings = CompositionSettings()
    camera: CameraSettings = CameraSettings()
    video: VideoSettings = VideoSettings()
    render: RenderSettings = RenderSettings()
    schedules: dict[str, str] = Field(
        {}, description="Numbers that change over time: a setting's name and its schedule."
    )

    @field_validator("schedules")
    @classmethod
    def _check_schedules(cls, schedules: dict[str, str]) -> dict[str, str]:
        numbers = numeric_fields()
        for name, text in schedules.items():
            if name not in numbers:
                raise ValueError(
                    f"{name!r} is not a number that can change over time.{nearest(name, numbers)} "
                    f"Allowed: {', '.join(numbers)}"
                )
            try:
                parse_schedule(text)
            except SettingsError as error:
                raise ValueError(f"{name}: {error}") from None
        return schedules

    def at(self, time_seconds: float, frame: int, signals: Mapping[str, float] = MappingProxyType({})) -> "Settings":
        """Evaluate every schedule at a time and frame; the result has plain numbers and no schedules.

        signals: the values of the audio at that frame, by the names that schedules use. Integers are rounded. Raises
        SettingsError naming the time for a value that is out of its setting's bounds or not finite.
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
        """Evaluate every schedule at every frame of a video, so that a render does not stop half-way.

        signals: returns the values of the audio at a frame; None without audio. Raises SettingsError.
        """
        if not self.schedules:
            return
        for frame in range(max(1, math.ceil(duration_seconds * fps))):
            values = signals(frame) if signals else {}
            for name in self.schedules:
                self._scheduled(name, float(frame / fps), frame, values)

    def _scheduled(self, name: str, time_seconds: float, frame: int, signals: Mapping[str, float]) -> int | float:
        _, field = numeric_fields()[name]
        try:
            value = parse_schedule(self.schedules[name]).at(time_seconds, frame, signals, seed=self.render.seed)
        except SettingsError as error:
            raise SettingsError(f"`{name}`: {error}") from None
        if int in (field.annotation, *get_args(field.annotation)):
            value = round(value)
        if not _within(value, field):
            raise SettingsError(
                f"`{name}`: the schedule '{self.schedules[name]}' gives {value:g} "
                f"at {time_seconds:g} s (frame {frame}): allowed is {bounds(field)}. "
                "To keep it within the limits, write clamp(…, low, high)."
            )
        return value


# These hold for the whole video: its format and seed; and `coherence`, which sets numbers that can change.
_FIXED_GROUPS = ("video", "render")
_FIXED_NAMES = ("coherence",)


@functools.cache
def numeric_fields() -> Mapping[str, tuple[str, FieldInfo]]:
    """Return the settings that can be a schedule, all of them numbers: name → group and field."""
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
