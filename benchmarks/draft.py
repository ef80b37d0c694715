"""Compare a draft with the full render: how alike they are, and how much sooner the draft is done.

    python -m benchmarks.draft CLIP [--frames 48] [--size 320x240] [--folder benchmarks/results]

Renders the first frames of a clip as `dreamvid run` does, with and without `--draft`. Writes `draft-CLIP.json` and
`draft-CLIP.jpg`: frames of the full video above, of its draft, enlarged, below. Strengths are measured at the draft's
width for both, and for the full video at its own width too; the time is that of dreaming alone.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.record import keep
from dreamvid import load_settings
from dreamvid.figures.contact_sheet import contact_sheet
from dreamvid.metrics.report import Score
from dreamvid.metrics.score import ObjectiveMeter, score_frames
from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

SHOWN = (0.25, 0.6, 0.95)  # of the video


def render(clip: Path, output: Path, **chosen: object) -> tuple[npt.NDArray[np.uint8], float]:
    """Render; return frames (N, H, W, 3) and the seconds from the first one's begin to the last one's end."""
    times: list[float] = []

    def look(progress: Progress) -> None:
        if progress.stage == "dream":
            times.append(time.perf_counter())
        elif progress.stage == "plan":
            times[:] = [time.perf_counter()]

    render_video(clip, output, load_settings(None, codec="ffv1", device="cpu", **chosen), on_progress=look)
    dream = open_source(output)
    with FrameReader(dream, probe(dream)) as reader:
        return np.stack([frame.pixels for frame in reader]), times[-1] - times[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    source = open_source(given.clip)
    info = probe(source)
    chosen = {"frames": f"0:{given.frames}", "size": given.size}
    with tempfile.TemporaryDirectory() as folder:
        final, seconds = render(given.clip, Path(folder) / "final.mkv", **chosen)
        draft, draft_seconds = render(given.clip, Path(folder) / "draft.mkv", draft=True, **chosen)
    meter = ObjectiveMeter.from_settings(load_settings(None, device="cpu"))

    def score(dream: npt.NDArray[np.uint8], every: int, width: int) -> Score:
        size = Size(dream.shape[1], dream.shape[2])
        with FrameReader(source, info, stop=given.frames, size=size) as reader:
            originals = [frame.pixels for frame in reader][::every]
        count = min(len(originals), len(dream))
        return score_frames(originals[:count], dream[:count], meter, fps=float(info.frame_rate / every), width=width)

    width = draft.shape[2]
    scores = {
        "final": score(final, 1, final.shape[2]),
        "final at the draft's width": score(final, 1, width),
        "draft": score(draft, 2, width),
    }
    result = {
        "clip": given.clip.stem,
        "frames": {"final": len(final), "draft": len(draft)},
        "size": {"final": given.size, "draft": f"{width}x{draft.shape[1]}"},
        "seconds": {"final": seconds, "draft": draft_seconds},
        "times_faster": seconds / draft_seconds,
        "strength": {name: one.mean_strength for name, one in scores.items()},
        "strength_ratio": scores["draft"].mean_strength / scores["final at the draft's width"].mean_strength,
        "strength_ratio_each_at_its_size": scores["draft"].mean_strength / scores["final"].mean_strength,
        "clipped": {name: one.mean_clipped for name, one in scores.items()},
    }
    cells = []
    for name, frames in (("final", final), ("draft", draft)):
        for part in SHOWN:
            # The draft has every second frame of the full video.
            number = 2 * round(part * (len(final) - 1) / 2) // (1 if name == "final" else 2)
            image = Image.fromarray(frames[min(number, len(frames) - 1)]).resize(
                final.shape[2:0:-1], Image.Resampling.BICUBIC
            )
            cells.append((np.asarray(image), f"{name}, frame {number}"))
    keep(given.folder, f"draft-{given.clip.stem}", result, contact_sheet(cells, columns=len(SHOWN)))


if __name__ == "__main__":
    main()
