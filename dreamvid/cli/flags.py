"""Make command-line flags from the settings model, which alone describes a setting."""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from cyclopts import Group, Parameter
from pydantic.fields import FieldInfo

from dreamvid.dream.objectives.term import TERMS
from dreamvid.settings import Settings, load_settings
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.schema import Choice, bounds, flag_name

Command = TypeVar("Command", bound=Callable[..., Any])

MAIN = Group("Main flags", sort_key=1)
JOB = Group("Job", sort_key=90)  # below the groups of the settings

_TYPES = {int: "INT", float: "NUMBER", str: "TEXT"}
# Values that may begin with a minus. Elsewhere a flag that follows a forgotten value must be noticed.
_SIGNED = ("objective",)


def with_settings(
    groups: Sequence[str], main: Sequence[str] = (), defaults: Settings | None = None, without: Sequence[str] = ()
) -> Callable[[Command], Command]:
    """Give a command that takes `**overrides` a flag for every setting of these groups of the model.

    A flag's value is text (a bool for yes or no) and None when it is not given: `load_settings` checks it. main: the
    settings in the first panel of the help page, after `--preset`; the others are in the panel of their group, which
    `--help-all` shows. defaults: the values that the help page shows; None for those of the default preset. without:
    settings of the groups that have no meaning for the command.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command)
        kept = [entry for entry in own.parameters.values() if entry.kind is not entry.VAR_KEYWORD]
        after_preset = list(own.parameters).index("preset") + 1
        flags = _flags(groups, main, (defaults or load_settings()).model_dump(), without)
        command.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[*kept[:after_preset], *flags[: len(main)], *kept[after_preset:], *flags[len(main) :]]
        )
        return command

    return decorate


def _flags(
    groups: Sequence[str],
    main: Sequence[str],
    defaults: Mapping[str, Mapping[str, Any]],
    without: Sequence[str],
) -> list[inspect.Parameter]:
    flags = {
        name: inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                bool | None if field.annotation is bool else str | None,
                _flag(group, name, field, defaults, name in main),
            ],
        )
        for group, name, field in setting_fields()
        if group in groups and name not in without
    }
    return [flags.pop(name) for name in main] + list(flags.values())


def _flag(
    group: str, name: str, field: FieldInfo, defaults: Mapping[str, Mapping[str, Any]], is_main: bool
) -> Parameter:
    default = defaults["schedules"].get(name, defaults[group][name])
    return Parameter(
        name=flag_name(name),
        group=MAIN if is_main else Group(group.capitalize(), sort_key=10 + list(defaults).index(group)),
        help=_help(name, field),
        metavar=None if field.annotation is bool else _metavar(field),
        show_default=False if default is None else str(default),
        allow_leading_hyphen=name in _SIGNED or any(getattr(rule, "ge", 0) < 0 for rule in field.metadata),
    )


def _help(name: str, field: FieldInfo) -> str:
    limits = bounds(field)
    unit = field.json_schema_extra.get("unit", "") if isinstance(field.json_schema_extra, dict) else ""
    allowed = f"{limits} {unit}".strip() if limits else ""
    added = [term for term in TERMS.names() if TERMS.origin(term)] if name == "objective" else []
    plugins = f" Terms from plugins: {', '.join(added)}." if added else ""
    return f"{field.description} Allowed: {allowed}." if allowed else f"{field.description}{plugins}"


def _metavar(field: FieldInfo) -> str:
    for rule in field.metadata:
        if isinstance(choice := getattr(rule, "func", None), Choice):
            return "|".join(choice.registry.names())
    return "|".join(_forms(field.annotation))


def _forms(kind: Any) -> list[str]:
    """List the forms that a value of this type can have."""
    if get_origin(kind) in (Union, types.UnionType):
        return [form for part in get_args(kind) if part is not types.NoneType for form in _forms(part)]
    if get_origin(kind) is Annotated:
        return _forms(get_args(kind)[0])
    return list(get_args(kind)) if get_origin(kind) is Literal else [_TYPES[kind]]
