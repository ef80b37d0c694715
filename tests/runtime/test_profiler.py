"""Where the time goes: what is counted, and what `--profile` and `--trace` show of it."""

import json
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from dreamvid.cli import main
from dreamvid.networks.network import Network
from dreamvid.runtime.profiler import Stopwatch
from dreamvid.runtime.roofline import gradient_flop, measured_peak


def test_work_is_counted_also_when_it_fails_and_spans_are_kept_on_request() -> None:
    stopwatch = Stopwatch(spans=[])
    with stopwatch.work("motion"):
        time.sleep(0.02)
    with pytest.raises(RuntimeError), stopwatch.work("motion"):
        raise RuntimeError
    assert 0.02 <= stopwatch.busy.motion < 1
    assert stopwatch.busy.dream == 0
    assert [span.stage for span in stopwatch.spans] == ["motion", "motion"]


def test_the_arithmetic_of_a_gradient_is_that_of_its_convolutions_there_and_back() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))
    network = Network("small", module).truncate(["2"])
    # A product and a sum for every weight that every position of the result meets, forward and backward.
    per_pixel = 2 * (3 * 8 * 9 + 8 * 4) * 2
    assert gradient_flop(network, {(1, 3, 20, 30): 2, (4, 3, 10, 10): 1}) == per_pixel * (2 * 600 + 400)


def test_the_peak_is_a_rate_that_a_processor_can_have() -> None:
    assert 1e9 < measured_peak(torch.device("cpu"), torch.float32) < 1e15


def test_a_profile_is_printed_and_a_trace_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.json"
    words = "run lavfi:testsrc=size=64x48:rate=8:duration=0.5 --iterations 1 --octaves 1 --profile"
    assert main([*words.split(), "-o", str(tmp_path / "a.mp4"), "--trace", str(trace)]) == 0
    printed = capsys.readouterr().out
    assert all(stage in printed for stage in ("decode", "motion", "dream", "encode", "join", "wall", "GFLOP/frame"))
    decode = next(line.split() for line in printed.splitlines() if line.startswith("decode"))
    assert float(decode[3]) == pytest.approx(64 * 48 * 3 / 1e6, abs=0.01)  # bytes of a frame
    events = json.loads(trace.read_text())["traceEvents"]
    dreams = [event for event in events if event["name"] == "dream" and event["ph"] == "X"]
    assert len(dreams) >= 4
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in dreams)
    assert {event["name"] for event in events if event["ph"] == "X"} >= {"motion", "encode"}
    assert "encode" in {event["args"]["name"] for event in events if event["ph"] == "M"}  # a thread


def test_a_trace_without_a_folder_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "demo", "-o", str(tmp_path / "a.mp4"), "--trace", str(tmp_path / "none" / "t.json")]
    assert main(words) == 2
    assert "mkdir -p" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
