"""A device without enough memory: tiles get smaller, and where that is no help the render can go on later."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space")

# The network is given less memory than a picture takes: in a process of its own, whose limit can be lowered.
SCRIPT = """
import re, resource, sys
from pathlib import Path
import torch
from dreamvid.errors import DeviceError
from dreamvid.pipeline.render import render_video
from dreamvid.settings import load_settings

torch.set_num_threads(1)
spare, folder = int(sys.argv[1]), Path(sys.argv[2])
# Frames 0 to 3 are passed through; a dream begins after them, in the second segment.
settings = load_settings(
    objective="blocks.1.0", octaves=1, iterations="0f: 0, 4f: 1 hold", half_life_seconds=0, flow="none",
    dream_height=512, codec="ffv1", device="cpu",
)
small = load_settings(objective="blocks.1.0", octaves=1, iterations=1, dream_height=48, device="cpu")
film = "lavfi:testsrc2=size=768x512:rate=1:duration=6"
render_video("lavfi:testsrc2=size=64x48:rate=5:duration=0.4", folder / "first.mp4", small)  # loads what is loaded once

def limit(spare):
    size = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    most = size + spare * 2**20 if spare else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

limit(spare)
try:
    result = render_video(film, folder / "dream.mkv", settings)
except DeviceError as error:
    print("error:", str(error).replace("\\n", " "))
    limit(0)
    result = render_video(film, folder / "dream.mkv", settings)
print("rendered", result.frames, "after", result.resumed_from)
"""


def render_with(spare_mib: int, folder: object) -> tuple[str, str]:
    command = [sys.executable, "-c", SCRIPT, str(spare_mib), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_tiles_get_smaller_with_a_warning(tmp_path: object) -> None:
    said, warned = render_with(160, tmp_path)
    assert said == "rendered 6 after 0\n"
    assert "Out of memory on cpu: going on with tiles of" in warned
    assert "(--tile " in warned


def test_too_little_is_an_error_that_names_the_knobs_and_the_render_goes_on(tmp_path: object) -> None:
    said, _ = render_with(24, tmp_path)
    error, after = said.splitlines()
    assert error.startswith("error: Out of memory")
    for knob in ("--dream-height", "--model", "--device cpu", "3 of 6 frames are kept; the same command again"):
        assert knob in error
    assert after == "rendered 6 after 3"
