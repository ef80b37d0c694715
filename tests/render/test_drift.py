"""Sound and image stay together for a minute, over every seam between segments."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from renders import tiny

from dreamvid.audio.decode import decode_audio
from dreamvid.render.engine import render_video
from dreamvid.video.decode import FrameReader
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

RATE = Fraction(5000, 1001)
SECONDS = 60
FLASHES = (3, 100, 150, 211, 297)  # frames that are white while a tone begins


def make_minute(path: Path) -> Path:
    """Gray with a white frame and a 50 ms tone here and there, both at the same time."""
    times = [float(frame / RATE) for frame in FLASHES]
    white = "+".join(f"eq(N\\,{frame})" for frame in FLASHES)
    loud = "+".join(f"between(t,{time:.6f},{time + 0.05:.6f})" for time in times)
    image = f"color=gray:size=64x48:rate={RATE}:duration={SECONDS},geq=lum='if({white},235,60)':cb=128:cr=128"
    sound = f"aevalsrc='0.8*sin(2*PI*1000*t)*({loud})':s=48000:d={SECONDS}"
    inputs = ["-f", "lavfi", "-i", image, "-f", "lavfi", "-i", sound]
    run_ffmpeg([*inputs, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", f"file:{path}"], "making a film")
    return path


def flashes_and_tones(path: Path) -> tuple[list[float], list[float]]:
    """When white frames are shown and when tones begin, in seconds."""
    source = open_source(path)
    with FrameReader(source, probe(source)) as reader:
        shown = [(frame.time_seconds, float(frame.pixels.mean())) for frame in reader]
    samples, rate = decode_audio(path, 48000)
    loud = np.flatnonzero(np.abs(samples) > 0.3)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-rate) > rate // 2)]
    return [time for time, light in shown if light > 180], [float(start) / rate for start in starts]


def test_a_minute_does_not_drift(tmp_path: Path) -> None:
    film = make_minute(tmp_path / "film.mp4")
    through = tiny(iterations=0, octaves=1, dream_height=16, half_life_seconds=0)
    result = render_video(film, tmp_path / "dream.mp4", through)
    assert result.frames == int(SECONDS * RATE) + 1
    before, after = flashes_and_tones(film), flashes_and_tones(result.output)
    assert len(before[0]) == len(before[1]) == len(FLASHES)
    np.testing.assert_allclose(after[0], [float(frame / RATE) for frame in FLASHES], atol=1e-4)
    np.testing.assert_allclose(after[0], before[0], atol=1e-4)  # seconds; a frame is 0.2
    np.testing.assert_allclose(after[1], before[1], atol=1e-3)
    assert max(abs(light - tone) for light, tone in zip(*after, strict=True)) < 0.03  # the encoder's own delay
