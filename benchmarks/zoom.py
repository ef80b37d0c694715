"""Measure if an animation lasts: a thousand frames from noise, with a sheet of frames 50, 250, 500 and 1000.

    python -m benchmarks.zoom out/ --preset infinite-zoom --size 320x240

Writes `zoom-PRESET.json` and `zoom-PRESET.png`. Per frame: the share of clipped samples (0 or 255), contrast (standard
deviation of the brightness), mean color, and detail: the power of the brightness above a quarter of the Nyquist
frequency, whose root is given relative to frame 50. `LIMITS` has the limits.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvid import load_settings, zoom_frames
from dreamvid.figures.contact_sheet import contact_sheet
from dreamvid.image.io import write_image

SHOWN = (50, 250, 500, 1000)
# clipped: share of samples. contrast, color: largest change from frame 50, as a factor and on 0 to 1. detail: least.
LIMITS = {"clipped": 0.03, "contrast": 1.5, "color": 0.1, "detail": 0.5}


def measure(frame: npt.NDArray[np.uint8]) -> dict[str, object]:
    """Measure clipped share, contrast, mean color and detail of one frame (H, W, 3)."""
    pixels = frame / 255.0
    gray = pixels @ np.array([0.299, 0.587, 0.114])
    window = np.outer(np.hanning(gray.shape[0]), np.hanning(gray.shape[1]))
    power = np.abs(np.fft.rfft2((gray - gray.mean()) * window)) ** 2
    # Cycles per pixel; Nyquist is a half. The columns of rfft2 but the first and last stand for two.
    frequency = np.hypot(np.fft.fftfreq(gray.shape[0])[:, None], np.fft.rfftfreq(gray.shape[1])[None])
    return {
        "clipped": float(((frame == 0) | (frame == 255)).mean()),
        "contrast": float(gray.std()),
        "color": [float(value) for value in pixels.mean(axis=(0, 1))],
        "detail": float(np.sqrt(power[frequency > 0.125].sum() / gray.size)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", default="infinite-zoom")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--seed", default="1")
    given = parser.parse_args()
    settings = load_settings(given.preset, size=given.size, seed=given.seed)
    shown = [number for number in SHOWN if number <= given.frames]
    measures: list[dict[str, Any]] = []
    cells = []
    began = time.perf_counter()
    for number, frame in enumerate(zoom_frames(None, settings, given.frames), 1):
        measures.append(measure(frame))
        if number in shown:
            cells.append((frame, f"{given.preset}, frame {number}"))
            print(number, measures[-1], f"{(time.perf_counter() - began) / number:.3f} s/frame", flush=True)
    base, later = measures[49], measures[49:]
    worst = {
        "clipped": max(one["clipped"] for one in measures),
        "contrast": max(max(one["contrast"] / base["contrast"], base["contrast"] / one["contrast"]) for one in later),
        "color": max(abs(a - b) for one in later for a, b in zip(one["color"], base["color"], strict=True)),
        "detail": min(one["detail"] for one in later) / base["detail"],
    }
    holds = {name: worst[name] >= limit if name == "detail" else worst[name] <= limit for name, limit in LIMITS.items()}
    result = {
        "preset": given.preset,
        "size": given.size,
        "frames": given.frames,
        "seed": given.seed,
        "seconds_per_frame": (time.perf_counter() - began) / given.frames,
        "limits": LIMITS,
        "worst": worst,
        "holds": holds,
        "at": {str(number): measures[number - 1] for number in shown},
    }
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / f"zoom-{given.preset}.json").write_text(json.dumps(result, indent=1) + "\n")
    write_image(given.folder / f"zoom-{given.preset}.png", contact_sheet(cells, columns=len(cells)))
    print(json.dumps({"worst": worst, "holds": holds}, indent=1))


if __name__ == "__main__":
    main()
