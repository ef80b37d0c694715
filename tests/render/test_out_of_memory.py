"""A device without enough memory: tiles get smaller, and where that is no help the render can go on later."""

import subprocess
import sys
from pathlib import Path

import pytest
from renders import FRAMES, frames_of, full_device, names, segments_done, tiny

from dreamvid.errors import DeviceError
from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.runtime.device import out_of_memory


def test_tiles_get_smaller_with_a_warning(film: Path, tmp_path: Path) -> None:
    large = tiny(size="512x384", dream_height=384, octaves=1, frames="0:3")
    with full_device(400 * 400), pytest.warns(UserWarning, match=r"going on with tiles of 256 pixels \(`tile=256`\)"):
        assert render_video(film, tmp_path / "dream.mp4", large).frames == 3


def test_too_little_is_an_error_that_names_the_knobs_and_the_render_goes_on(
    film: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "dream.mkv"
    device = full_device(10)
    begun: list[int] = []

    def look(progress: Progress) -> None:
        if not begun and segments_done(output) >= 1:
            begun.append(progress.done)
            device.__enter__()

    try:
        with pytest.raises(DeviceError) as caught:
            render_video(film, output, tiny(codec="ffv1"), on_progress=look)
    finally:
        if begun:
            device.__exit__(None, None, None)
    assert begun
    for said in ("Out of memory", "`dream_height`", "`model`", "`device=cpu`", f"of {FRAMES} frames are kept"):
        assert said in str(caught.value)
    assert render_video(film, output, tiny(codec="ffv1")).resumed_from > 0
    assert (frames_of(output) == frames_of(undisturbed)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]


# The network is truly given less memory than an image takes: in a process of its own, whose limit can be lowered.
LIMITED = """
import re, resource
from pathlib import Path
import torch
from dreamvid import Dreamer
from dreamvid.settings import load_settings

torch.set_num_threads(1)
dreamer = Dreamer(load_settings(objective="blocks.1.0", octaves=1, iterations=1, dream_height=768, device="cpu"))
dreamer.dream(torch.rand(3, 48, 64))
size = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 280 * 2**20,) * 2)
print(tuple(dreamer.dream(torch.rand(3, 768, 1024)).shape))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space")
def test_a_real_limit_makes_tiles_smaller() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "(3, 768, 1024)\n", done.stderr
    assert "Out of memory on cpu: going on with tiles of 512 pixels (`tile=512`)" in done.stderr


@pytest.mark.parametrize(
    ("words", "memory"),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9437184 bytes.", True),
        ("CUDNN_STATUS_ALLOC_FAILED", True),
        ("could not create a primitive\nException raised from …", True),
        ("could not create a primitive descriptor for a convolution forward propagation primitive", False),
        ("The size of tensor a (3) must match the size of tensor b (4)", False),
    ],
)
def test_what_is_a_lack_of_memory(words: str, memory: bool) -> None:
    assert out_of_memory(RuntimeError(words)) is memory
