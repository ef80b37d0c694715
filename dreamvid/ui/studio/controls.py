"""Describe the controls of a settings page, read off the settings model, which alone describes a setting."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from dreamvid.settings import Settings
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.settings.schema import Choice, bounds, flag_name, numeric_fields

Form = Literal["number", "whole number", "choice", "switch", "text"]

# A slider shows a range that a hand can aim in; any allowed number can be typed. Only ranges that the model leaves wide
# are narrowed here. They are no second bounds: the model alone refuses.
_SLIDERS: Mapping[str, tuple[float, float]] = {
    "octave_scale": (1.1, 2.0),
    "octaves": (1, 8),
    "dream_height": (120, 1080),
    "iterations": (0, 40),
    "step_size": (0.001, 0.05),
    "total_variation": (0.0, 1.0),
    "half_life_seconds": (0.0, 10.0),
    "warm_iterations": (0, 12),
    "disocclusion_iterations": (0, 20),
    "zoom": (0.5, 2.0),
    "rotate": (-90.0, 90.0),
    "pan_x": (-1.0, 1.0),
    "pan_y": (-1.0, 1.0),
    "shear_x": (-1.0, 1.0),
    "shear_y": (-1.0, 1.0),
    "kaleidoscope": (0, 16),
    "dream_rate": (0.0, 1.0),
    "frame_iterations": (1, 10),
    "hold_half_life_seconds": (0.0, 2.0),
}
FIRST_OF_RUN = ("objective", "step_size", "iterations", "dream_height", "octaves", "coherence", "keep_color", "mask")
"""The settings of the first screen for a video; all others are behind their groups."""
FIRST_OF_ZOOM = (
    *("objective", "zoom", "rotate", "pan_x", "pan_y", "kaleidoscope", "dream_rate", "loop", "frames", "size", "audio"),
)
"""The settings of the first screen for an animation."""


@dataclass(frozen=True)
class Control:
    """One control. low, high: what a slider shows; None for a number without a range, which is a text field.

    bounds: the allowed values in words. default: the model's; None where the setting may be missing. can_change: it can
    have a schedule.
    """

    group: str
    name: str
    form: Form
    unit: str
    help: str
    bounds: str
    default: Any
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None
    can_change: bool = False

    @property
    def label(self) -> str:
        """Name the control as its flag does, without the dashes, and its unit."""
        words = flag_name(self.name).removeprefix("--").replace("-", " ")
        return f"{words} [{self.unit}]" if self.unit else words

    @property
    def info(self) -> str:
        """Explain the control in a sentence or two, with its bounds and default."""
        allowed = f" Allowed: {self.bounds}." if self.bounds else ""
        default = "" if self.default is None or self.form == "switch" else f" Default: {self.default}."
        return f"{self.help}{allowed}{default}"


def controls(kind: str) -> list[Control]:
    """List the controls of a kind of render ("run" or "zoom"), in the order of the model."""
    return [_control(group, name, field) for group, name, field in setting_fields() if group in GROUPS_OF_KIND[kind]]


def _control(group: str, name: str, field: FieldInfo) -> Control:
    kinds = set(_kinds(field.annotation))
    unit = field.json_schema_extra.get("unit", "") if isinstance(field.json_schema_extra, dict) else ""
    choices = _choices(field)
    form: Form = "text"
    low = high = step = None
    if bool in kinds:
        form = "switch"
    elif choices and not kinds & {int, float}:
        form = "choice"
    elif (kinds <= {int, float, NoneType} and name in _SLIDERS) or name == "coherence":
        form = "number" if float in kinds else "whole number"
        low, high = _SLIDERS.get(name) or (0.0, 1.0)
        step = 1 if form == "whole number" else _step(high - low)
    return Control(
        group,
        name,
        form,
        str(unit),
        field.description or "",
        bounds(field),
        field.default,
        choices,
        low,
        high,
        step,
        can_change=name in numeric_fields(),
    )


def _step(span: float) -> float:
    return 0.001 if span <= 0.1 else 0.01 if span <= 2 else 0.1 if span <= 20 else 1.0


def _kinds(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return [str]
    parts = get_args(annotation)
    return [kind for part in parts for kind in _kinds(part)] if parts else [annotation]


def _choices(field: FieldInfo) -> tuple[str, ...]:
    for rule in field.metadata:
        if isinstance(choice := getattr(rule, "func", None), Choice):
            return tuple(choice.registry.names())
    return tuple(str(value) for value in _literals(field.annotation))


def _literals(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in _literals(part)]


def shown_value(settings: Settings, control: Control) -> Any:
    """Return what a control shows for settings: a schedule's text for a number that changes, "" for nothing in a text.

    A switch shows a bool and a choice one of its choices.
    """
    text = settings.schedules.get(control.name)
    value = text if text is not None else getattr(getattr(settings, control.group), control.name)
    if control.form == "text":
        return "" if value is None else str(value)
    return value


def changed(settings: Settings, base: Settings, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings, by name, in which `settings` differs from `base`; schedules as their text.

    names: group of each name that counts.
    """
    found: dict[str, Any] = {}
    for name, group in names.items():
        here, there = (given.schedules.get(name, getattr(getattr(given, group), name)) for given in (settings, base))
        if here != there:
            found[name] = here
    return found
