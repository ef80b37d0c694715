"""Measure the studio against its bars: `python -m benchmarks.studio`, some four minutes on two cores.

A studio is started as a user starts it, and a browser (Chromium, by Playwright) uses it:

    page        from the command to the page that can be used                       at most 8 s
    coarse      from a click on the scrub bar to the first picture, 640 × 480,
                of at least 160 lines, once the network is warm                     at most 1.0 s
    full        from the same click to the finished preview                         at most 6 s
    knob        from a knob's move during a preview to its coarse picture           at most 1.2 s
    killed      frames that a render loses whose studio is killed                   0
    queue       20 films of 10 frames, one of them broken: done, failed             19, 1

Times of pictures are those at which the browser shows them; the median of several counts. `--only page` measures the
first four, `--only queue` the others; `--record` keeps what the other part has written.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dreamvid.settings import load_settings
from dreamvid.ui.studio.queue import RenderQueue
from dreamvid.ui.studio.runner import read_progress
from dreamvid.ui.studio.workspace import Workspace
from dreamvid.video.ffmpeg import run_ffmpeg

BARS = {"page": 8.0, "coarse": 1.0, "full": 6.0, "knob": 1.2, "killed": 0, "queue": (19, 1)}
_PATIENCE = 600.0
# Tells, in the page's own clock, when a picture of a stage is on the screen.
_WATCH = """
() => { window.seen = []; document.querySelector('#dv-stage-run .dv-stage').addEventListener('dv-picture',
  (event) => requestAnimationFrame(() => window.seen.push({...event.detail, at: performance.now()}))); }
