"""Make the frames of an animation: a camera moves through one image, to a song if there is one."""

import functools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dreamvid.audio.analysis import analyse_sound
from dreamvid.audio.decode import decode_audio
from dreamvid.camera.camera_dreamer import SILENCE, CameraDreamer, Signals
from dreamvid.dream.draft import draft
from dreamvid.dream.octaves import OctaveAscent
from dreamvid.errors import SettingsError
from dreamvid.render.fingerprint import render_fingerprint
from dreamvid.render.plan import Plan, Segment, cut_segments
from dreamvid.render.producer import OWN_SOUND, Sound
from dreamvid.render.progress import Progress
from dreamvid.render.start_image import StartImage
from dreamvid.runtime.profiler import Stopwatch
from dreamvid.settings import DEFAULT_ANIMATION_FORMAT, Settings, merge
from dreamvid.settings.schedule import parse_schedule
from dreamvid.settings.size import Size
from dreamvid.video.encode import StreamSpec
from dreamvid.video.mask import Mask, is_matte, mask_notes
from dreamvid.video.probe import probe_sound
from dreamvid.video.sink import Sink
from dreamvid.video.sources.file import FileSource


def with_format(settings: Settings, start: StartImage) -> Settings:
    """Fill in size, frame rate and length where they are not set; an image keeps its aspect ratio.

    Raises SettingsError for a range of frames that does not begin with 0: each frame is made from the one before.
    """
    first, stop = settings.video.frame_range()
    if first != 0:
        raise SettingsError(
            f"`frames` got {settings.video.frames!r}: an animation begins with frame 0, as each frame is made from the "
            f"one before. Allowed is 0:STOP, such as 0:{stop or DEFAULT_ANIMATION_FORMAT.frame_range()[1]}."
        )
    chosen = {
        "frames": DEFAULT_ANIMATION_FORMAT.frames if stop is None else f"0:{stop}",
        "size": settings.video.size or _size_for(start),
        "fps": settings.video.fps or DEFAULT_ANIMATION_FORMAT.fps,
    }
    return merge(settings, {"video": chosen})


def _size_for(start: StartImage) -> str | None:
    """Return the default height in the image's aspect ratio; even numbers, as most encoders need them."""
    default = DEFAULT_ANIMATION_FORMAT.size_pixels()
    if start.pixels is None or default is None:
        return DEFAULT_ANIMATION_FORMAT.size
    height, (rows, columns) = default.height, start.pixels.shape[:2]
    width = min(max(2 * round(height * columns / rows / 2), 32), 4 * height)
    return f"{width}x{height}"


@dataclass(frozen=True)
class _Format:
    size: Size
    frame_rate: Fraction


def draft_animation(settings: Settings) -> Settings:
    """Return the settings of an animation: changed if `draft` is set, else as they are. settings: of `with_format`."""
    size, rate = settings.video.size_pixels(), settings.video.rate()
    assert size is not None
    assert rate is not None
    return draft(settings, _Format(size, rate))


