"""Read and write the file that plans a render for a farm: JSON that people can read, and that is data only.

What is written has names that dreamvid chooses: the result is a plain file name in the folder of the plan, and its
segments are in the result's job folder there. The source and the files that settings name are only read.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dreamvid.errors import JobError, SourceError
from dreamvid.render.farm.chunk import chunks
from dreamvid.render.farm.segment_store import write_atomically
from dreamvid.render.plan import Plan
from dreamvid.settings import Settings, merge
from dreamvid.settings.recipe import used_tables
from dreamvid.video.source import FILE_KINDS, Source, open_for_render, open_source

VERSION = 1
# A graph of filters is a program; it is taken from the command line only.
_KINDS = (*FILE_KINDS, "demo")
_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)


class _File(BaseModel):
    """The file's keys."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dreamvid_plan: int
    source: Annotated[str, Field(min_length=1)]
    output: Annotated[str, Field(min_length=1)]
    settings: dict[str, Any]
    identity: dict[str, str]
    segments: list[Any]
    plan: dict[str, Any]


@dataclass(frozen=True)
class PlanFile:
    """A render that is planned for several machines.

    path: of the plan. source: as the user named it; a relative path counts from the plan's folder. output: the result's
    name in that folder. identity: what the frames depend on, as `render_fingerprint` writes it down.
    """

    path: Path
    source: str
    output: str
    settings: Settings
    identity: Mapping[str, str]
    plan: Plan
    kind: Literal["run"] = "run"

    @property
    def result(self) -> Path:
        """Path of the result."""
        return self.path.parent / self.output

    def open_source(self) -> Source:
        """Open the source; only files, and the built-in demo. Raises SourceError."""
        text = source_beside(self.source, self.path.parent)
        open_source(
            text, images_rate=self.settings.video.images_rate(), stream=self.settings.video.stream, kinds=_KINDS
        )
        return open_for_render(text, self.settings.video)

    def write(self) -> None:
        """Write the file, whole or not at all. Raises OSError."""
        parts = [
            {
                "number": chunk.number,
                "frames": chunk.span,
                "pre_roll": chunk.segments[0].pre_roll,
                "files": [segment.index for segment in chunk.segments],
            }
            for chunk in chunks(self.plan)
        ]
        values = {
            "dreamvid_plan": VERSION,
            "source": self.source,
            "output": self.output,
            "settings": used_tables(self.settings, self.kind),
            "identity": dict(self.identity),
            "segments": parts,
            "plan": self.plan.to_json(),
        }
        lines = [f"  {json.dumps(name)}: {_pretty(value)}" for name, value in values.items()]
        write_atomically(self.path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a plan and check all of it. Raises JobError for anything that `write` has not written."""
        file = Path(path).expanduser()
        again = "Make it again: dreamvid plan SOURCE -o PLAN.json --overwrite"
        try:
            values = json.loads(file.read_bytes())
        except OSError as error:
            raise JobError(f"the plan {file} cannot be read: {error.strerror or error}. {again}") from None
        except (ValueError, RecursionError) as error:
            raise JobError(f"{file} is no plan: it is not valid JSON ({error}). {again}") from None
        version = values.get("dreamvid_plan") if isinstance(values, dict) else None
        if version != VERSION:
            raise JobError(f"{file} is no plan that this version reads (dreamvid_plan: {version!r}). {again}")
        try:
            read = _File.model_validate(values)
            plan = _PLAN.validate_json(json.dumps(read.plan))
            _check(plan)
            if Path(read.output).name != read.output or read.output.startswith("."):
                raise ValueError(f"output {read.output!r} is not a plain file name")
            settings = merge(read.settings, origin=str(file))
        except (ValidationError, ValueError, ArithmeticError) as error:
            problem = error.errors()[0] if isinstance(error, ValidationError) else None
            told = error if problem is None else f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            raise JobError(f"the plan {file} is damaged ({told}). {again}") from None
        return cls(file, read.source, read.output, settings, read.identity, plan)


def source_beside(text: str, folder: Path) -> str:
    """Find the source that a plan in a folder names; it never looks like anything but a path, or `demo`."""
    path = Path(text).expanduser()
    if text == "demo":
        return text
    return os.path.abspath(folder / path)  # noqa: PTH100 - a name with ".." may be a pattern


def source_for(source: Source, folder: Path) -> str:
    """Write a source into a plan in this folder. Raises SourceError for one that other machines cannot read."""
    if source.text == "demo":
        return source.text
    if source.kind not in FILE_KINDS:
        raise SourceError(
            f"a plan is for files that every machine can read, and the source is {source.text}. Write it to a file "
            "first, such as with ffmpeg."
        )
    text = os.path.abspath(Path(source.text).expanduser())  # noqa: PTH100
    try:
        return os.path.relpath(text, folder.resolve())
    except ValueError:  # another drive of Windows
        return text


def _check(plan: Plan) -> None:
    """Raise ValueError for a plan that does not cover its frames once and in order."""
    segments = plan.segments
    if not segments or plan.start < 0 or plan.rate <= 0 or plan.time_base <= 0:
        raise ValueError("there are no frames")
    if any(segment.index != number for number, segment in enumerate(segments)):
        raise ValueError("the segments are not numbered in order")
    if any(this.start != at for this, at in zip(segments, _starts(plan), strict=True)):
        raise ValueError("the segments do not follow one another")
    if segments[-1].stop != plan.start + plan.count:
        raise ValueError("the segments do not cover the frames")
    for this, following in pairwise([*segments, None]):
        if (
            this is not None
            and this.ends_piece
            and (following is None or not following.pre_roll or not following.overlap)
        ):
            raise ValueError(f"segment {this.index} dissolves into nothing")
    if any(segment.count < 1 for segment in segments) or not segments[0].new_shot:
        raise ValueError("a segment is empty, or the first one begins no shot")
    keyframes = set(plan.keyframes)
    if list(plan.keyframes) != sorted(keyframes) or not (
        {segment.start for segment in segments if segment.new_shot} | {segment.stop - 1 for segment in segments}
        <= keyframes
        <= set(range(plan.start, plan.start + plan.count))
    ):
        raise ValueError("the keyframes are out of order or leave out the ends of shots or segments")
    shot = plan.start
    for segment in segments:
        if segment.start - segment.pre_roll not in keyframes and segment.pre_roll:
            raise ValueError(f"the pre-roll of segment {segment.index} does not begin with a keyframe")
        if segment.new_shot:
            shot = segment.start
        if segment.pre_roll < 0 or segment.start - segment.pre_roll < shot or (segment.new_shot and segment.pre_roll):
            raise ValueError(f"segment {segment.index} begins before its shot")
        if min(segment.bars.top, segment.bars.bottom, segment.bars.left, segment.bars.right) < 0:
            raise ValueError(f"segment {segment.index} has bars of less than nothing")


def _starts(plan: Plan) -> Iterator[int]:
    """Give the frames at which the segments have to start."""
    at = plan.start
    for segment in plan.segments:
        yield at
        at += segment.shown


def _pretty(value: Any) -> str:
    """Write a value over lines of their own where people read it: one for each segment and each setting's table."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"
    if isinstance(value, dict) and value and "segments" not in value:
        return (
            "{\n" + ",\n".join(f"    {json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()) + "\n  }"
        )
    return json.dumps(value)
