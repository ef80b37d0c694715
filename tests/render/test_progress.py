"""Progress as JSON lines, for programs that show it."""

import json
from pathlib import Path

from renders import FRAMES, tiny

from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress

KEYS = {"version", "stage", "frame", "total", "fps", "seconds_left", "message", "bottleneck", "source", "workers"}


def test_a_state_as_json() -> None:
    line = Progress("dream", 12, 300, 2.34567, 125.04, "dream", "one\ntwo").to_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "version": 1,
        "stage": "dream",
        "frame": 12,
        "total": 300,
        "fps": 2.346,
        "seconds_left": 125.0,
        "message": "one\ntwo",
        "bottleneck": "dream",
        "source": None,
        "workers": [],
    }


def test_what_is_not_known_is_null_and_every_key_is_there(film: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    few = tiny(iterations=0, warm_iterations=0)
    render_video(film, tmp_path / "dream.mkv", few, on_progress=lambda progress: lines.append(progress.to_json()))
    states = [json.loads(line) for line in lines]
    assert all(state.keys() == KEYS and state["version"] == 1 for state in states)
    assert list(dict.fromkeys(state["stage"] for state in states)) == ["scan", "plan", "dream", "join"]
    assert (states[0]["total"], states[0]["seconds_left"], states[0]["bottleneck"]) == (None, None, None)
    assert [state["frame"] for state in states if state["stage"] == "dream"] == list(range(1, FRAMES + 1))
