"""List the settings that can change while a live dream runs, read off the settings model."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from dreamvid.errors import SettingsError, nearest
from dreamvid.settings import Settings
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.palettes import PALETTES
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.settings.schema import bounds, flag_name, numeric_fields

Kind = Literal["number", "integer", "choice", "text", "switch"]
Value = float | int | bool | str

# What is built once, before the first frame: the network, how its gradients are cut up and what is carried between
# octaves, the flow estimator, and everything that names a file.
_FIXED_GROUPS = ("network", "video", "render")
_FIXED = ("reduction", "octave_carry", "mask", "tile", "cadence", "flow", "flow_weights", "camera_path", "loop")
# Numbers that set the sizes of octaves. They change at once, in the middle of a cross-fade: a size for each frame on
# the way would be slow, as a GPU records its work for each size.
SIZES = ("octaves", "octave_scale", "dream_height", "laplacian_levels", "kaleidoscope")
_STOPS = 101  # positions of a knob
_WIDE = 4  # a range that reaches this many times above the default is stretched


@dataclass(frozen=True)
class Control:
    """A setting that can change between two frames.

    name, group, unit, help: those of the settings model. minimum, maximum: bounds of a number, None for others.
    above_minimum: whether the minimum itself is refused. default: its value when the session began. choices: the
    allowed values of a choice.
    """

    name: str
    group: str
    kind: Kind
    default: Value | None
    minimum: float | None = None
    maximum: float | None = None
    above_minimum: bool = False
    unit: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    limits: str = ""
    """The bounds in words, such as "above 0 up to 1"."""
    scheduled: bool = field(default=False, compare=False)
    """Whether its value can be a schedule or an expression."""

    @cached_property
    def stops(self) -> tuple[float, ...]:
        """The values of a number at evenly spaced positions of a knob, from its minimum to its maximum.

        The default is in the middle, unless it is a bound. A range that is much wider than the default is stretched, so
        that a knob is fine where it is used: the half-life goes from 0 to an hour.
        """
        low, high = self.minimum, self.maximum
        if low is None or high is None:
            return ()
        start = min(max(float(self.default), low), high) if isinstance(self.default, int | float) else (low + high) / 2
        middle = 0.0 if start == low else 1.0 if start == high else 0.5
        values = [self._stop(index / (_STOPS - 1), start, middle, low, high) for index in range(_STOPS)]
        return tuple(self.within(value) for value in values)

    @staticmethod
    def _stop(position: float, start: float, middle: float, low: float, high: float) -> float:
        if position <= middle:
            part = (middle - position) / middle if middle else 0.0
            return start - (start - low) * (part**3 if low < 0 else part)
        part = (position - middle) / (1 - middle)
        if start > 0 and high > _WIDE * start:
            return float(start * (high / start) ** part)
        return start + (high - start) * (part**3 if low < 0 or start <= 0 < high - 1 else part)

    def at(self, position: float) -> float:
        """Return the value at a position of a knob from 0 to 1."""
        stops = self.stops
        place = min(max(position, 0.0), 1.0) * (len(stops) - 1)
        index = min(int(place), len(stops) - 2)
        value = stops[index] + (place - index) * (stops[index + 1] - stops[index])
        return self.within(float(f"{value:.4g}"))

    def position(self, value: float) -> float:
        """Return the position of a knob from 0 to 1 at which it shows a value: the inverse of `at`."""
        stops = self.stops
        index = min(max(bisect_left(stops, value), 1), len(stops) - 1)
        below, above = stops[index - 1], stops[index]
        part = (value - below) / (above - below) if above > below else 0.0
        return min(max((index - 1 + part) / (len(stops) - 1), 0.0), 1.0)

    def within(self, value: float) -> float:
        """Bring a number within the bounds; round it if it is an integer."""
        low, high = self.minimum, self.maximum
        if low is not None:
            value = max(value, low + (1e-3 * (float(self.default or low + 1) - low) if self.above_minimum else 0.0))
        if high is not None:
            value = min(value, high)
        return round(value) if self.kind == "integer" else value


def inventory(settings: Settings, kind: str = "run") -> Mapping[str, Control]:
    """List the controls of a session by name, in the order of the settings model.

    settings: those that the session begins with. kind: "run" for a video, "zoom" for an animation.
    """
    groups = [group for group in GROUPS_OF_KIND[kind] if group not in _FIXED_GROUPS]
    found = {
        name: _control(group, name, leaf, getattr(getattr(settings, group), name))
        for group, name, leaf in setting_fields()
        if group in groups and name not in _FIXED
    }
    return MappingProxyType(found)


def find_control(name: str, controls: Mapping[str, Control]) -> Control:
    """Find a control by its setting's name or its flag's (half_life, half-life). Raises SettingsError."""
    by_flag = {flag_name(known).removeprefix("--"): control for known, control in controls.items()}
    control = controls.get(name) or by_flag.get(name.replace("_", "-"))
    if control is not None:
        return control
    known = {leaf for _, leaf, _ in setting_fields()}
    if name in known:
        raise SettingsError(
            f"`{name}` cannot change while a live dream runs.{nearest(name, controls)} Allowed: {', '.join(controls)}."
        )
    raise SettingsError(f"There is no setting {name!r}.{nearest(name, controls)} Allowed: {', '.join(controls)}.")


def _control(group: str, name: str, leaf: FieldInfo, value: Value | None) -> Control:
    kinds = [kind for kind in _plain_kinds(leaf.annotation) if kind is not NoneType]
    choices = tuple(str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind))
    kind: Kind = "text"
    if name == "palette":
        choices = PALETTES  # never a file, which only the command line may name
    if choices:
        kind = "choice"
    elif bool in kinds:
        kind = "switch"
    elif int in kinds:
        kind = "integer"
    elif float in kinds:
        kind = "number"
    low, exclusive = _limit(leaf, ("ge", "gt"))
    high, _ = _limit(leaf, ("le", "lt"))
    extra = leaf.json_schema_extra
    return Control(
        name=name,
        group=group,
        kind=kind,
        default=value,
        minimum=low,
        maximum=high,
        above_minimum=exclusive,
        unit=str(extra.get("unit", "")) if isinstance(extra, dict) else "",
        help=leaf.description or "",
        choices=choices,
        limits=bounds(leaf),
        scheduled=name in numeric_fields(),
    )


def _plain_kinds(annotation: Any) -> Iterable[Any]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _limit(leaf: FieldInfo, keys: tuple[str, str]) -> tuple[float | None, bool]:
    """Return a bound and whether it is excluded."""
    for rule in leaf.metadata:
        for key in keys:
            if (value := getattr(rule, key, None)) is not None:
                return float(value), key in ("gt", "lt")
    return None, False
