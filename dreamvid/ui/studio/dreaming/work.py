"""Do what the page asks for: previews, thumbnails of presets, motion, atlases. Runs in the dreaming process."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torchvision.models import ResNet50_Weights

from dreamvid.api import Dreamer, DreamStep, feature_sheet
from dreamvid.camera.noise import noise_image
from dreamvid.dream.draft import draft
from dreamvid.errors import SourceError
from dreamvid.image.tensors import to_pixels
from dreamvid.networks.network import load_network
from dreamvid.render.animation_producer import AnimationProducer, with_format
from dreamvid.render.start_image import NOISE, StartImage
from dreamvid.runtime.files import part_path
from dreamvid.settings import DEFAULT_ANIMATION_FORMAT, Settings, load_settings
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.settings.size import Size
from dreamvid.ui.studio.dreaming.machine import Verdict
from dreamvid.ui.studio.dreaming.requests import (
    Answer,
    AtlasRequest,
    LayersRequest,
    Moment,
    MotionRequest,
    PresetsRequest,
    PreviewRequest,
    Request,
)
from dreamvid.ui.studio.dreaming.worker import Watch
from dreamvid.ui.studio.film import cache_key, fitted, frame_at, read_span, to_jpeg
from dreamvid.video.ffmpeg import Ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import FILE_KINDS, FfmpegSource, open_source

Pixels = npt.NDArray[np.uint8]
Give = Callable[[Answer], None]

_PREVIEW_LINES = 720  # of a frame that is previewed; its dream has the same patterns as at full size
_MOTION_LINES = 360
_LOOP_LINES, _LOOP_RATE, _LOOP_FRAMES = 288, Fraction(12), 36
_FRAMES_KEPT = 6
_ATLAS_SIZE, _ATLAS_ITERATIONS = 96, 8


class Work:
    """Answers requests, one after another. folder: the workspace, which is the present folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._frames: OrderedDict[tuple[Moment, str], Pixels] = OrderedDict()

    def do(self, request: Request, answer: Give, watch: Watch) -> None:
        """Answer one request. Raises DreamvidError; Stop where something more important waits."""
        match request:
            case PreviewRequest():
                self._preview(request, answer, watch)
            case PresetsRequest():
                self._presets(request, answer, watch)
            case MotionRequest():
                self._motion(request, answer, watch)
            case AtlasRequest():
                self._atlas(request, answer, watch)
            case LayersRequest():
                self._layers(request, answer)

    def _preview(self, request: PreviewRequest, answer: Give, watch: Watch) -> None:
        watch.machine.begin()
        settings = at_moment(request.settings, request.moment.seconds)
        frame = self._frame(request.moment, settings, _PREVIEW_LINES)

        def show(stage: str, pixels: Pixels, lines: int) -> None:
            values: dict[str, object] = {"lines": lines, "width": pixels.shape[1], "height": pixels.shape[0]}
            answer(Answer(request.session, request.number, "preview", stage, data=to_jpeg(pixels), values=values))
            watch.machine.shown()

        def on_step(step: DreamStep) -> None:
            if watch.verdict(step.lines, step.octave, step.octaves, step.done, step.steps) is Verdict.SHOW:
                show("coarse" if watch.machine.is_coarse else "finer", step.image(), step.lines)

        dreamed = Dreamer(settings, on_step=on_step).dream(frame)
        show("fine", dreamed, min(settings.dream.dream_height, frame.shape[0]))

    def _presets(self, request: PresetsRequest, answer: Give, watch: Watch) -> None:
        for name, settings in request.presets:
            watch.make_room()
            small = _smaller(at_moment(settings, request.moment.seconds), request.lines)
            frame = self._frame(request.moment, small, request.lines)
            dreamed = Dreamer(small, on_step=lambda _: watch.make_room()).dream(frame)
            values: dict[str, object] = {"preset": name}
            answer(Answer(request.session, request.number, "presets", "part", data=to_jpeg(dreamed, 85), values=values))
        answer(Answer(request.session, request.number, "presets", "done"))

    def _motion(self, request: MotionRequest, answer: Give, watch: Watch) -> None:
        output = Path(request.output)
        audio = request.settings.video.audio if request.kind == "zoom" else None
        sound = None if audio is None else Path(audio)
        if not output.is_file():
            self._encode_motion(request, answer, watch, output, sound)
        given = {"file": output.name, "sound": sound is not None}
        answer(Answer(request.session, request.number, "motion", "done", values=given))

    def _encode_motion(
        self, request: MotionRequest, answer: Give, watch: Watch, output: Path, sound: Path | None
    ) -> None:
        rate, frames, count = self._loop(request, watch) if request.kind == "zoom" else self._span(request, watch)
        output.parent.mkdir(exist_ok=True)
        part = part_path(output).with_suffix(output.suffix)
        encoder: Ffmpeg | None = None
        done = 0
        try:
            for pixels in frames:
                watch.make_room()
                if encoder is None:
                    encoder = Ffmpeg(_encoder_args(pixels, rate, part, sound), stdin=True)
                try:
                    encoder.stdin.write(pixels.tobytes())
                except OSError as error:  # ffmpeg has ended; its log says why
                    raise encoder.failure("encoding the motion preview") from error
                done += 1
                values: dict[str, object] = {"done": done, "total": count}
                answer(Answer(request.session, request.number, "motion", "part", values=values))
            if encoder is None:
                raise SourceError("there is no frame at this moment.")
            encoder.finish("encoding the motion preview")
            part.replace(output)
        finally:
            if encoder is not None:
                encoder.close()
            part.unlink(missing_ok=True)

    def _span(self, request: MotionRequest, watch: Watch) -> tuple[Fraction, Iterator[Pixels], int]:
        """Dream the seconds around the moment as a draft: half the frames, at a smaller size."""
        source = open_source(request.moment.source, kinds=FILE_KINDS)
        info = probe(source)
        if not isinstance(source, FfmpegSource):
            raise SourceError("an image does not move. Choose a video, or the tab for animations.")
        lines = min(info.height, _MOTION_LINES)
        start = max(0.0, request.moment.seconds - request.seconds / 2)
        count = max(4, round(request.seconds * float(info.frame_rate)))
        footage = read_span(source, info, start, count, lines)[::2]
        if not footage:
            raise SourceError(f"{request.moment.source} has no frame at {start:.2f} s.")
        settings = at_moment(request.settings, request.moment.seconds)
        plain = load_settings(None, settings, {"video": {"frames": ":", "draft": True}})
        shown = replace(info, width=footage[0].shape[1], height=footage[0].shape[0])
        small = draft(plain, shown)
        rate = info.frame_rate / 2
        dreamer = Dreamer(small, fps=rate, on_step=lambda _: watch.make_room())
        return rate, dreamer.dream_frames(footage), len(footage)

    def _loop(self, request: MotionRequest, watch: Watch) -> tuple[Fraction, Iterator[Pixels], int]:
        """Make the first seconds of an animation, small, as its render would: to its music, and closed if it loops."""
        moment = request.moment
        frame = None if moment.source == NOISE else self._frame(moment, request.settings, _MOTION_LINES)
        start = StartImage(moment.source, frame, "")
        whole = with_format(request.settings, start)
        size, rate, stop = whole.video.size_pixels(), whole.video.rate(), whole.video.frame_range()[1]
        assert size is not None
        assert rate is not None
        assert stop is not None
        lines = min(size.height, _LOOP_LINES)
        width = max(2, 2 * round(size.width * lines / size.height / 2))
        count = max(2, min(_LOOP_FRAMES, round(stop / rate * _LOOP_RATE)))
        video = {"size": f"{width}x{lines}", "fps": str(_LOOP_RATE), "frames": f"0:{count}"}
        producer = AnimationProducer(load_settings(None, _smaller(whole, lines), {"video": video}), start)
        producer.ascent.on_step = lambda _: watch.make_room()
        plan = producer.make_plan(lambda _: None)
        producer.check(plan)

        def frames() -> Iterator[Pixels]:
            with producer.dreams(plan.segments, plan, None) as dreamed:
                yield from map(to_pixels, dreamed)

        return _LOOP_RATE, frames(), count

    def _atlas(self, request: AtlasRequest, answer: Give, watch: Watch) -> None:
        folder = Path(request.output)
        for channel in request.channels:
            path = folder / f"{channel}.jpg"
            if not path.is_file():
                watch.make_room()
                image = feature_sheet(
                    [f"{request.layer}:{channel}"],
                    request.settings,
                    size=_ATLAS_SIZE,
                    iterations=_ATLAS_ITERATIONS,
                )
                part = part_path(path)
                folder.mkdir(parents=True, exist_ok=True)
                part.write_bytes(to_jpeg(image, 85))
                part.replace(path)
            values: dict[str, object] = {"layer": request.layer, "channel": channel}
            answer(Answer(request.session, request.number, "atlas", "part", values=values))
        answer(Answer(request.session, request.number, "atlas", "done", values={"layer": request.layer}))

    def _layers(self, request: LayersRequest, answer: Give) -> None:
        network = request.settings.network
        table = load_network(network.model, network.weights).table
        layers = {name: row.channels for name, row in table.rows.items()}
        classes = [name.lower() for name in ResNet50_Weights.DEFAULT.meta["categories"]]  # ImageNet's
        values: dict[str, object] = {"model": network.model, "layers": layers, "classes": classes}
        answer(Answer(request.session, request.number, "layers", "done", values=values))

    def _frame(self, moment: Moment, settings: Settings, lines: int) -> Pixels:
        """Read the frame of a moment, at most as high as a preview needs it."""
        if moment.source == NOISE:
            size = settings.video.size_pixels() or DEFAULT_ANIMATION_FORMAT.size_pixels() or Size(480, 640)
            return fitted(to_pixels(noise_image(size, settings.render.seed)), lines)
        path = Path(moment.source)
        key = moment, cache_key(path) if path.is_file() else ""  # another file may have got the name
        frame = self._frames.pop(key, None)
        if frame is None:
            frame = frame_at(path, moment.seconds)
        self._frames[key] = frame
        if len(self._frames) > _FRAMES_KEPT:
            self._frames.popitem(last=False)
        return fitted(frame, max(lines, settings.dream.dream_height) if lines == _PREVIEW_LINES else lines)


