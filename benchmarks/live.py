"""Measure a live dream against its bars, on this machine, in one table.

    python -m benchmarks.live [--quick] [--only sustained,controller] [--folder benchmarks/results]

Everything is made here: a clip of scenery that moves, 30 frames per second, in which every frame carries its number in
black and white squares. `--quick` takes about three minutes, all of it about fifteen. Writes `live.json` and `live.md`.

    sustained   320x180, the default preset: frames per second that are dreamed; strength against `dream_frames` on the
                same frames; excess against frames dreamed alone; delay from the arrival of a frame to the page, by the
                number that is read back from the page's MJPEG
    controller  from a start at 720p and at 320x180, and after half a core is taken: when the quality changed last
    knob        output frames until a changed setting is visible
    reconnect   an ffmpeg that sends over UDP is killed and started again: seconds until a frame arrives
    memory      growth of the memory and of the delay, and processes that are left

The machine has to be quiet: a browser that is open is enough to falsify it.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.made_clips import scenery
from dreamvid import dream_frames, load_settings
from dreamvid.metrics.score import score_frames
from dreamvid.render.live.capture.source import open_live_source
from dreamvid.render.live.controls import Controls
from dreamvid.render.live.session import LiveOptions, LiveSession
from dreamvid.render.live.sink import LiveSink, LiveSinkOptions, open_live_sink
from dreamvid.render.live.slot import LatestFrame, LiveFrame
from dreamvid.render.live.state import LiveState, SinkState
from dreamvid.runtime.process import tune_process
from dreamvid.settings.size import Size
from dreamvid.ui.live.remote import Remote
from dreamvid.video.ffmpeg import Ffmpeg, ffmpeg_path

Pixels = npt.NDArray[np.uint8]

BITS, SIDE = 10, 8  # of the number in the picture; pixels of a square at 320 x 180
CLIP_FRAMES, RATE = 300, 30
MEMORY_SECONDS = 600
BARS = {
    "fps": "12 or more",
    "strength of run's": "0.80 or more",
    "excess of alone's": "0.02 or less",
    "delay over its limit (ms)": "0 or less",
    "stable after a start (s)": "5 or less",
    "stable after half a core is taken (s)": "5 or less",
    "steps closer than a second": "0",
    "frames until a knob is seen": "2 or less",
    "slowest return (s)": "3 or less",
    "memory growth (MB per minute)": "2 or less",
    "processes left": "0",
}

HALF_A_CORE = """
import time
while True:
    until = time.perf_counter() + 0.005
    while time.perf_counter() < until:
        pass
    time.sleep(0.005)
