"""The one merge: default < preset < override, and the words for what it refuses."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dreamvid.errors import SettingsError, nearest
from dreamvid.settings.renamed import current_names
from dreamvid.settings.schedule import SIGNALS, parse_schedule
from dreamvid.settings.schema import CoherenceSettings, Settings, SettingsGroup, bounds, flag_name, numeric_fields

_SILENCE = dict.fromkeys(SIGNALS, 0.0)


def setting_fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield (group, name, field) for every setting, in the order of the model."""
    for group, field in Settings.model_fields.items():
        table = field.annotation
        if isinstance(table, type) and issubclass(table, SettingsGroup):
            for name, leaf in table.model_fields.items():
                yield group, name, leaf


def group_of(name: str) -> str:
    """Find the group that a leaf belongs to; raises SettingsError with the nearest names otherwise."""
    groups = {leaf: group for group, leaf, _ in setting_fields()}
    if name not in groups:
        raise SettingsError(f"There is no setting {name!r}.{nearest(name, groups)} List them: dreamvid run --help")
    return groups[name]


def to_tables(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Put leaf names into their groups: {'octaves': 3} → {'dream': {'octaves': 3}}."""
    tree: dict[str, dict[str, Any]] = {}
    for name, value in current_names(flat).items():
        tree.setdefault(group_of(name), {})[name] = value
    return tree


def merge(*layers: Settings | Mapping[str, Any], origin: str = "") -> Settings:
    """Lay settings over one another, later ones on top, over the defaults, and check the whole.

    Each layer is a `Settings` (only what was set in it counts) or nested tables as in a preset file. A text
    given for a number is its schedule, as is one in the table [schedules]; the number is then its value
    at the start, in silence. A later plain number ends the schedule. `origin` names where the layers came
    from, for messages. Raises SettingsError.
    """
    tree: dict[str, dict[str, Any]] = {}
    schedules: dict[str, Any] = {}
    for layer in layers:
        tables = layer.model_dump(exclude_unset=True) if isinstance(layer, Settings) else layer
        texts: dict[str, Any] = {}
        scheduled: dict[str, Any] = {}
        for group, table in tables.items():
            if group not in Settings.model_fields:
                hint = nearest(group, Settings.model_fields)
                raise SettingsError(
                    f"{_place(origin)}There is no group [{group}]. Allowed: {', '.join(Settings.model_fields)}.{hint}"
                )
            if not isinstance(table, Mapping):
                raise SettingsError(f"{_place(origin)}[{group}] has to be a table of settings, got {table!r}.")
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
                    f"{_place(origin)}{name} has two schedules: {texts[name]!r} in its group and {text!r} in "
                    "[schedules]. Keep one of them."
                )
        schedules |= {**scheduled, **texts}
    for name in schedules:
        if name in numeric_fields():
            tree.get(numeric_fields()[name][0], {}).pop(name, None)
    try:
        settings = Settings.model_validate({**tree, "schedules": schedules} if schedules else tree)
    except ValidationError as error:
        raise SettingsError("\n".join(_place(origin) + _explain(dict(item)) for item in error.errors())) from None
    if not schedules:
        return settings
    try:
        start = settings.at(0.0, 0, _SILENCE)
    except SettingsError as error:
        raise SettingsError(f"{_place(origin)}{error}") from None
    return start.model_copy(update={"schedules": settings.schedules})


def _is_schedule(group: str, name: str, value: object, origin: str) -> bool:
    """Whether a value given for a number is a schedule's text; raises SettingsError if it is neither."""
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
            f"{_place(origin)}{flag_name(name)} ({group}.{name}) got {value!r}: "
            f"allowed is {limits or 'a number'}, or a schedule. {error}"
        ) from None
    return True


def _place(origin: str) -> str:
    return f"{origin}: " if origin else ""


def _explain(item: dict[str, Any]) -> str:
    """Turn one of pydantic's findings into: which setting, what was got, what is allowed."""
    group, *rest = (str(part) for part in item["loc"])
    name = rest[0] if rest else group
    if group == "schedules":
        said = item["ctx"]["error"] if item["type"] == "value_error" else f"{name} has to be text in quotes"
        return f"[schedules] {said}"
    known = {leaf: field for table, leaf, field in setting_fields() if table == group}
    if item["type"] == "extra_forbidden":
        return f"There is no setting {name!r} in [{group}]. Allowed: {', '.join(known)}.{nearest(name, known)}"
    if item["type"] == "value_error":
        allowed = str(item["ctx"]["error"])
    else:
        allowed = item["msg"].replace("Input should be", "it should be")
        if item["type"].startswith("string_pattern"):
            allowed = known[name].description or allowed
    limits = bounds(known[name]) if name in known else ""
    if limits:
        allowed = f"allowed is {limits}"
    return f"{flag_name(name)} ({group}.{name}) got {item['input']!r}: {allowed.rstrip('.')}."


# From the middle to either end the half-life changes this many times.
_REACH = 5.0
_MIDDLE = 0.5


def expand_coherence(table: Mapping[str, Any]) -> dict[str, Any]:
    """Lay what the dial of a [coherence] table means under what else the table says.

    0 carries nothing; above it the half-life grows from a fifth of the default to five times it at 1, and is the
    default in the middle. The rough quarter dreams every frame in one warm step, the locked one takes a step more
    than the default.
    A value that is no number from 0 to 1 is left for the check of the whole.
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