def at_moment(settings: Settings, seconds: float, fps: float = 30.0) -> Settings:
    """Return settings as they are at a time, without schedules: their numbers, in silence, and the objective then."""
    parts = parse_timeline(settings.dream.objective).at(seconds)
    objective = parts[0][0] if len(parts) == 1 else " + ".join(f"{weight:.4f}*({text})" for text, weight in parts)
    names = ("rms", "bass", "mid", "treble", "onset", "beat")
    now = settings.at(seconds, int(seconds * fps), dict.fromkeys(names, 0.0))
    return now.model_copy(update={"dream": now.dream.model_copy(update={"objective": objective})})


def _smaller(settings: Settings, lines: int) -> Settings:
    """Return settings for an image of fewer lines: as many octaves as fit, the same steps."""
    return load_settings(None, settings, {"dream": {"dream_height": min(lines, settings.dream.dream_height)}})


def _encoder_args(pixels: Pixels, rate: Fraction, output: Path, sound: Path | None) -> list[str]:
    height, width = pixels.shape[:2]
    heard: list[str] = []
    if sound is not None:  # one that ends before the video is followed by silence
        heard = ["-i", f"file:{sound}", "-map", "0:v", "-map", "1:a", "-c:a", "aac", "-af", "apad", "-shortest"]
    return [
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "pipe:0", *heard),
        *("-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18"),
        *("-pix_fmt", "yuv420p", "-movflags", "+faststart", str(output)),
    ]