class AnimationProducer:
    """The `FrameProducer` of an animation from one image. settings: those of `with_format`.

    Raises SourceError for a sound that cannot be read; later, what `CameraDreamer` raises.
    """

    kind: Literal["run", "zoom"] = "zoom"

    def __init__(self, settings: Settings, start: StartImage) -> None:
        self._settings, self._start = settings, start
        size, rate, stop = settings.video.size_pixels(), settings.video.rate(), settings.video.frame_range()[1]
        assert size is not None
        assert rate is not None
        assert stop is not None
        self._size, self._rate, self._count = size, rate, stop
        self.sound: Sound | None = None
        self._signals: Signals = lambda frame: SILENCE
        if settings.video.audio is not None:
            self._listen(settings.video.audio)
        self.stopwatch = Stopwatch()

    @functools.cached_property
    def _dreamer(self) -> CameraDreamer:
        """The network, loaded when it is first needed: never where only a worker dreams."""
        return CameraDreamer(
            self._settings,
            self._start.image(self._size, self._settings.render.seed),
            fps=float(self._rate),
            count=self._count,
            signals=self._signals,
        )

    @property
    def device(self) -> torch.device:
        """What dreams."""
        return self._dreamer.device

    @property
    def ascent(self) -> OctaveAscent:
        """The gradient ascent, for the profile."""
        return self._dreamer.ascent

    @classmethod
    def from_start(cls, start: StartImage, settings: Settings) -> "AnimationProducer":
        """Begin with a start image; render smaller if the settings ask for a draft."""
        return cls(draft_animation(settings), start)

    def _listen(self, text: str) -> None:
        path = Path(text).expanduser()
        if text == OWN_SOUND and not path.exists():
            raise SettingsError(
                "`audio=source` is the audio of a video that is dreamed on. Give a file: `audio=song.wav`."
            )
        samples, per_second = decode_audio(path)
        self._signals = analyse_sound(samples, per_second, self._rate, self._count).at
        source = FileSource(kind="sound", text=str(path), paths=(path,), has_clock=False)
        self.sound = Sound(source, probe_sound(source))

    def identity(self, sink: Sink) -> dict[str, str]:
        """Write down what the frames depend on."""
        device = self.device  # a path that cannot be read is told first
        path = self._settings.camera.camera_path
        contents = {
            "the start's content": self._start.fingerprint,
            "the sound's content": "" if self.sound is None else self.sound.source.fingerprint(),
            "the path's content": "" if path is None else Path(path).expanduser().read_text(encoding="utf-8"),
        }
        return render_fingerprint(self._settings, contents, sink, device)

    def begin_planning(self) -> AbstractContextManager[None]:
        """Do nothing: there is no source to read."""
        return nullcontext()

    def make_plan(self, report: Callable[[Progress], None]) -> Plan:
        """Plan all frames, in segments of which each needs the state after the one before."""
        return Plan(
            start=0,
            pts=tuple(range(self._count)),
            end_pts=self._count,
            time_base=1 / self._rate,
            constant_rate=True,
            rate=self._rate,
            trimmed=True,
            damage=(),
            segments=cut_segments(self._count, [], self._rate),
            keyframes=tuple(range(self._count)),
        )

    def check(self, plan: Plan) -> list[str]:
        """Evaluate the schedules at every frame, with the sound. Raises SettingsError; returns warnings."""
        self._settings.check_schedules(float(Fraction(plan.count) / plan.rate), plan.rate, self._signals)
        schedules = self._settings.schedules.items()
        moved_by_sound = [f"`{name}`" for name, text in schedules if parse_schedule(text).names]
        mask = self._settings.dream.mask
        if mask is not None and is_matte(mask):
            raise SettingsError(
                f"`mask` {mask} is found in the frames of a video, and an animation is made of its own frames. Give an "
                "image or a video; or use `dreamvid run` on a video."
            )
        notes = [] if mask is None else mask_notes(mask)
        if self.sound is None and moved_by_sound:
            notes.append(f"{', '.join(moved_by_sound)} would move with sound, but there is none: add `audio=song.wav`")
        return notes

    def spec(self, plan: Plan) -> StreamSpec:
        """Return what all frames of the result have in common."""
        return StreamSpec(width=self._size.width, height=self._size.height, rate=plan.rate, time_base=plan.time_base)

    @contextmanager
    def dreams(
        self, run: Sequence[Segment], plan: Plan, state: Mapping[str, Tensor] | None
    ) -> Generator[Iterator[Tensor]]:
        """Dream the frames of segments that follow one another."""
        if state is not None:
            self._dreamer.load_state(state)
        text = self._settings.dream.mask
        with nullcontext() if text is None else Mask(text, self._size, self.device) as mask, torch.no_grad():
            yield self._dream(range(run[0].start, run[-1].stop), mask)

    def _dream(self, frames: range, mask: Mask | None) -> Iterator[Tensor]:
        for index in frames:
            with self.stopwatch.work("dream"):
                image = self._dreamer.dream(index, None if mask is None else mask.at(index / float(self._rate)))
            yield image

    def state(self) -> dict[str, Tensor]:
        """Return what the next frame needs."""
        return self._dreamer.state()

    def provenance(self) -> dict[str, str]:
        """Return where the frames come from."""
        return {"source": self._start.text, "source_sha256": self._start.fingerprint}
