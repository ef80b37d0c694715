"""`dreamvid doctor`, `layers` and the help list plugins with the distribution that they come from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["doctor"],
            [
                ("flow estimators", "sideways (dreamvid-plugins 1.0)"),
                ("flow estimators", "broken (BROKEN: "),
                ("sources", "lavfi"),
                ("objective terms", "class, guide, like, text, brightness (dreamvid-plugins 1.0)"),
                ("network families", "tiny (dreamvid-plugins 1.0)"),
                ("output formats", "csv (dreamvid-plugins 1.0)"),
            ],
        ),
        (
            ["layers", "tiny:tiny4"],
            [("Objective terms", "guide(…), like(…), text(…), brightness(…) (dreamvid-plugins 1.0)")],
        ),
        (["run", "--help"], [("Terms from plugins", "brightness.")]),
    ],
)
def test_plugins_are_listed_with_their_origin(words: list[str], lines: list[tuple[str, str]]) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    shown = subprocess.run(
        [sys.executable, "-m", "dreamvid", *words],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=True,
    )
    for label, expected in lines:
        assert any(label in line and expected in line for line in shown.stdout.splitlines()), (label, shown.stdout)
