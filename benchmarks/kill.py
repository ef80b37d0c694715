"""Kill renders at random moments, resume them, and compare the results with an undisturbed render.

    python benchmarks/kill.py --kills 50

Renders videos of three segments in two shots, in processes that are ended by SIGKILL. A third of the kills comes at a
random time, a third shortly after the last segment (join, rename, clean-up), a third right before a random one of the
render's own file operations. Every other video is killed twice. Then the same call is made once more, to its end. A
video is lost if its frames, their times or its sound differ from those of the undisturbed render, if anything is left
next to it and its recipe, or if there was ever a file under the final name that is not the whole video.
"""

import argparse
import hashlib
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from renders import finish_render, make_film, names, segments_done, start_render, tiny

from dreamvid.video.ffmpeg import capture_ffmpeg

STAGES = ("start", "plan", "dream", "join", "rename", "clean-up", "finished")
FILE_OPERATIONS = 95  # of a whole render, about
SETTINGS = tiny(codec="ffv1")


def video_hash(path: Path) -> str:
    """Hash every decoded frame and its time, and the sound's packets."""
    arguments = ["-v", "error", "-i", f"file:{path}"]
    images = capture_ffmpeg([*arguments, "-map", "0:v", "-f", "framemd5", "-"])
    return hashlib.sha256(
        (images + capture_ffmpeg([*arguments, "-map", "0:a", "-c", "copy", "-f", "md5", "-"])).encode()
    ).hexdigest()


def stage(output: Path) -> str:
    """Name the stage that a render was in when it was killed."""
    job = output.with_name(f".{output.name}.job")
    if not job.exists():
        return "finished" if output.exists() else "start"
    if output.exists():
        return "clean-up"
    if (job / "joined.json").exists():
        return "rename"
    if not (job / "manifest.json").exists():
        return "plan"
    return "join" if segments_done(output) == 3 else "dream"


def kill_one(method: int, source: Path, output: Path, duration: float, chance: random.Random) -> bool:
    """Render and kill by one of three methods; return if it was killed before it had ended."""
    if method == 0:
        return finish_render(source, output, SETTINGS, die_at=chance.randrange(FILE_OPERATIONS)) == -9
    process = start_render(source, output, SETTINGS)
    if method == 1:
        process.join(chance.uniform(0.0, duration))
    else:
        while process.is_alive() and segments_done(output) < 3:
            time.sleep(0.0005)
        process.join(chance.uniform(0.0, 0.25))
    process.kill()
    process.join()
    return process.exitcode == -9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="where to work; default: the system's for such")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    killed: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    videos = 0
    with tempfile.TemporaryDirectory(dir=options.folder) as folder_name:
        folder = Path(folder_name)
        source = make_film(folder / "video.mp4")
        finish_render(source, folder / "first.mkv", SETTINGS)
        wanted = video_hash(folder / "first.mkv")
        began = time.monotonic()
        finish_render(source, folder / "second.mkv", SETTINGS)
        duration = time.monotonic() - began
        assert video_hash(folder / "second.mkv") == wanted, "two undisturbed renders differ"
        while killed.total() < options.kills:
            output = folder / f"video-{videos}" / "video.mkv"
            output.parent.mkdir()
            at = "finished"
            for number in range(1 + videos % 2):
                was_killed = kill_one((videos + number) % 3, source, output, duration, chance)
                if not was_killed:
                    break
                at = stage(output)
                killed[at] += 1
                if output.exists() and video_hash(output) != wanted:
                    lost[at] += 1
                    print(f"video {videos}: a broken video under the final name, killed at {at}")
                if at == "finished":
                    break
            if not output.exists() or at == "clean-up":
                finish_render(source, output, SETTINGS)
            if (
                not output.exists()
                or video_hash(output) != wanted
                or names(output.parent) != ["video.mkv", "video.mkv.toml"]
            ):
                lost[at] += 1
                print(f"video {videos}: lost, killed at {at}; there is {names(output.parent)}")
            videos += 1
            print(f"\r{killed.total()} kills", end="", file=sys.stderr, flush=True)
    print(f"\n{killed.total()} kills of {videos} renders of {duration:.1f} s each (seed {options.seed})\n")
    print(f"{'killed at':<10}{'kills':>6}{'lost':>6}")
    for name in STAGES:
        print(f"{name:<10}{killed[name]:>6}{lost[name]:>6}")
    raise SystemExit(1 if lost else 0)


if __name__ == "__main__":
    main()
