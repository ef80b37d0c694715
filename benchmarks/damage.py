"""Read damaged videos and images with damaged EXIF blocks, and count how that ends.

    python benchmarks/damage.py --videos 700 --images 20000

Short videos of many formats are made, and bytes of copies are changed at random, cut off, or left out. A copy is right
if as many frames are read of it as ffmpeg itself decodes, or if it is refused with a message where ffmpeg decodes none.
Of the images, small JPEGs whose EXIF blocks are damaged in the same way, each has to be read; where Pillow can read the
orientation too, both have to turn the image alike. Anything else is printed, with the seed that makes it again.
"""

import argparse
import io
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

import numpy as np
from clips import AAC, X264, beep, make, yuv
from PIL import Image

from dreamvid.errors import DreamvidError
from dreamvid.image.io import decode_image
from dreamvid.video.decode import FrameReader
from dreamvid.video.ffmpeg import capture_ffmpeg
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import open_source

_SOUND = ("-map", "0:v", "-map", "1:a")
_KINDS: dict[str, Sequence[str]] = {
    "h264.mp4": (*_SOUND, "-vf", yuv(), *X264, "-g", "6", *AAC),
    "h264-faststart.mp4": ("-vf", yuv(), *X264, "-g", "6", "-movflags", "+faststart"),
    "fragments.mp4": ("-vf", yuv(), *X264, "-g", "6", "-movflags", "+frag_keyframe+empty_moov"),
    "h264.ts": (*_SOUND, "-vf", yuv(), *X264, "-g", "6", "-c:a", "mp2"),
    "h264.mkv": (*_SOUND, "-vf", yuv(), *X264, "-g", "6", *AAC),
    "hevc.mp4": ("-vf", yuv(), "-c:v", "libx265", "-x265-params", "log-level=error"),
    "mpeg2.mpg": (*_SOUND, "-vf", yuv(), "-c:v", "mpeg2video", "-q:v", "3", "-c:a", "mp2"),
    "mpeg4.avi": ("-vf", yuv(), "-c:v", "mpeg4", "-q:v", "3"),
    "vp9.webm": ("-vf", yuv(), "-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0", "-cpu-used", "8"),
    "prores.mov": ("-vf", yuv(), "-c:v", "prores_ks"),
    "mjpeg.avi": ("-vf", yuv(), "-c:v", "mjpeg", "-q:v", "3", "-strict", "-1"),
    "ffv1.mkv": ("-vf", "format=bgr0", "-c:v", "ffv1"),
    "animation.gif": (),
    "animation.apng": ("-c:v", "apng"),
}


def damage(data: bytes, chance: random.Random) -> bytes:
    """Change, cut off or leave out bytes."""
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 3, 10, 40))):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    if chance.random() < 0.2:
        del damaged[chance.randrange(len(damaged) // 10, len(damaged)) :]
    elif chance.random() < 0.15:
        start = chance.randrange(len(damaged))
        del damaged[start : start + chance.randrange(1, 2000)]
    return bytes(damaged)


def decoded_by_ffmpeg(path: Path, stream: int | None) -> int:
    """Count the frames that ffmpeg decodes of a stream; None: of the first one that is a video.

    The sound is read too: without it ffmpeg finds its way through damage in other places.
    """
    chosen = "0:V:0" if stream is None else f"0:{stream}"
    options = ["-v", "quiet", "-nostdin", "-max_error_rate", "1", "-i", f"file:{path}", "-map", chosen]
    sound = ["-map", "0:a?", "-c", "copy", "-f", "null", "-"]
    listing = capture_ffmpeg([*options, "-fps_mode", "passthrough", "-f", "framecrc", "-", *sound])
    return sum(not line.startswith("#") for line in listing.splitlines())


def read_video(path: Path) -> str:
    """Read a damaged video; return how it ended."""
    stream = None
    try:
        source = open_source(path)
        info = probe(source)
        stream = info.stream
        seen = scan(source, info)
        with FrameReader(source, info, scan=seen) as reader:
            count = sum(1 for _ in reader)
    except DreamvidError as error:
        found = decoded_by_ffmpeg(path, stream)
        return "refused" if found == 0 else f"WRONG: refused ({error}), and ffmpeg decodes {found} frames"
    found = decoded_by_ffmpeg(path, stream)
    if count == found == seen.count:
        return "read, damage told" if seen.damage else "read"
    return f"WRONG: {count} frames, {seen.count} in the scan, {found} by ffmpeg"


def read_videos(number: int, seed: int) -> Counter[str]:
    """Damage and read so many videos."""
    results: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        made = {
            name: make(Path(folder, name), *args, inputs=beep() if _SOUND[2] in args else ()).read_bytes()
            for name, args in _KINDS.items()
        }
        for index in range(number):
            name = list(made)[index % len(made)]
            chance = random.Random(f"{seed} {index}")
            path = Path(folder, f"damaged-{name}")
            path.write_bytes(damage(made[name], chance))
            try:
                result = read_video(path)
            except Exception as error:  # what is looked for here
                result = f"CRASHED: {type(error).__name__}: {error}"
            if result[0] in "WC":
                print(f"{name}, seed {seed}, video {index}: {result}", flush=True)
            results[result.partition(":")[0]] += 1
    return results


def exif_block() -> bytes:
    """Make a block of EXIF as cameras write it, with orientation 6."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "Camera", 72.0
    exif[0x8769] = {0x829A: 0.01, 0x9286: b"a comment", 0xA002: 100}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return exif.tobytes()


def pillow_orientation(data: bytes) -> int | None:
    """Read the orientation with Pillow; None where it fails."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            value = image.getexif().get(0x0112)
    except Exception:  # of any kind, for damaged blocks
        return None
    return value if isinstance(value, int) else None


def read_images(number: int, seed: int) -> Counter[str]:
    """Damage the EXIF blocks of so many images and read them."""
    warnings.simplefilter("ignore")
    results: Counter[str] = Counter()
    pixels, block = Image.fromarray(np.zeros((6, 8, 3), np.uint8)), exif_block()
    for index in range(number):
        chance = random.Random(f"{seed} {index}")
        damaged = bytearray(block)
        for _ in range(chance.choice((1, 1, 2, 3, 6))):
            damaged[chance.randrange(6, len(damaged))] = chance.choice(
                (*range(14), 16, 128, 255, chance.randrange(256))
            )
        if chance.random() < 0.1:
            del damaged[chance.randrange(8, len(damaged)) :]
        file = io.BytesIO()
        pixels.save(file, "JPEG", exif=bytes(damaged))
        try:
            shape = decode_image(file.getvalue(), "it").shape
        except Exception as error:  # what is looked for here
            result = f"CRASHED: {type(error).__name__}: {error}"
        else:
            by_pillow = pillow_orientation(file.getvalue())
            turned = shape == (8, 6, 3)
            alike = by_pillow is None or turned == (by_pillow in (5, 6, 7, 8))
            result = "read" if alike else f"WRONG: turned is {turned}, and Pillow reads the orientation {by_pillow}"
        if result != "read":
            print(f"seed {seed}, image {index}: {result}", flush=True)
        results[result.partition(":")[0]] += 1
    return results


def main() -> None:
    """Read them; exit with 1 if any was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    for name, results in (
        ("images", read_images(options.images, options.seed)),
        ("videos", read_videos(options.videos, options.seed)),
    ):
        print(f"{name}: {dict(results)}")
        bad += sum(count for result, count in results.items() if result[0] in "WC")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
