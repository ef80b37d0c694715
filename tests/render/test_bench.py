"""`dreamvid bench`: rows that agree with the clock, and reports that other runs can read."""

import json
from pathlib import Path

import pytest
import torch

from dreamvid.cli import main
from dreamvid.render.bench import (
    BenchReport,
    GradientRow,
    RenderCase,
    RenderRow,
    measure_gradient,
    measure_render,
)
from dreamvid.settings.size import Size


def report(milliseconds: float, fps: float) -> BenchReport:
    return BenchReport(
        dreamvid="0.2.0",
        machine="a machine",
        device="cpu",
        threads=2,
        torch="2.14",
        peak_gflop_per_second=100.0,
        gradients=(
            GradientRow(width=164, height=92, milliseconds=milliseconds, gflop_per_second=10.0, share_of_peak=0.1),
        ),
        renders=(
            RenderRow(
                name="480p",
                width=854,
                height=480,
                frames_per_second=fps,
                first_frame_seconds=5.0,
                memory_mib=900.0,
                device_memory_mib=None,
            ),
        ),
    )


def test_a_gradient_has_one_rate_in_three_units() -> None:
    row = measure_gradient(Size(height=48, width=64), torch.device("cpu"), peak=50e9)
    assert row.gflop_per_second == pytest.approx(50 * row.share_of_peak)
    # The arithmetic of one gradient, in GFLOP, does not depend on how long it took.
    larger = measure_gradient(Size(height=96, width=128), torch.device("cpu"), peak=50e9)
    ratio = (larger.gflop_per_second * larger.milliseconds) / (row.gflop_per_second * row.milliseconds)
    assert ratio == pytest.approx(4, rel=0.2)


def test_a_render_is_timed_in_a_process_of_its_own(tmp_path: Path) -> None:
    small = {"octaves": 1, "iterations": 1, "dream_height": 32, "objective": "blocks.1.0"}
    row = measure_render(RenderCase("tiny", Size(height=48, width=64), 6, small), "cpu", tmp_path)
    assert row.frames_per_second > 0
    assert row.first_frame_seconds > 0
    assert 100 < row.memory_mib < 4000
    assert row.device_memory_mib is None


def test_a_report_is_read_back(tmp_path: Path) -> None:
    made = report(20.0, 1.5)
    (tmp_path / "report.json").write_text(made.to_json(), encoding="utf-8")
    assert BenchReport.read(tmp_path / "report.json") == made


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', json.dumps({"version": 99})])
def test_a_file_that_is_not_a_report_is_refused_before_anything_is_measured(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.json").write_text(text, encoding="utf-8")
    assert main(["bench", "--compare", str(tmp_path / "wrong.json")]) == 2
    assert "dreamvid bench --json" in capsys.readouterr().err


def test_a_missing_report_and_a_wrong_device_are_the_users_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--compare", "missing.json"]) == 2
    assert "missing.json" in capsys.readouterr().err
    assert main(["bench", "--device", "gpu"]) == 2
    assert "cuda" in capsys.readouterr().err


def test_the_table_compares_times_with_those_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    from dreamvid.cli.commands.bench import _print

    _print(report(10.0, 3.0), report(20.0, 1.5))
    printed = capsys.readouterr().out
    assert printed.count("0.50") == 2
