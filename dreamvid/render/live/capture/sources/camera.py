"""Capture a camera: `camera:N`, or `camera:NAME`; by v4l2 on Linux, avfoundation on a Mac, dshow on Windows."""

import re
import sys
from pathlib import Path

from dreamvid.errors import SourceError, nearest
from dreamvid.render.live.capture.source import FfmpegInput
from dreamvid.video.ffmpeg import Ffmpeg, level_and_text

_PREFIX = "camera:"
_AVFOUNDATION = re.compile(r"\[(\d+)\] (.+)$")
_DSHOW = re.compile(r'^"(.+)" \(video\)')


class _Camera:
    form = "camera:N"

    def claims(self, text: str) -> bool:
        return text == "camera" or text.startswith(_PREFIX)

    def open(self, text: str) -> FfmpegInput:
        cameras = list_cameras()
        wanted = text.removeprefix("camera").removeprefix(":") or "0"
        if not cameras:
            raise SourceError(
                f"There is no camera on this machine, and {text!r} names one. Plug one in, or give another source: a "
                "file, an address, screen, browser (the camera of a browser), noise."
            )
        index = (
            int(wanted) if wanted.isdecimal() else next((n for n, (_, name) in cameras.items() if name == wanted), -1)
        )
        if index not in cameras:
            known = ", ".join(f"camera:{number} ({name})" for number, (_, name) in cameras.items())
            close = nearest(wanted, [name for _, name in cameras.values()])
            raise SourceError(f"There is no camera {wanted!r}.{close} Allowed: {known}.")
        return FfmpegInput(
            text=text,
            input_args=tuple(_input_args(cameras[index][0])),
            kind="device",
            advice="Is another program using the camera?",
        )

    def devices(self) -> list[tuple[str, str]]:
        return [(f"{_PREFIX}{number}", name) for number, (_, name) in list_cameras().items()]


PLUGIN = _Camera()


def list_cameras() -> dict[int, tuple[str, str]]:
    """List the cameras of this machine: number → the device as ffmpeg names it, and its name."""
    if sys.platform == "linux":
        return _v4l2()
    if sys.platform == "win32":
        found = [match[1] for line in _listing("dshow", "dummy") if (match := _DSHOW.match(line))]
        return {number: (name, name) for number, name in enumerate(found)}
    return _avfoundation()


def _input_args(device: str) -> list[str]:
    if sys.platform == "linux":
        return ["-f", "v4l2", "-thread_queue_size", "2", "-i", device]
    if sys.platform == "win32":
        return ["-f", "dshow", "-rtbufsize", "64M", "-i", f"video={device}"]
    return ["-f", "avfoundation", "-framerate", "30", "-i", f"{device}:none"]


def _v4l2() -> dict[int, tuple[str, str]]:
    """Read what the kernel says; of the several nodes of one camera only the first gives pictures."""
    found = {}
    for node in Path("/sys/class/video4linux").glob("video*"):
        number, device = int(node.name.removeprefix("video")), Path("/dev") / node.name
        index = _text(node / "index")
        if device.exists() and index in ("", "0"):
            found[number] = (str(device), _text(node / "name") or node.name)
    return dict(sorted(found.items()))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _avfoundation() -> dict[int, tuple[str, str]]:
    found = {}
    for line in _listing("avfoundation", ""):
        if "audio devices" in line:
            break
        match = _AVFOUNDATION.search(line)
        if match and not match[2].startswith("Capture screen"):
            found[int(match[1])] = (match[1], match[2])
    return found


def _listing(device: str, name: str) -> list[str]:
    with Ffmpeg(["-f", device, "-list_devices", "true", "-i", name], level="info") as process:
        process.wait()
        return [level_and_text(line)[1] for line in process.log]
