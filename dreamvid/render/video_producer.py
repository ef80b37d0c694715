"""Make the frames of a dreamed video: the decoder works ahead in a thread, motion may too; the caller dreams."""

import functools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dreamvid.audio.analysis import SoundCurves, analyse_sound
from dreamvid.audio.decode import decode_audio, decode_source_audio
from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.coherence.keyframes import InbetweenFrame, Keyframe, in_display_order
from dreamvid.coherence.working_frame import WorkingFrame
from dreamvid.dream.composition import Composition
from dreamvid.dream.draft import draft
from dreamvid.dream.octaves import OctaveAscent
from dreamvid.errors import DreamvidError, SettingsError, SourceError
from dreamvid.image.tensors import to_float, upload
from dreamvid.render.farm.split import split_shots
from dreamvid.render.fingerprint import render_fingerprint
from dreamvid.render.plan import Plan, Segment, make_plan
from dreamvid.render.planning import Planning
from dreamvid.render.producer import OWN_SOUND, Sound
from dreamvid.render.progress import Progress
from dreamvid.runtime.cuda import record_on_current_stream, run_on_side_stream
from dreamvid.runtime.profiler import Stopwatch
from dreamvid.runtime.queues import BoundedQueue, Worker
from dreamvid.settings import Settings
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader, Pixels, VideoFrame, check_hwaccel
from dreamvid.video.encode import StreamSpec
from dreamvid.video.mask import Mask, mask_notes, open_mask
from dreamvid.video.mattes.matte import Matte
from dreamvid.video.probe import VideoInfo, probe
from dreamvid.video.sink import Sink
from dreamvid.video.source import SOURCES, FfmpegSource, Source
from dreamvid.video.sources.file import FileSource

_MATTE = "matte."  # in front of the names of what a mask carries, in a render's state
_MOTION_QUEUE = 2  # frames that may wait: enough to even out, few enough for 8K
# On a CPU with fewer cores motion gets no thread of its own. It would take time from the dream's threads, which wait
# for one another some thousand times a second, and cost them twice what it takes.
_CORES_FOR_MOTION = 4


@dataclass(frozen=True)
class _Shown:
    """A source frame, uploaded whole, its picture (rows and columns) inside black bars, and the mask of that.

    matte: what a mask that is computed from the frames carries to the next one.
    """

    index: int
    uploaded: Tensor
    picture: tuple[slice, slice]
    frame: WorkingFrame
    mask: Tensor | None
    matte: Mapping[str, Tensor] = field(default_factory=dict)


_Step = Keyframe[_Shown] | InbetweenFrame[_Shown]


@dataclass(frozen=True)
class _FirstImage:
    """The first frame, dreamed before the plan was known: the image, and all that it was made of."""

    shown: _Shown
    time_seconds: float
    image: Tensor

    def is_of(self, shown: _Shown, time_seconds: float) -> bool:
        """Tell if a frame has the same dream, where it begins a shot."""
        ours, mask = self.shown, shown.mask
        same_place = (ours.index, ours.picture, self.time_seconds) == (shown.index, shown.picture, time_seconds)
        same_mask = ours.mask is mask or (ours.mask is not None and mask is not None and torch.equal(ours.mask, mask))
        return same_place and same_mask and torch.equal(ours.uploaded, shown.uploaded)


