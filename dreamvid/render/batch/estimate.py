"""Estimate what a render takes, by rendering a few frames of it into a temporary folder."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dreamvid.errors import DreamvidError
from dreamvid.render.batch.items import Item
from dreamvid.render.engine import render_video
from dreamvid.render.farm.chunk import chunks
from dreamvid.render.plan import Plan
from dreamvid.render.progress import Progress
from dreamvid.render.video_producer import VideoProducer
from dreamvid.settings import load_settings
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
        sink = open_sink(item.output, item.settings.video.codec, item.settings.video.crf)
        source = open_for_render(item.source, item.settings.video)
        producer = VideoProducer.from_source(source, item.settings)
        plan = producer.make_plan(lambda progress: None)
        producer.check(plan)
        sink.check(producer.spec(plan))
        shots = len(chunks(plan))
        seconds_a_frame, bytes_a_frame = _measure(item, plan, sink)
    except DreamvidError as error:
        return Estimate(error=str(error))
    return Estimate(plan.count, shots, plan.count * seconds_a_frame, round(_SPACE * plan.count * bytes_a_frame))


def _measure(item: Item, plan: Plan, sink: Sink) -> tuple[float, float]:
    """Render the first frames; return seconds and bytes for each."""
    start = plan.start
    cadence = item.settings.coherence.cadence_at(plan.rate)
    count = min(plan.count, 1 + _KEYFRAMES * cadence)
    settings = load_settings(None, item.settings, frames=f"{start}:{start + count}", draft=False)
    moments: list[float] = []

    def look(progress: Progress) -> None:
        if progress.stage == "dream":
            moments.append(time.monotonic())

    with tempfile.TemporaryDirectory(prefix="dreamvid-estimate-") as folder:
        output = Path(folder) / f"estimate{sink.suffix}"
        name = str(output) if sink.sequence is None else f"{folder}/estimate/"
        began = time.monotonic()
        result = render_video(item.source, name, settings, on_progress=look)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.suffix == sink.suffix)
        if len(moments) > cadence:
            return (moments[-1] - moments[0]) / (len(moments) - 1), size / result.frames
        return (time.monotonic() - began) / result.frames, size / result.frames
