"""Say what a batch does: for each source the output and the settings, from the command line or from a file of jobs."""

import os
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamvid.errors import OutputError, SettingsError, nearest
from dreamvid.settings import Settings, load_settings

_JOB_KEYS = ("source", "output", "preset")


@dataclass(frozen=True)
class Item:
    """One source of a batch, where its result goes, and how it is to look."""

    source: str
    output: str
    settings: Settings


def place_outputs(
    sources: Sequence[str], output: str | None, settings: Settings, default_output: Callable[[str], str]
) -> list[Item]:
    """Choose the outputs of several sources.

    output: None for the current folder; a folder; or a pattern whose `*` stands for the source's name, such as
    `out/*.mkv`. default_output: names the result of a source. Raises OutputError for one file and several sources, and
    for names that clash.
    """
    place = placing(output, default_output)
    items = [Item(source, place(source), settings) for source in sources]
    refuse_clashes(items)
    return items


def placing(output: str | None, default_output: Callable[[str], str]) -> Callable[[str], str]:
    """Make what names the result of each of several sources; the arguments are those of `place_outputs`."""
    folder, pattern = "", "*"
    if output is not None:
        folder, name = os.path.split(output)
        if "*" in name:
            pattern = name
        elif Path(output).suffix and not os.path.isdir(output) and name:  # noqa: PTH112
            raise OutputError(
                f"several sources need a folder, and `output` got the file {output}. Give `output=out/`, or a "
                f"pattern such as 'out/*{Path(output).suffix}'."
            )
        else:
            folder, pattern = output, "*"

    def place(source: str) -> str:
        default = default_output(source)
        name = default if pattern == "*" else pattern.replace("*", default.partition(".")[0] or "dream")
        return os.path.join(folder, name)  # noqa: PTH118

    return place


def refuse_clashes(items: Sequence[Item]) -> None:
    """Raise OutputError if two results would have one name, or one the name of a source."""
    taken: dict[str, str] = {}
    for item in items:
        path = os.path.realpath(Path(item.output).expanduser())
        if path in taken:
            raise OutputError(
                f"{taken[path]} and {item.source} would both become {item.output}. Rename one of them, or render them "
                "with separate commands."
            )
        taken[path] = item.source
    for item in items:
        path = os.path.realpath(Path(item.source).expanduser())
        if path in taken:
            raise OutputError(
                f"the result of {taken[path]} would replace the source {item.source}. Give another `output`."
            )


def make_folders(items: Sequence[Item]) -> None:
    """Make the folders of the outputs. Raises OutputError."""
    for folder in dict.fromkeys(Path(item.output).expanduser().parent for item in items):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {folder} cannot be made: {error.strerror or error}") from error


def read_jobs(
    path: str, default_preset: str | None, output: str | None, default_output: Callable[[str], str], **overrides: Any
) -> list[Item]:
    """Read a TOML file with a list of jobs, each of them a [[job]] with a source.

    A job may have an `output`, a `preset`, and tables of settings as recipes have them: [job.dream]. Paths are meant as
    on the command line. output: where the results go of jobs that do not say it, as in `place_outputs`. overrides: of
    the command line, for all jobs. Raises SettingsError, OutputError.
    """
    place = placing(output, default_output)
    tables = _tables(path)
    jobs = tables.pop("job", None)
    if tables or not isinstance(jobs, list) or not jobs or not all(isinstance(job, dict) for job in jobs):
        raise SettingsError(
            f"{path}: a jobs file has a [[job]] for each source and nothing else"
            f"{', got also ' + ', '.join(tables) if tables else ''}. For example: [[job]], and below it "
            "source = 'a.mp4'."
        )
    items = []
    for number, job in enumerate(jobs, 1):
        origin = f"{path}, job {number}"
        known = {name: job.pop(name, None) for name in _JOB_KEYS}
        for name, value in known.items():
            if value is not None and not isinstance(value, str):
                raise SettingsError(f"{origin}: {name} must be text, got {value!r}.")
        source = known["source"]
        if source is None:
            raise SettingsError(f"{origin}: source is missing.{nearest('source', job)}")
        for name in ("description", "kind", "schema_version", "provenance"):  # a recipe's
            job.pop(name, None)
        settings = load_settings(known["preset"] or default_preset, job, **overrides)
        items.append(Item(_file(source), known["output"] or place(source), settings))
    refuse_clashes(items)
    return items


def _file(source: str) -> str:
    """Return a source that a file names as a path, so that it never means a filter graph or stdin."""
    return source if source in ("demo", "noise") else os.path.abspath(Path(source).expanduser())  # noqa: PTH100


def _tables(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The jobs file {path!r} cannot be read: {error}.") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"The jobs file {path!r} is not valid TOML: {error}.") from None