class VideoProducer:
    """The `FrameProducer` of a video: its source's frames, dreamed, with its sound."""

    kind: Literal["run", "zoom"] = "run"

    def __init__(
        self, settings: Settings, source: Source, info: VideoInfo, *, split_seconds: float | None = None
    ) -> None:
        self._settings, self._source, self._info = settings, source, info
        self._split_seconds = split_seconds
        self.sound: Sound | None = Sound(source, info)
        self._signals: Callable[[float], Mapping[str, float]] = lambda time_seconds: {}
        self._matte: Mapping[str, Tensor] = {}
        self._planning: Planning | None = None
        self._first_image: _FirstImage | None = None
        self.stopwatch = Stopwatch()

    @functools.cached_property
    def _dreamer(self) -> FrameDreamer:
        """The network, loaded when it is first needed: never where only workers dream."""
        return FrameDreamer(self._settings)

    @property
    def device(self) -> torch.device:
        """What dreams."""
        return torch.device(self._dreamer.device)

    @property
    def ascent(self) -> OctaveAscent:
        """The gradient ascent, for the profile."""
        return self._dreamer.ascent

    @classmethod
    def from_source(cls, source: Source, settings: Settings, *, split_seconds: float | None = None) -> "VideoProducer":
        """Probe a source; render smaller if the settings ask for a draft. Raises DreamvidError.

        split_seconds: longer shots are planned in pieces that stand alone; None: none are.
        """
        info = probe(source)
        check_hwaccel(settings.video.hwaccel, source, info)
        return cls(draft(settings, info), source, info, split_seconds=split_seconds)

    def identity(self, sink: Sink) -> dict[str, str]:
        """Write down what the frames depend on."""
        contents = {
            "the source's content": self._source.fingerprint(),
            "the content of the flow estimator": self._dreamer.flow_fingerprint,
        }
        if (path := self._audio_file()) is not None:
            contents["the sound's content"] = FileSource(text=str(path), paths=(path,)).fingerprint()
        if origin := SOURCES.origin(self._source.kind):
            contents["the plugin of the source"] = origin
        return render_fingerprint(
            self._settings, contents, sink, self.device, bit_depth=self._info.bit_depth, hdr=self._info.hdr
        )

    @contextmanager
    def begin_planning(self) -> Generator[None]:
        """Plan in a thread within the context; `make_plan` waits for it, and dreams the first frame meanwhile."""
        video = self._settings.video
        # What sound says is known with the plan. Where the range begins late, all before it would be decoded for it.
        early = isinstance(self._source, FfmpegSource) and video.audio is None and video.frame_range()[0] == 0
        with Planning(self._plan_video, first_alone=early) as planning:
            self._planning = planning
            yield
        self._planning = None

    def make_plan(self, report: Callable[[Progress], None]) -> Plan:
        """Decode the source once without dreaming it, except for its first frame where planning has begun."""
        if self._planning is not None:
            self._dream_first(self._planning)
            plan = self._planning.result(report)
        else:
            plan = self._plan_video(on_frame=lambda done: report(Progress("scan", done, None)))
        report(Progress("plan", plan.count, plan.count))
        return plan

    def _plan_video(
        self,
        *,
        on_frame: Callable[[int], None],
        on_reader: Callable[[FrameReader], None] | None = None,
        first_alone: bool = False,
    ) -> Plan:
        split = None if first_alone else self._split_seconds
        changes: list[float] | None = None if split is None else []
        plan = make_plan(
            self._source,
            self._info,
            self._settings,
            frames=(0, 1) if first_alone else None,
            on_frame=on_frame,
            on_reader=on_reader,
            changes=changes,
        )
        if split is None:
            return plan
        return split_shots(plan, split, self._settings.coherence.half_life_seconds, changes or ())

    def _dream_first(self, planning: Planning) -> None:
        """Dream the first frame as if it were the only one, for `_dream_keyframe` to take if all proves to be the same.

        What comes later decides whether its black border is a bar and how its colors are read, for example.
        """
        plan = planning.first()
        if plan is None:
            return
        try:
            with planning.resting(), self._reader(plan, 0, 1) as reader:
                for key in self._prepare(plan.segments, plan, reader, {}):
                    assert isinstance(key, Keyframe)
                    image = self._dream_keyframe(key, plan)()
                    self._first_image = _FirstImage(key.item, plan.time_seconds(0), image)
        except DreamvidError:
            # What is wrong is said once the plan is known, unless it only concerns the first frame by itself.
            self._dreamer.reset()

    def check(self, plan: Plan) -> list[str]:
        """Evaluate the schedules at every frame, with the sound. Raises SettingsError; returns warnings."""
        duration = plan.time_seconds(plan.start + plan.count - 1)
        curves = self._listen(plan, duration)
        if curves is not None:
            self._signals = lambda time_seconds: curves.at(round(time_seconds * float(plan.rate)))
        self._settings.check_schedules(duration, plan.rate, None if curves is None else curves.at)
        mask = self._settings.dream.mask
        notes = [] if mask is None else mask_notes(mask)
        return [*self._info.notes, *plan.damage, *bars_kept(plan), *notes]

    def _audio_file(self) -> Path | None:
        """Return the file whose sound drives schedules; None without sound, or for the source's own."""
        text = self._settings.video.audio
        return None if text is None or (text == OWN_SOUND and not Path(text).exists()) else Path(text).expanduser()

    def _listen(self, plan: Plan, duration_seconds: float) -> SoundCurves | None:
        """Analyze the sound that drives schedules, at the times of the frames; None if none was asked for."""
        if self._settings.video.audio is None:
            return None
        rate, count = plan.rate, math.ceil((duration_seconds + 1) * plan.rate)
        if (path := self._audio_file()) is not None:
            samples, per_second = decode_audio(path)
            return analyse_sound(samples, per_second, rate, count)
        if not isinstance(self._source, FfmpegSource) or not self._info.audio:
            raise SettingsError(
                f"`audio=source` is the audio of {self._source.text}, which has none. Give a file: `audio=song.wav`."
            )
        # The sound counts from where the file starts, schedules from its first frame.
        late = float(plan.pts[0] * plan.time_base) - plan.time_seconds(plan.start)
        length = late + duration_seconds + 1 if self._source.endless else None
        samples, per_second = decode_source_audio(self._source, seconds=length)
        skipped = round(late * per_second)
        if skipped < 0:
            samples = np.concatenate([np.zeros((-skipped, *samples.shape[1:]), samples.dtype), samples])
        return analyse_sound(samples[max(0, skipped) :], per_second, rate, count)

    def spec(self, plan: Plan) -> StreamSpec:
        """Return what all frames of the result have in common."""
        return plan.spec(self._info, self._settings)

    @contextmanager
    def dreams(
        self, run: Sequence[Segment], plan: Plan, state: Mapping[str, Tensor] | None
    ) -> Generator[Iterator[Tensor]]:
        """Dream the frames of segments that follow one another."""
        first = run[0]
        if not first.stands_alone:
            assert state is not None, "a segment that does not begin a shot needs the state before it"
            self._dreamer.load_state(state)
        with ExitStack() as stack:
            # Motion needs the frame before.
            before = first.pre_roll if first.stands_alone else 1
            reader = stack.enter_context(self._reader(plan, first.start - before, run[-1].stop))
            steps = self._prepare(run, plan, reader, state or {})
            stack.callback(steps.close)
            if self.device.type == "cpu" and torch.get_num_threads() < _CORES_FOR_MOTION:
                yield self._dream(plan, steps, first.start)
                return
            # Keyframes wait in a queue, so that the motion of the next ones is estimated while one is dreamed.
            prepared: BoundedQueue[_Step] = BoundedQueue(
                _MOTION_QUEUE + self._settings.coherence.cadence_at(plan.rate) - 1
            )
            # Left in the reverse order: the queue is closed first, then the thread ends, then the decoder.
            stack.enter_context(Worker("motion", lambda: prepared.fill(run_on_side_stream(steps, self.device))))
            stack.callback(reader.close)
            stack.callback(prepared.close)
            yield self._dream(plan, prepared, first.start)

    def _dream(self, plan: Plan, prepared: Iterable[_Step], start: int) -> Iterator[Tensor]:
        """Dream what is prepared; the frames before `start` are a pre-roll, which is not shown."""

        def dream(key: Keyframe[_Shown]) -> Callable[[], Tensor]:
            return self._dream_keyframe(key, plan)

        def carry(between: InbetweenFrame[_Shown]) -> Callable[[], Tensor]:
            return functools.partial(self._interpolate, between, plan)

        return (image() for shown, image in in_display_order(prepared, dream, carry) if shown.index >= start)

    def _interpolate(self, between: InbetweenFrame[_Shown], plan: Plan) -> Tensor:
        shown = between.item
        record_on_current_stream([shown.mask, *shown.frame.tensors(), *between.before, *between.after])
        with self.stopwatch.work("dream"):
            time_seconds = plan.time_seconds(shown.index)
            dreamed = self._dreamer.interpolate(
                shown.frame,
                between,
                index=shown.index,
                time_seconds=time_seconds,
                signals=self._signals(time_seconds),
                mask=shown.mask,
            )
            return self._with_bars(dreamed, shown)

    def _dream_keyframe(self, key: Keyframe[_Shown], plan: Plan) -> Callable[[], Tensor]:
        """Dream a keyframe; return what composes it, as a residual takes less memory than a large frame."""
        shown, motion, time_seconds = key.item, key.motion, plan.time_seconds(key.item.index)
        self._matte = shown.matte
        record_on_current_stream([shown.mask, *shown.frame.tensors()])
        if motion is not None:
            record_on_current_stream([motion.flow, motion.validity, motion.temporal_activity, motion.coarse_flow])
        first, self._first_image = self._first_image, None
        if first is not None:
            if first.is_of(shown, time_seconds):
                return lambda: first.image
            self._dreamer.reset()
        with self.stopwatch.work("dream"):
            residual = self._dreamer.grow(
                shown.frame,
                motion,
                index=shown.index,
                elapsed_seconds=key.elapsed_seconds,
                time_seconds=time_seconds,
                signals=self._signals(time_seconds),
                mask=shown.mask,
            )
        return functools.partial(self._compose, shown, residual, self._dreamer.composition)

    def _compose(self, shown: _Shown, residual: Tensor, composition: Composition) -> Tensor:
        with self.stopwatch.work("dream"):
            dreamed = self._dreamer.compose(shown.frame, residual, shown.mask, composition)
            return self._with_bars(dreamed, shown)

    def _with_bars(self, dreamed: Tensor, shown: _Shown) -> Tensor:
        if dreamed.shape[2:] == shown.uploaded.shape[:2]:
            return dreamed
        frame = to_float(shown.uploaded)
        frame[:, :, *shown.picture] = dreamed
        return frame

    def source_frames(self, plan: Plan, segment: Segment) -> Iterator[Pixels]:
        """Read the frames of a segment at the size of the result, without dreaming."""
        with self._reader(plan, segment.start, segment.stop, hardware=False) as reader:
            for index in range(segment.start, segment.stop):
                yield self._next_frame(reader, index, plan)

    def state(self) -> dict[str, Tensor]:
        """Return what the next frame needs."""
        matte = {f"{_MATTE}{name}": value.cpu() for name, value in self._matte.items()}
        return {**self._dreamer.state(), **matte}

    def provenance(self) -> dict[str, str]:
        """Return where the frames come from."""
        return {"source": self._source.text, "source_sha256": self._source.fingerprint()}

    def _reader(self, plan: Plan, start: int, stop: int, *, hardware: bool = True) -> FrameReader:
        video = self._settings.video
        return FrameReader(
            self._source,
            self._info,
            scan=plan.scan(),
            start=start,
            stop=stop,
            size=video.size_pixels(),
            fps=video.rate(),
            hwaccel=video.hwaccel if hardware else None,
        )

    # --- what may run in a thread of its own

    def _prepare(
        self, run: Sequence[Segment], plan: Plan, reader: FrameReader, state: Mapping[str, Tensor]
    ) -> Generator[_Step]:
        cadence, alone = self._dreamer.cadence(), self._settings.coherence.alone_at(plan.rate)
        keyframes = set(plan.keyframes)
        with self._open_mask() as mask:
            if not run[0].stands_alone:
                before = self._next_frame(reader, run[0].start - 1, plan)
                key = self._dreamer.frame(upload(before, self.device)[self._picture(run[0])])
                cadence.begin(key)
                if isinstance(mask, Matte):
                    own = {name.removeprefix(_MATTE): value for name, value in state.items() if name.startswith(_MATTE)}
                    mask.begin(key.reduced, own)
            for segment in run:
                picture = self._picture(segment)
                begin = segment.start - segment.pre_roll
                for index in range(begin, segment.stop):
                    pixels = self._next_frame(reader, index, plan)
                    begins = segment.stands_alone and index == begin
                    with self.stopwatch.work("motion"), torch.no_grad():
                        uploaded = upload(pixels, self.device)
                        frame = self._dreamer.frame(uploaded[picture])
                        shown = _Shown(index, uploaded, picture, frame, None)
                        if isinstance(mask, Matte):
                            masked = mask.next(frame.reduced, frame.full_size, new_shot=begins)
                            shown = replace(shown, mask=masked, matte=mask.state())
                        elif mask is not None:
                            shown = replace(shown, mask=mask.at(plan.time_seconds(index))[:, :, *picture])
                        steps = cadence.add(
                            shown,
                            frame,
                            plan.elapsed_seconds(index),
                            new_shot=alone or begins,
                            key=index in keyframes,
                        )
                    yield from steps

    def _picture(self, segment: Segment) -> tuple[slice, slice]:
        """Return the rows and columns of a rendered frame that are dreamed."""
        rendered = self._size()
        return segment.bars.scaled(self._info.size, rendered).inner(rendered)

    def _size(self) -> Size:
        return self._settings.video.size_pixels() or self._info.size

    def _open_mask(self) -> AbstractContextManager[Mask | Matte | None]:
        text = self._settings.dream.mask
        if text is None:
            return nullcontext()
        return open_mask(text, self._size(), self.device)

    def _next_frame(self, reader: FrameReader, index: int, plan: Plan) -> Pixels:
        with self.stopwatch.work("decode"):
            frame: VideoFrame | None = next(reader, None)
        if frame is None or frame.index != index:
            raise SourceError(
                f"{self._source.text} ended before frame {index}; when the render was planned it had frames "
                f"up to {plan.start + plan.count - 1}. Is it still the same file?"
            )
        self.stopwatch.add_bytes("decode", frame.pixels.nbytes)
        return frame.pixels


def bars_kept(plan: Plan) -> list[str]:
    """Tell the user which black bars are not dreamed; an empty list if there are none."""
    found = dict.fromkeys(segment.bars for segment in plan.segments if segment.bars)
    if not found:
        return []
    sizes = "; ".join(str(bars) for bars in found)
    shots = "" if all(segment.bars for segment in plan.segments) else " of some shots"
    return [f"black bars{shots} stay black (pixels: {sizes}); to dream on them too, set `bars=dream`"]
