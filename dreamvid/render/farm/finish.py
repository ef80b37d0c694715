"""Finish a render whose segments are all there: join them, give the result its name, write its recipe, clean up."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dreamvid.render.farm.seam import write_seams
from dreamvid.render.farm.segment_store import disk_errors_as_output_errors
from dreamvid.render.fingerprint import versions
from dreamvid.render.job import Job, owns_output, published
from dreamvid.render.plan import Plan, Segment
from dreamvid.render.producer import Sound
from dreamvid.settings import Recipe, Settings, write_recipe
from dreamvid.video.decode import Pixels
from dreamvid.video.encode import StreamSpec
from dreamvid.video.sink import Recording


@dataclass(frozen=True)
class Finish:
    """The last steps of a render; each may be done again after a crash.

    kind: the command, for the recipe. origin: where the frames come from, for the recipe. overwrite: whether an output
    that exists is replaced. source_frames: gives the frames of the source of a segment, for the seams within shots.
    """

    job: Job
    plan: Plan
    spec: StreamSpec
    sound: Sound | None
    settings: Settings
    kind: Literal["run", "zoom"]
    origin: Mapping[str, str]
    overwrite: bool
    source_frames: Callable[[Segment], Iterable[Pixels]] | None = None

    def join(self) -> list[str]:
        """Join the segments to the result, which has no final name yet; return warnings. Raises DreamvidError."""
        sound, sink = self.sound, self.job.destination.sink
        seams: list[str] = []
        if self.source_frames is not None:
            seams = write_seams(self.job, self.plan, self.spec, sink, self.source_frames)
        shown = [segment for segment in self.plan.segments if segment.shown]
        recording = Recording(
            [self.job.result_path(segment) for segment in shown],
            self.spec,
            [self.plan.segment_pts(segment) for segment in shown],
            end_pts=self.plan.end_pts,
            source=None if sound is None else sound.source,
            info=None if sound is None else sound.info,
            trimmed=self.plan.trimmed,
        )
        with disk_errors_as_output_errors(self.job.folder):
            warnings = [*seams, *sink.join(recording, self.job.joined)]
        self.job.record_joined(warnings)
        return warnings

    def publish(self) -> None:
        """Give the result its name, write the recipe, and remove the job. Raises OutputError."""
        destination = self.job.destination
        if not published(destination):
            if destination.exists() and not self.overwrite and not owns_output(destination):
                destination.refuse_overwriting()
            destination.replace_atomically(self.job.joined, self.plan.count)
            self.job.record_published()
        with disk_errors_as_output_errors(self.job.folder):
            recipe = Recipe(self.settings, kind=self.kind, provenance=self._provenance())
            write_recipe(recipe, destination.recipe, part=self.job.folder / "recipe.toml")
        self.job.remove()

    def _provenance(self) -> dict[str, str | int]:
        pieces = sum(segment.pre_roll > 0 for segment in self.plan.segments)
        return {
            "output": self.job.destination.path.name,
            **self.origin,
            "frames": self.plan.count,
            "dreamed_frames": len(self.plan.keyframes),
            "rate": str(self.plan.rate),
            "device": ", ".join(self.job.devices(self.plan)),
            **({"seams_within_shots": pieces} if pieces else {}),
            **{name.replace("-", "_"): text for name, text in versions().items()},
        }