"""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="how often each picture is timed; the median counts")
    parser.add_argument("--films", type=int, default=20, help="films in the queue, one of them broken")
    parser.add_argument("--only", choices=("page", "queue"), help="measure one part")
    parser.add_argument("--record", type=Path, metavar="FILE", help="also write the numbers to this JSON file")
    given = parser.parse_args(words)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "studio")
        film = workspace.root / "sources" / "film.mp4"
        run_ffmpeg(["-f", "lavfi", "-i", "testsrc2=s=640x480:r=25:d=4", "-c:v", "libx264", f"file:{film}"], "a film")
        if given.only != "queue":
            found |= measure_page(workspace, given.repeat)
        if given.only != "page":
            found |= measure_queue(workspace, given.films)
    met = print_table(found)
    if given.record:
        record(found, given.record)
    return 0 if met else 1


def record(found: dict[str, Any], path: Path) -> None:
    """Write the numbers to a file, and keep those that it has of the other part."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {version('torch')}, gradio {version('gradio')}"
    kept = {**before, **found, "machine": machine}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def start(workspace: Workspace) -> tuple[subprocess.Popen[str], str]:
    """Start a studio; return it and its address."""
    command = [sys.executable, "-m", "dreamvid", "studio", str(workspace.root), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found is not None
    return process, found[0]


def measure_page(workspace: Workspace, repeat: int) -> dict[str, float]:
    """Time the page, its first pictures and a knob; medians in seconds."""
    from playwright.sync_api import sync_playwright

    chromium = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.set_default_timeout(1000 * _PATIENCE)
        began = time.perf_counter()
        process, url = start(workspace)
        try:
            page.goto(url)
            page.locator("#dv-stage-run .dv-scrub").wait_for()
            page.locator("#dv-run-step_size input[type=range]").wait_for()
            ready = time.perf_counter() - began
            page.evaluate(_WATCH)
            page.wait_for_function("window.seen.some((one) => one.stage === 'fine')")  # the network is warm
            coarse, full, knob = [], [], []
            for number in range(repeat):
                times, lines = _dreamed(page, _scrub((number + 1) / (repeat + 2)), "fine")
                assert lines >= 160, lines
                coarse.append(times["coarse"])
                full.append(times["fine"])
                _dreamed(page, _scrub((number + 1.5) / (repeat + 2)), "coarse")  # a preview is at work …
                times, _ = _dreamed(page, _knob(0.02 + 0.001 * number), "coarse")  # … and a knob moves
                knob.append(times["coarse"])
        finally:
            browser.close()
            process.kill()
            process.wait()
    found = {"page": round(ready, 2)}
    for name, values in (("coarse", coarse), ("full", full), ("knob", knob)):
        print(f"{name}: {', '.join(f'{value:.2f}' for value in values)} s")
        found[name] = round(sorted(values)[len(values) // 2], 2)
    return found


def _scrub(share: float) -> str:
    return (
        f"const bar = document.querySelector('#dv-stage-run .dv-scrub'); const area = bar.getBoundingClientRect();"
        f"const at = {{clientX: area.left + {share} * area.width, clientY: area.top + 5, bubbles: true, pointerId: 1}};"
        "bar.setPointerCapture = () => {};"
        "bar.dispatchEvent(new PointerEvent('pointerdown', at)); bar.dispatchEvent(new PointerEvent('pointerup', at));"
    )


def _knob(value: float) -> str:
    return (
        "const knob = document.querySelector('#dv-run-step_size input[type=range]');"
        "Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(knob, "
        f"{value}); knob.dispatchEvent(new Event('input', {{bubbles: true}}));"
    )


def _dreamed(page: Any, action: str, stage: str) -> tuple[dict[str, float], int]:
    """Do something; wait for a picture of a stage; return the seconds to the first of each stage, and its lines."""
    before = page.evaluate("Number(document.querySelector('#dv-stage-run .dv-stage').dataset.number || 0)")
    began = page.evaluate(f"() => {{ const now = performance.now(); {action}; return now; }}")
    newer = "([stage, number]) => window.seen.some((one) => one.number > number && [stage, 'fine'].includes(one.stage))"
    page.wait_for_function(newer, arg=[stage, before])
    seen = [one for one in page.evaluate("window.seen") if one["number"] > before]
    times: dict[str, float] = {}
    for one in seen:
        times.setdefault(one["stage"], (one["at"] - began) / 1000)
    times.setdefault("coarse", times.get("fine", 0.0))
    return times, min(one["lines"] for one in seen)


def measure_queue(workspace: Workspace, films: int) -> dict[str, Any]:
    """Queue films of 10 frames, one of them broken, and kill the studio once on the way.

    Returns the frames that the render at work has lost, how many jobs are done and how many failed, and the seconds.
    """
    began = time.monotonic()
    queue = RenderQueue(workspace)
    settings = load_settings(objective="blocks.1.0", dream_height=96, iterations=2, octaves=2, frames="0:10")
    for number in range(films):
        name = f"{number:02}.mp4"
        path = workspace.root / "sources" / name
        if number == films // 2:
            path.write_bytes(b"this is no film")
        else:
            graph = f"testsrc2=s=160x120:r=25:d=0.4,hue=h={18 * number}"
            run_ffmpeg(["-f", "lavfi", "-i", graph, "-c:v", "libx264", f"file:{path}"], "a film")
        queue.add("run", f"sources/{name}", settings, preset="animals")
    long = queue.add("zoom", "noise", load_settings("drift", size="160x120", frames="0:60", objective="blocks.1.0"))
    queue.move(long.id, -films)
    process, _ = start(workspace)
    _until(lambda: read_progress(queue.path(long, ".log")).frame >= 10)
    process.kill()
    process.wait()
    at_kill = read_progress(queue.path(long, ".log")).frame
    process, _ = start(workspace)
    lost = 0

    def frames_go_on() -> bool:
        nonlocal lost
        job, progress = queue.get(long.id), read_progress(queue.path(long, ".log"))
        if progress.stage == "dream":
            lost = max(lost, at_kill - progress.frame)
        return job.status.state == "done"

    _until(frames_go_on)
    _until(lambda: not {"waiting", "running"} & {job.status.state for job in queue.jobs()})
    process.kill()
    process.wait()
    states = [job.status.state for job in queue.jobs() if job.kind == "run"]
    counts = states.count("done"), states.count("failed")
    print(f"{len(states) + 1} renders in {time.monotonic() - began:.0f} s")
    return {"killed": lost, "queue": counts, "queue_seconds": round(time.monotonic() - began)}


def _until(true: Any) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not true():
        assert time.monotonic() < deadline, "the studio does not go on"
        time.sleep(0.1)


def print_table(found: dict[str, Any]) -> bool:
    """Print each number next to its bar; tell whether all are met."""
    print(f"{'':10}{'measured':>14}{'bar':>12}")
    all_met = True
    for name, bar in BARS.items():
        if name not in found:
            continue
        value = found[name]
        met = tuple(value) == bar if isinstance(bar, tuple) else value <= bar
        all_met = all_met and met
        shown = f"{value:.2f} s" if isinstance(value, float) else str(value)
        limit = f"≤ {bar} s" if isinstance(bar, float) else str(bar)
        print(f"{name:10}{shown:>14}{limit:>12}  {'met' if met else 'MISSED'}")
    return all_met


if __name__ == "__main__":
    sys.exit(main())
