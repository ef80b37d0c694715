"""Estimate what a render takes, by rendering a few frames of it into a temporary folder."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dreamvid.dream.draft import draft
from dreamvid.errors import DreamvidError
from dreamvid.render.animation_producer import AnimationProducer, draft_animation, with_format
from dreamvid.render.batch.items import Item
from dreamvid.render.engine import render_video, render_zoom
from dreamvid.render.farm.chunk import chunks
from dreamvid.render.plan import Plan
from dreamvid.render.producer import FrameProducer
from dreamvid.render.progress import Progress, RenderResult
from dreamvid.render.start_image import StartImage
from dreamvid.render.video_producer import VideoProducer
from dreamvid.settings import Settings, merge
from dreamvid.video.probe import probe
from dreamvid.video.sink import Sink, open_sink
from dreamvid.video.source import open_for_render

_KEYFRAMES = 3  # that are dreamed for the estimate, after the first one, which takes longer
_SPACE = 2  # at the end the segments and the joined result are on the disk


@dataclass(frozen=True)
class Estimate:
    """What a render takes. frames, shots: counted. seconds, bytes: estimated; bytes: of the disk while it is joined.

    error: why it will fail, or "".
    """

    frames: int = 0
    shots: int = 0
    seconds: float = 0.0
    bytes: int = 0
    error: str = ""


def estimate_video(item: Item) -> Estimate:
    """Read the source once, and dream its first frames. Raises nothing that a user could mend."""
    try:
        source = open_for_render(item.source, item.settings.video)
        settings = _final(draft(item.settings, probe(source)))
        return _estimate(item, VideoProducer.from_source(source, settings), settings, render_video)
    except DreamvidError as error:
        return Estimate(error=str(error))


def estimate_zoom(item: Item) -> Estimate:
    """Dream the first frames of an animation. Raises nothing that a user could mend."""
    try:
        start = StartImage.read(item.source, item.settings.video)
        settings = _final(draft_animation(with_format(item.settings, start)))
        return _estimate(item, AnimationProducer.from_start(start, settings), settings, render_zoom)
    except DreamvidError as error:
        return Estimate(error=str(error))


def _final(settings: Settings) -> Settings:
    """Return the settings of a draft as those of a render which looks like it, so that a part of it can be rendered."""
    return merge(settings, {"video": {"draft": False}})


def _estimate(item: Item, producer: FrameProducer, settings: Settings, render: Callable[..., RenderResult]) -> Estimate:
    sink = open_sink(item.output, settings.video.codec, settings.video.crf)
    plan = producer.make_plan(lambda progress: None)
    producer.check(plan)
    sink.check(producer.spec(plan))
    seconds_a_frame, bytes_a_frame = _measure(item.source, settings, plan, sink, render)
    return Estimate(
        plan.count, len(chunks(plan)), plan.count * seconds_a_frame, round(_SPACE * plan.count * bytes_a_frame)
    )


def _measure(
    source: str, settings: Settings, plan: Plan, sink: Sink, render: Callable[..., RenderResult]
) -> tuple[float, float]:
    """Render the first frames; return seconds and bytes for each."""
    start = plan.start
    cadence = settings.coherence.cadence_at(plan.rate) if len(plan.keyframes) < plan.count else 1
    count = min(plan.count, 1 + _KEYFRAMES * cadence)
    part = merge(settings, {"video": {"frames": f"{start}:{start + count}"}})
    moments: list[float] = []

    def look(progress: Progress) -> None:
        if progress.stage == "dream":
            moments.append(time.monotonic())

    with tempfile.TemporaryDirectory(prefix="dreamvid-estimate-") as folder:
        output = Path(folder) / f"estimate{sink.suffix}"
        name = str(output) if sink.sequence is None else f"{folder}/estimate/"
        began = time.monotonic()
        result = render(source, name, part, on_progress=look)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.suffix == sink.suffix)
        if len(moments) > cadence:
            return (moments[-1] - moments[0]) / (len(moments) - 1), size / result.frames
        return (time.monotonic() - began) / result.frames, size / result.frames