"""


def clip_frames(width: int, height: int) -> Iterator[Pixels]:
    """Pan slowly over scenery, there and back without a jump, while two round things move on their own."""
    wide, things = scenery(1100, 560, 1), scenery(200, 200, 5)
    rows, columns = np.mgrid[-100:100, -100:100]
    far = np.sqrt(rows**2 + columns**2)[..., None]
    for number in range(CLIP_FRAMES):
        turn = 2 * np.pi * number / CLIP_FRAMES
        shift = np.array([[1, 0, -200 - 60 * np.sin(turn)], [0, 1, -90 - 14 * np.sin(2 * turn)]], np.float32)
        frame = cv2.warpAffine(wide, shift, (640, 360), flags=cv2.INTER_CUBIC)
        for radius, x, y in ((34, 220 + 80 * np.cos(turn), 150), (22, 460, 200 + 50 * np.sin(turn))):
            place = np.array([[1, 0, x - 100], [0, 1, y - 100]], np.float32)
            cover = np.clip(radius + 0.5 - far, 0, 1).astype(np.float32)
            moved, covered = (cv2.warpAffine(image, place, (640, 360)) for image in (things, cover))
            frame = (frame + covered[..., None] * (moved.astype(np.float32) - frame)).round().astype(np.uint8)
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        yield with_number(small, number)


def make_clip(path: Path, width: int, height: int) -> None:
    """Write `clip_frames` to a video."""
    command = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(RATE), "-i", "pipe:0"]
    with Ffmpeg([*command, "-c:v", "libx264", "-crf", "14", "-pix_fmt", "yuv420p", str(path)], stdin=True) as process:
        for frame in clip_frames(width, height):
            process.stdin.write(frame.data)
        process.finish("making a clip")


def made_clip(folder: Path, width: int, height: int) -> Path:
    """Make a clip in a process of its own, see `measure`."""
    path = folder / f"{width}x{height}.mp4"
    run_alone("--make", str(path), str(width), str(height))
    return path


def run_alone(*arguments: str) -> str:
    """Run this program again with other arguments, tuned as the command line is; return what it prints."""
    command = [sys.executable, "-m", "benchmarks.live", *arguments]
    environment = {"GOMP_SPINCOUNT": "10000", **os.environ}  # `tune_process` sets it, but torch is imported already
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def with_number(frame: Pixels, number: int) -> Pixels:
    """Write a number into the corner of a frame: from each to the next, one square changes (Gray's code)."""
    side = SIDE * frame.shape[0] // 180
    for bit in range(BITS):
        frame[-side:, bit * side : (bit + 1) * side] = 225 if (number ^ number >> 1) >> bit & 1 else 30
    return frame


def read_number(frame: Pixels) -> int:
    side = SIDE * frame.shape[0] // 180
    middle = slice(-side * 3 // 4, -side // 4)
    levels = [float(frame[middle, bit * side + side // 4 : (bit + 1) * side - side // 4].mean()) for bit in range(BITS)]
    number = sum((level > 127) << bit for bit, level in enumerate(levels))
    for shift in (1, 2, 4, 8):
        number ^= number >> shift
    return number


class Collector:
    """A sink that keeps what it saw, and when."""

    def __init__(self, most: int) -> None:
        self.finished, self._most = False, most
        self.frames: list[tuple[float, LiveFrame]] = []
        self._closing = threading.Event()

    def start(self, frames: LatestFrame) -> None:
        self._thread = threading.Thread(target=_collect, args=(frames, self._closing, self.frames, self._most))
        self._thread.start()

    def state(self) -> SinkState:
        return SinkState("collector", len(self.frames))

    def close(self) -> None:
        self._closing.set()
        self._thread.join()


def _collect(slot: LatestFrame, closing: threading.Event, frames: list[tuple[float, LiveFrame]], most: int) -> None:
    reader = slot.subscribe()
    while not closing.is_set():
        frame = reader.get(0.1)
        if frame is not None:
            frames.append((time.monotonic(), frame))
            del frames[:-most]


@dataclass
class Running:
    """A session in a thread, and every state that it published."""

    session: LiveSession
    url: str = ""
    states: list[LiveState] = field(default_factory=list)
    error: BaseException | None = None

    def wait(self, condition: Callable[[LiveState], bool], seconds: float = 120) -> LiveState:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.error is not None:
                raise self.error
            if self.states and condition(self.states[-1]):
                return self.states[-1]
            time.sleep(0.01)
        raise RuntimeError(f"waited {seconds} s in vain: {self.states[-1:]}")


@contextmanager
def live(source: str, sinks: Sequence[LiveSink] = (), *, page: bool = False) -> Iterator[Running]:
    settings = load_settings(None, device="cpu")
    controls = Controls(settings)
    running: list[Running] = []

    def serve(frames: LatestFrame) -> Remote:
        remote = Remote(running[0].session, port=0, osc=False, midi=())
        running[0].url = remote.url
        return remote

    more = [open_live_sink("page", LiveSinkOptions(serve_page=serve))] if page else []
    session = LiveSession(open_live_source(source), [*sinks, *more], controls, settings, LiveOptions())
    running.append(Running(session))
    one = running[0]
    publish = controls.publish

    def keep(state: LiveState) -> None:
        one.states.append(state)
        publish(state)

    controls.publish = keep  # type: ignore[method-assign]

    def run() -> None:
        try:
            session.run()
        except BaseException as error:
            one.error = error

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield one
    finally:
        session.stop.set()
        thread.join()


def watch_page(url: str) -> None:
    """Read the page's MJPEG as a browser does; print when the picture of which number came."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"GET /stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        data = b""
        while part := connection.recv(1 << 16):
            data += part
            while (end := data.find(b"\xff\xd9")) >= 0:
                now, start = time.monotonic(), data.find(b"\xff\xd8")
                image = cv2.imdecode(np.frombuffer(data[start : end + 2], np.uint8), cv2.IMREAD_COLOR)
                data = data[end + 2 :]
                if image is not None:
                    print(now, read_number(image.astype(np.uint8)), flush=True)


@contextmanager
def viewer(url: str, folder: Path) -> Iterator[list[tuple[float, int]]]:
    """Watch the page in a process of its own, as a browser is one; the list is filled at the end."""
    seen: list[tuple[float, int]] = []
    path = folder / "seen.txt"
    with (
        path.open("w") as out,
        subprocess.Popen([sys.executable, "-m", __spec__.name, "--watch", url], stdout=out) as one,
    ):
        try:
            yield seen
        finally:
            one.kill()
            one.wait()
            lines = path.read_text().splitlines()[:-1]  # the last one may be cut off
            seen += [(float(now), int(number)) for now, number in (line.split() for line in lines)]


def sustained(folder: Path, quick: bool) -> dict[str, Any]:
    clip = made_clip(folder, 320, 180)
    kept = 24 if quick else 60
    collector, closing = Collector(10_000), threading.Event()
    arrived: list[tuple[float, LiveFrame]] = []
    with live(str(clip), [collector], page=True) as running:
        thread = threading.Thread(target=_collect, args=(running.session.source, closing, arrived, 10_000))
        thread.start()
        running.wait(lambda state: state.dreamed > 5)
        with viewer(running.url, folder) as seen:
            time.sleep(12)  # settles
            begin = time.monotonic()
            time.sleep(15 if quick else 60)
            end = time.monotonic()
            last = running.states[-1]
        closing.set()
        thread.join()
    sent = [frame for at, frame in collector.frames if begin <= at <= end]
    fps = len(sent) / (end - begin)
    times: dict[int, list[float]] = {}
    for _, frame in arrived:
        times.setdefault(frame.number % CLIP_FRAMES, []).append(frame.arrived_seconds)
    shown = [(at, number) for at, number in seen if begin <= at <= end]
    came = [(at, max((t for t in times.get(number, []) if t <= at), default=None)) for at, number in shown]
    delays = [1000 * (at - arrival) for at, arrival in came if arrival is not None]
    if not delays:
        raise RuntimeError(f"no picture of the page could be read: {len(seen)} came, {len(sent)} were sent")
    delay = float(np.percentile(delays, 95))
    sources = {frame.number: frame.pixels for _, frame in arrived}
    pairs = [(sources[frame.number], frame.pixels) for frame in sent[-kept:] if frame.number in sources]
    footage = [source for source, _ in pairs]
    settings = load_settings(None, device="cpu")
    alone = load_settings(None, device="cpu", half_life_seconds=0, cadence=1)
    few = 10 if quick else 20
    scored = score_frames(footage, [dreamed for _, dreamed in pairs], fps=fps)
    whole = score_frames(footage, list(dream_frames(footage, settings, fps=fps)), fps=fps)
    each = score_frames(footage[-few:], list(dream_frames(footage[-few:], alone, fps=fps)), fps=fps)
    limit = 1.5 * 1000 / fps + 60
    return {
        "fps": fps,
        "strength of run's": scored.mean_strength / whole.mean_strength,
        "excess of alone's": scored.mean_excess / each.mean_excess,
        "delay (ms, 95 of 100)": delay,
        "delay (ms, median)": float(np.median(delays)),
        "delay over its limit (ms)": delay - limit,
        "quality": last.quality.doing or "full",
        "run's excess of alone's": whole.mean_excess / each.mean_excess,
    }


def controller(folder: Path, quick: bool) -> dict[str, Any]:
    """Follow the quality at 720p, and at 320x180, where there is more to choose from; the slower one counts."""
    found = [_follow_quality(folder, Size(*size), 12 if quick else 30) for size in ((720, 1280), (180, 320))]
    worst = {name: max(one[name] for one in found) for name in BARS if name in found[0]}
    rest = {
        f"{name} at {lines}p": one[name]
        for lines, one in zip((720, 180), found, strict=True)
        for name in one
        if name not in BARS
    }
    return {**worst, **rest}


def _follow_quality(folder: Path, size: Size, seconds: float) -> dict[str, Any]:
    clip = made_clip(folder, size.width, size.height)
    with live(str(clip), [Collector(3)]) as running:
        running.wait(lambda state: state.dreamed > 0)
        start = running.states[-1].time_seconds
        time.sleep(seconds)
        before = running.states[-1]
        with subprocess.Popen([sys.executable, "-c", HALF_A_CORE]) as thief:
            time.sleep(seconds)
            end = running.states[-1]
            thief.kill()
    taken = before.time_seconds
    changes = [
        (after.time_seconds, after.quality.level)
        for before, after in pairwise(running.states)
        if before.quality.budget_ms and after.quality.level != before.quality.level
    ]
    first = [at - start for at, _ in changes if start <= at <= taken]
    second = [at - taken for at, _ in changes if at > taken]
    every = [at for at, _ in changes if at > start]
    return {
        "stable after a start (s)": max(first, default=0.0),
        "stable after half a core is taken (s)": max(second, default=0.0),
        "steps closer than a second": sum(b - a < 0.9 for a, b in pairwise(every)),
        "changes": [f"{at - start:.1f} s: level {level}" for at, level in changes],
        "before the core is taken": f"{before.fps_out:.1f} fps, {before.quality.doing or 'full'}",
        "at the end": f"{end.fps_out:.1f} fps, {end.quality.doing or 'full'}",
    }


def knob(folder: Path, quick: bool) -> dict[str, Any]:
    counts = []
    for _ in range(2 if quick else 5):
        collector = Collector(1000)
        with live("lavfi:color=0x808080:s=320x180:r=30,noise=alls=12", [collector]) as running:
            running.wait(lambda state: state.dreamed > 20)
            before = float(np.median([frame.pixels.std() for _, frame in collector.frames[-5:]]))
            at = len(collector.frames)
            running.session.controls.set("step_size", 0.25)
            running.session.controls.action("reset")
            while len(collector.frames) < at + 7 and running.error is None:
                time.sleep(0.01)
            later = [float(frame.pixels.std()) for _, frame in collector.frames[at:]]
            counts.append(1 + next((n for n, value in enumerate(later) if value > 1.5 * before), len(later)))
    return {"frames until a knob is seen": max(counts)}


def reconnect(folder: Path, quick: bool) -> dict[str, Any]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{one.getsockname()[1]}"
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15", "-pix_fmt", "yuv420p"]
    send = ["-re", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", *codec, "-f", "mpegts", address]
    took = []
    with live(address, [Collector(3)]) as running:
        for _ in range(3 if quick else 10):
            before = running.session.source.count
            began = time.monotonic()
            with subprocess.Popen([str(ffmpeg_path()), "-v", "error", *send]) as process:
                while running.session.source.count < before + 2 and time.monotonic() < began + 30:
                    time.sleep(0.01)
                took.append(time.monotonic() - began)
                time.sleep(1)
                process.kill()
            time.sleep(1.5)
    return {"slowest return (s)": max(took), "returns (s)": [round(one, 2) for one in took]}


def memory(folder: Path, quick: bool) -> dict[str, Any]:
    clip = made_clip(folder, 320, 180)
    before = _children()
    samples = []
    with live(str(clip), [Collector(3)], page=True) as running:
        running.wait(lambda state: state.dreamed > 50)
        time.sleep(5 if quick else 30)
        begin = time.monotonic()
        while time.monotonic() < begin + (30 if quick else MEMORY_SECONDS):
            state = running.states[-1]
            moves = state.quality.steps_down + state.quality.steps_up
            samples.append((time.monotonic(), _resident_mb(), state.delay_ms, moves))
            del running.states[:-10]
            time.sleep(0.5)
    times, resident, delays, moves_until = (np.array(column) for column in zip(*samples, strict=True))
    # A size that is new takes memory of its own, once: the slope is that within the stretches of one quality.
    apart, level = (times - times[0]) / 60, resident.copy()
    for stretch in (moves_until == moves for moves in np.unique(moves_until)):
        apart[stretch] -= apart[stretch].mean()
        level[stretch] -= level[stretch].mean()
    third = len(delays) // 3
    return {
        "memory growth (MB per minute)": float((apart * level).sum() / (apart**2).sum()),
        "memory at first and last (MB)": [float(resident[0]), float(resident[-1])],
        "changes of the quality meanwhile": int(moves_until[-1] - moves_until[0]),
        "delay at the end over the beginning": float(np.median(delays[-third:]) / np.median(delays[:third])),
        "processes left": len(_children() - before),
    }


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(number) for number in (task / "children").read_text().split()}
    return found


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


PARTS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "sustained": sustained,
    "controller": controller,
    "knob": knob,
    "reconnect": reconnect,
    "memory": memory,
}


def _holds(name: str, value: float) -> bool:
    bar = BARS[name].split()
    return value >= float(bar[0]) if "more" in bar else value <= float(bar[0])


def measure(name: str, folder: Path, quick: bool) -> dict[str, Any]:
    """Measure one part in a process of its own.

    There, only the session's thread dreams until the session has ended: where two threads of a process have used
    PyTorch's operators, OpenMP lets both wait in a slower way. In `dreamvid live` it is one.
    """
    return dict(json.loads(run_alone("--part", name, str(folder), *(["--quick"] if quick else []))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--folder", type=Path)
    # What the processes of this program do.
    parser.add_argument("--watch", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    tune_process()
    if given.watch:
        watch_page(given.watch)
    elif given.make:
        make_clip(Path(given.make[0]), int(given.make[1]), int(given.make[2]))
    elif given.part:
        print(json.dumps(PARTS[given.part[0]](Path(given.part[1]), given.quick)))
    else:
        make_table(given.only.split(","), given.quick, given.folder)


def make_table(parts: Sequence[str], quick: bool, target: Path | None) -> None:
    result: dict[str, Any] = {}
    lines = ["| what | measured | bar | |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name in parts:
            for what, value in measure(name, Path(folder), quick).items():
                result[what] = value
                shown = f"{value:.3g}" if isinstance(value, float) else str(value)
                bar = BARS.get(what, "")
                verdict = ("holds" if _holds(what, float(value)) else "MISSED") if bar else ""
                lines.append(f"| {what} | {shown} | {bar} | {verdict} |")
                print(lines[-1], flush=True)
    result["load average"] = os.getloadavg()[0]
    result["threads"] = torch.get_num_threads()
    if target is not None:
        (target / "live.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (target / "live.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
