"""Only a bounded number of frames is in memory."""

import sys
from pathlib import Path

import pytest
from renders import start_render, tiny

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def peak_mib(output: Path, frames: int) -> float:
    """The most memory that a render of so many frames of 320×180 ever had."""
    quick = {"iterations": 0, "octaves": 1, "dream_height": 16, "half_life_seconds": 0}
    settings = tiny(**quick, frames=f"0:{frames}")
    process = start_render(Path(f"lavfi:testsrc2=size=320x180:rate=30:duration={frames / 30}"), output, settings)
    peak = 0.0
    while process.is_alive():
        process.join(0.02)
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        for line in status.splitlines():
            if line.startswith("VmHWM"):
                peak = int(line.split()[1]) / 1024
    process.join()
    assert process.exitcode == 0
    return peak


def test_150_frames_take_no_more_memory_than_30(tmp_path: Path) -> None:
    short, long = peak_mib(tmp_path / "short.mp4", 30), peak_mib(tmp_path / "long.mp4", 150)
    one_frame = 320 * 180 * 3 / 2**20
    assert long - short < 60 * one_frame, f"{short:.0f} MiB for 30 frames, {long:.0f} MiB for 150"
