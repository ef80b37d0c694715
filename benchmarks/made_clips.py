"""Make short clips of motion that is hard to dream on: a whip pan, a walk, a dancer, a cartoon with flat colors.

    python -m benchmarks.made_clips FOLDER
    python -m benchmarks.fast_motion --fast FOLDER/whip.mp4 FOLDER/walk.mp4 FOLDER/dancer.mp4 FOLDER/cartoon.mp4

Everything is drawn here; the scenery is colored noise with the spectrum of photos. Each clip has 36 frames of 480 × 320
pixels at 25 frames per second.
"""

import argparse
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dreamvid.camera.noise import noise_image
from dreamvid.image.tensors import to_pixels
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import ffmpeg_path

Pixels = npt.NDArray[np.uint8]

WIDTH, HEIGHT, FRAMES = 480, 320, 36


def scenery(width: int, height: int, seed: int) -> Pixels:
    """Draw colored noise with houses in it, uint8 (H, W, 3)."""
    image = np.ascontiguousarray(to_pixels(noise_image(Size(height, width), seed)))
    random = np.random.default_rng(seed)
    for _ in range(width * height // 12000):
        x, y, side = random.integers(0, width), random.integers(0, height), int(random.integers(20, 90))
        color = tuple(int(value) for value in random.integers(40, 220, 3))
        cv2.rectangle(image, (int(x), int(y)), (int(x) + side, int(y) + side), color, -1)
        for window in range(0, side - 12, 16):
            corner = int(x) + window + 4, int(y) + 6
            cv2.rectangle(image, corner, (corner[0] + 8, corner[1] + side // 3), (30, 30, 40), -1)
    return cv2.GaussianBlur(image, (3, 3), 0).astype(np.uint8)


def whip() -> Iterator[Pixels]:
    """Pan slowly, then by up to 60 pixels a frame with motion blur, then slowly again."""
    wide, x = scenery(1400, HEIGHT, 1), 60.0
    for frame in range(FRAMES):
        speed = 2 + (60 * np.sin(np.pi * (frame - 10) / 12) if 10 <= frame <= 22 else 0.0)
        exposures = [_cut(wide, x + 0.7 * speed * part / 8, 0.0) for part in range(8)]
        yield np.mean(exposures, axis=0).astype(np.uint8)
        x += speed


def walk() -> Iterator[Pixels]:
    """Hold a camera by hand and walk forward: sway, steps, jitter."""
    wide, random = scenery(1000, 700, 2), np.random.default_rng(0)
    for frame in range(FRAMES):
        turn = cv2.getRotationMatrix2D((500, 350), 1.5 * np.sin(frame / 5) + random.normal(0, 0.3), 1 + 0.004 * frame)
        turn[0, 2] += 12 * np.sin(frame / 3) + random.normal(0, 1.5) - 260
        turn[1, 2] += 16 * abs(np.sin(frame / 2.5)) + random.normal(0, 1.5) - 190
        yield cv2.warpAffine(wide, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC).astype(np.uint8)


def dancer() -> Iterator[Pixels]:
    """Move a figure with eight limbs, each at a speed of its own, in front of a still scene."""
    still = scenery(WIDTH, HEIGHT, 3)
    for frame in range(FRAMES):
        image = still.copy()
        middle = np.array([240 + 60 * np.sin(frame / 6), 170 + 15 * np.sin(frame / 2)])
        hip, shoulder = middle + np.array([0, 30]), middle - np.array([0, 40])
        _limb(image, hip, -np.pi / 2, 70, 34, (150, 50, 60))
        cv2.circle(image, _point(shoulder - np.array([0, 26])), 18, (220, 170, 130), -1, cv2.LINE_AA)
        for side in (-1, 1):
            knee = _limb(image, hip, np.pi / 2 + side * 0.4 + 0.9 * np.sin(frame / 3 + side), 45, 16, (40, 60, 80))
            _limb(image, knee, np.pi / 2 + 0.7 * np.sin(frame / 3 + side + 1), 45, 14, (40, 60, 80))
            elbow = _limb(image, shoulder, np.pi / 2 + side * 1.2 + 1.2 * np.sin(frame / 2.2), 38, 13, (150, 50, 60))
            _limb(image, elbow, np.pi / 2 + side * 2 + 1.5 * np.sin(frame / 2 + side), 36, 11, (220, 170, 130))
        yield image


def cartoon() -> Iterator[Pixels]:
    """Drive a red car past a bouncing ball; every shape has one color."""
    for frame in range(FRAMES):
        image: Pixels = np.full((HEIGHT, WIDTH, 3), (120, 200, 235), np.uint8)
        cv2.rectangle(image, (0, 220), (WIDTH, HEIGHT), (70, 170, 70), -1)
        cv2.circle(image, (400 - 2 * frame, 70), 40, (250, 220, 60), -1, cv2.LINE_AA)
        x = 14 * frame - 80
        cv2.rectangle(image, (x, 170), (x + 120, 235), (220, 40, 40), -1)
        cv2.rectangle(image, (x + 20, 140), (x + 90, 172), (220, 40, 40), -1)
        for wheel in (25, 95):
            cv2.circle(image, (x + wheel, 238), 18, (30, 30, 30), -1, cv2.LINE_AA)
        cv2.circle(image, (120, 200 - int(abs(60 * np.sin(frame / 3)))), 20, (160, 60, 200), -1, cv2.LINE_AA)
        yield image


CLIPS: dict[str, Callable[[], Iterator[Pixels]]] = {"whip": whip, "walk": walk, "dancer": dancer, "cartoon": cartoon}


def _cut(wide: Pixels, x: float, y: float) -> Pixels:
    shift = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
    return cv2.warpAffine(wide, shift, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC).astype(np.uint8)


def _point(at: npt.NDArray[np.float64]) -> tuple[int, int]:
    return int(at[0]), int(at[1])


def _limb(
    image: Pixels, start: npt.NDArray[np.float64], angle: float, length: int, width: int, color: tuple[int, int, int]
) -> npt.NDArray[np.float64]:
    """Draw a limb and return where it ends."""
    end: npt.NDArray[np.float64] = start + length * np.array([np.cos(angle), np.sin(angle)])
    cv2.line(image, _point(start), _point(end), color, width, cv2.LINE_AA)
    return end


def write(frames: Iterator[Pixels], path: Path) -> None:
    """Encode frames to an .mp4 that hardly differs from them."""
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "pipe:0"]
    command = [str(ffmpeg_path()), "-v", "error", "-y", *raw, "-crf", "12", "-pix_fmt", "yuv420p", f"file:{path}"]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), check=True)


def main() -> None:
    """Write all clips into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, clip in CLIPS.items():
        write(clip(), given.folder / f"{name}.mp4")
        print(given.folder / f"{name}.mp4")


if __name__ == "__main__":
    main()
