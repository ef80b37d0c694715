"""A studio in a process of its own, and what a person does on its page in a browser."""

import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.source import FfmpegSource, open_source

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = os.environ.get("DREAMVID_SCREENSHOTS")
PATIENCE = 240_000 if PICTURES else 60_000  # milliseconds
_LARGEST_PICTURE = 140_000  # bytes
QUICK = {"objective": "blocks.1.0", "dream height": "120", "iterations": "3", "octaves": "2"}


def make_footage(path: Path) -> Path:
    """Two shots with a drum: the landscape of `demo`, then the same mirrored and in other colors."""
    source = open_source("demo")
    assert isinstance(source, FfmpegSource)
    scale, rate = ("1", 8) if PICTURES else ("1/2", 12)
    seconds = 1
    graph = f"[0:v]scale=iw*{scale}:-2,fps={rate},split[a][b];[a]trim=0:{seconds},setpts=PTS-STARTPTS[c];"
    graph += f"[b]trim=0:{seconds},setpts=PTS-STARTPTS,hflip,hue=h=140:s=0.9[d];[c][d]concat,format=yuv420p[v]"
    drum = f"aevalsrc='sin(880*t)*exp(-9*mod(t,0.5))':d={2 * seconds}"
    codecs = ["-c:v", "libx264", "-crf", "16", "-c:a", "aac"]
    inputs = [*source.input_args(), "-f", "lavfi", "-i", drum]
    run_ffmpeg(
        [*inputs, "-filter_complex", graph, "-map", "[v]", "-map", "1:a", *codecs, f"file:{path}"], "making footage"
    )
    return path


class Server:
    """A studio in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "dreamvid", "studio", str(self.folder), "--port", "0", "--no-browser"]
        self._errors = self.folder.with_name("errors.txt")
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.url = re.search(r"http://\S+", line)[0]  # type: ignore[index]

    def errors(self) -> bytes:
        """Return what the studio has written for its user."""
        return self._errors.read_bytes()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)


def picture(page: "Page", name: str, *, first: str = "", last: str = "") -> None:
    """Write a JPEG of what can be seen, or from a first element down to a last one; as good as its size may be."""
    if not PICTURES:
        return
    Path(PICTURES).mkdir(parents=True, exist_ok=True)
    page.mouse.move(2, 2)
    page.evaluate("document.querySelector('.dv-header span').hidden = true")  # this machine's folder
    clip: Any = None
    if first:
        page.evaluate("window.scrollTo(0, 0)")
        boxes = [page.locator(one).bounding_box() for one in (first, last)]
        assert all(boxes)
        (left, top, width, _), bottom = boxes[0].values(), boxes[1]["y"] + boxes[1]["height"]  # type: ignore[union-attr, index]
        clip = {"x": left, "y": top, "width": width, "height": bottom - top}
    for quality in range(86, 40, -4):
        data = page.screenshot(type="jpeg", quality=quality, clip=clip)
        if len(data) < _LARGEST_PICTURE:
            break
    (Path(PICTURES) / f"studio-{name}.jpg").write_bytes(data)


def until(true: Callable[[], Any], what: str = "it") -> Any:
    deadline = time.monotonic() + PATIENCE / 1000
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} does not happen"
        time.sleep(0.1)
    return found


def open_tab(page: "Page", name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def stage(page: "Page", kind: str = "run") -> dict[str, str]:
    found: dict[str, str] = page.evaluate(f"({{...document.querySelector('#dv-stage-{kind} .dv-stage').dataset}})")
    return found


def dreamed(page: "Page", kind: str = "run") -> str:
    """Wait for the finished preview; return its number."""
    until(lambda: stage(page, kind).get("stage") == "fine", "a preview")
    return stage(page, kind)["number"]


def redreamed(page: "Page", before: str, kind: str = "run") -> str:
    until(lambda: stage(page, kind).get("number") not in (None, before), "a new preview")
    return dreamed(page, kind)


def command(page: "Page", kind: str = "run") -> str:
    return page.locator(f"#dv-code-{kind} [data-kind=command]").inner_text()


def command_has(page: "Page", text: str, kind: str = "run") -> None:
    """Wait until the command has a text: pictures and Gradio's answers come on two ways, in any order."""
    until(lambda: text in command(page, kind), f"{text} in the command")


def drop(page: "Page", path: Path, name: str, target: str = "#dv-stage-run .dv-frame") -> None:
    """Drop a file onto the page, as from a file manager."""
    page.evaluate(
        """([data, name, target]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name));
            for (const kind of ["dragenter", "dragover", "drop"]) {
                const event = new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer });
                document.querySelector(target).dispatchEvent(event);
                if (!event.defaultPrevented && kind === "drop") throw new Error("the browser would open the file");
            }
        }""",
        [base64.b64encode(path.read_bytes()).decode(), name, target],
    )


def change(page: "Page", top: float, bottom: float) -> float:
    """Return how much a part of the dream differs from the source, from 0 to 255; the part is given in heights."""
    found: float = page.evaluate(
        """async ([top, bottom]) => {
            const read = async (image) => {
                await image.decode();
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [64, 48];
                const pen = canvas.getContext("2d");
                pen.drawImage(image, 0, 0, 64, 48);
                const first = Math.round(48 * top);
                return pen.getImageData(0, first, 64, Math.round(48 * bottom) - first).data;
            };
            const box = document.querySelector("#dv-stage-run .dv-wipe");
            const [below, above] = await Promise.all(
                ["img", ".dv-above > img"].map((one) => read(box.querySelector(`:scope > ${one}`))));
            return below.reduce((sum, value, index) => sum + Math.abs(value - above[index]), 0) / below.length;
        }""",
        [top, bottom],
    )
    return found


def choose(page: "Page", label: str, option: str) -> None:
    """Choose from a list of Gradio's."""
    page.get_by_label(label, exact=True).first.click()
    page.get_by_role("option", name=option, exact=True).click()


def toast(page: "Page", text: str) -> None:
    page.locator(".dv-toast").filter(has_text=text).first.wait_for()


def pixels(page: "Page", selector: str) -> bytes:
    return bytes(page.locator(selector).screenshot())


def set_number(page: "Page", label: str, value: str, kind: str = "run") -> None:
    field = page.locator(f"#dv-knobs-{kind}").get_by_label(f"number input for {label}", exact=True)
    field.fill(value)
    field.press("Enter")


def jobs(page: "Page") -> dict[str, str]:
    found: dict[str, str] = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.dv-job')].map(({dataset}) => [dataset.id, dataset.state]))"
    )
    return found


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
