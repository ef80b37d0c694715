"""Merge settings: default < preset < override, in one function. Refusals say what was got and what is allowed."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dreamvid.errors import SettingsError, nearest
from dreamvid.settings.renamed import current_names, in_present_tables
from dreamvid.settings.schedule import SIGNALS, parse_schedule
from dreamvid.settings.schema import CoherenceSettings, Settings, SettingsGroup, bounds, numeric_fields

_SILENCE = dict.fromkeys(SIGNALS, 0.0)


def setting_fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield (group, name, field) for every setting, in the order of the model."""
    for group, field in Settings.model_fields.items():
        table = field.annotation
        if isinstance(table, type) and issubclass(table, SettingsGroup):
            for name, leaf in table.model_fields.items():
                yield group, name, leaf


def group_of(name: str) -> str:
    """Return the group that a setting belongs to. Raises SettingsError with the nearest names."""
    groups = {leaf: group for group, leaf, _ in setting_fields()}
    if name not in groups:
        raise SettingsError(f"There is no setting {name!r}.{nearest(name, groups)} List them: dreamvid run --help-all")
    return groups[name]


def to_tables(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Put settings into their groups: {'octaves': 3} → {'dream': {'octaves': 3}}."""
    tree: dict[str, dict[str, Any]] = {}
    for name, value in current_names(flat).items():
        tree.setdefault(group_of(name), {})[name] = value
    return tree


def merge(*layers: Settings | Mapping[str, Any], origin: str = "") -> Settings:
    """Merge layers of settings over the defaults, later layers over earlier ones, and check the result.

    Each layer is a `Settings` (only what was set in it counts) or nested tables as in a preset file. Text for a number
    is its schedule, as is text in the table [schedules]; the number is then the schedule's value at the start, in
    silence. A later plain number removes the schedule. origin: where the layers come from, for messages. Raises
    SettingsError.
    """
    tree: dict[str, dict[str, Any]] = {}
    schedules: dict[str, Any] = {}
    for layer in layers:
        tables = layer.model_dump(exclude_unset=True) if isinstance(layer, Settings) else layer
        texts: dict[str, Any] = {}
        scheduled: dict[str, Any] = {}
        for group, table in in_present_tables(tables).items():
            if group not in Settings.model_fields:
                hint = nearest(group, Settings.model_fields)
                raise SettingsError(
                    f"{_prefix(origin)}There is no group [{group}]. Allowed: {', '.join(Settings.model_fields)}.{hint}"
                )
            if not isinstance(table, Mapping):
                raise SettingsError(f"{_prefix(origin)}[{group}] must be a table of settings, got {table!r}.")
            table = current_names(table)
            if group == "schedules":
                scheduled = table
                continue
            for name, value in (expand_coherence(table) if group == "coherence" else table).items():
                schedules.pop(name, None)
                if _is_schedule(group, name, value, origin):
                    texts[name] = value
                else:
                    tree.setdefault(group, {})[name] = value
        for name, text in scheduled.items():
            if name in texts:
                raise SettingsError(
                    f"{_prefix(origin)}`{name}` has two schedules: {texts[name]!r} in its group and {text!r} in "
                    "[schedules]. Keep one of them."
                )
        schedules |= {**scheduled, **texts}
    for name in schedules:
        if name in numeric_fields():
            tree.get(numeric_fields()[name][0], {}).pop(name, None)
    try:
        settings = Settings.model_validate({**tree, "schedules": schedules} if schedules else tree)
    except ValidationError as error:
        raise SettingsError("\n".join(_prefix(origin) + _explain(dict(item)) for item in error.errors())) from None
    if not schedules:
        return settings
    try:
        start = settings.at(0.0, 0, _SILENCE)
    except SettingsError as error:
        raise SettingsError(f"{_prefix(origin)}{error}") from None
    return start.model_copy(update={"schedules": settings.schedules})


def _is_schedule(group: str, name: str, value: object, origin: str) -> bool:
    """Return whether a value is a schedule's text. Raises SettingsError for other text."""
    if not isinstance(value, str) or numeric_fields().get(name, ("", None))[0] != group:
        return False
    try:
        float(value)
    except ValueError:
        pass
    else:
        return False
    try:
        parse_schedule(value)
    except SettingsError as error:
        limits = bounds(numeric_fields()[name][1])
        raise SettingsError(
            f"{_prefix(origin)}`{name}` ({group}.{name}) got {value!r}: "
            f"allowed is {limits or 'a number'}, or a schedule. {error}"
        ) from None
    return True


def _prefix(origin: str) -> str:
    return f"{origin}: " if origin else ""


def _explain(item: dict[str, Any]) -> str:
    """Turn one of pydantic's errors into a message: which setting, what was got, what is allowed."""
    group, *rest = (str(part) for part in item["loc"])
    name = rest[0] if rest else group
    if group == "schedules":
        problem = item["ctx"]["error"] if item["type"] == "value_error" else f"{name} must be text in quotes"
        return f"[schedules] {problem}"
    known = {leaf: field for table, leaf, field in setting_fields() if table == group}
    if item["type"] == "extra_forbidden":
        return f"There is no setting {name!r} in [{group}]. Allowed: {', '.join(known)}.{nearest(name, known)}"
    if item["type"] == "value_error":
        allowed = str(item["ctx"]["error"])
    else:
        allowed = item["msg"].replace("Input should be", "it must be")
        if item["type"].startswith("string_pattern"):
            allowed = known[name].description or allowed
    limits = bounds(known[name]) if name in known else ""
    if limits:
        allowed = f"allowed is {limits}"
    return f"`{name}` ({group}.{name}) got {item['input']!r}: {allowed.rstrip('.')}."


# From the middle of the dial to either end the half-life changes by this factor.
_REACH = 5.0
_MIDDLE = 0.5


def expand_coherence(table: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `coherence` in a [coherence] table by the settings it stands for; others in the table override them.

    At 0 nothing is carried. Above 0 the half-life grows from a fifth of the default to five times the default at 1; 0.5
    gives the default. Below 0.25 every frame is dreamed in one warm step; above 0.75 there is one step more than the
    default. A value that is not a number from 0 to 1 is left to the final check.
    """
    try:
        dial = float(table["coherence"])
    except (KeyError, TypeError, ValueError):
        return dict(table)
    if not 0 <= dial <= 1:
        return dict(table)
    middle = CoherenceSettings()
    half_life = middle.half_life_seconds * _REACH ** ((dial - _MIDDLE) / _MIDDLE) if dial > 0 else 0.0
    steps = 1 if dial < 0.25 else middle.warm_iterations + (dial > 0.75)
    cadence = 1 if dial < 0.25 else middle.cadence
    return {"half_life_seconds": half_life, "warm_iterations": int(steps), "cadence": cadence, **table}
