"""A flow estimator of another distribution works like a built-in one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from known_motion import SMALL, pan

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.errors import InputError, SettingsError
from dreamvid.motion.estimator import load_estimator
from dreamvid.runtime.plugins import FLOW_ESTIMATORS
from dreamvid.settings import load_settings


def test_it_is_named_behind_the_built_in_ones() -> None:
    assert FLOW_ESTIMATORS.names() == ("dis", "none", "raft", "broken", "sideways")
    assert (FLOW_ESTIMATORS.origin("sideways"), FLOW_ESTIMATORS.origin("dis")) == ("dreamvid-plugins 1.0", "")


def test_a_dream_rides_on_it() -> None:
    settings = load_settings(None, flow="sideways", warm_iterations=0, half_life_seconds=1000.0, **SMALL)
    dreamer = FrameDreamer(settings)
    frames = pan(2, speed=1)
    motion = dreamer.motion(dreamer.frame(frames[1]), dreamer.frame(frames[0]))
    assert (motion.flow[:, 0] == -1).all()
    first = dreamer.dream(dreamer.frame(frames[0]), None, index=0, elapsed_seconds=0.04) - frames[0]
    second = dreamer.dream(dreamer.frame(frames[1]), motion, index=1, elapsed_seconds=0.04) - frames[1]
    apart = (second[..., 20:-20] - first[..., 19:-21]).abs()
    assert apart.mean() < 0.005
    assert (apart < 0.02).float().mean() > 0.99  # the strength of what is carried is evened where it stands out


def test_it_shows_in_the_help_and_in_errors() -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-m", "dreamvid", "run", "--help-all"]
    shown = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}, capture_output=True, text=True, check=True
    )
    assert "sideways" in shown.stdout
    with pytest.raises(SettingsError, match="Did you mean 'sideways'"):
        load_settings(None, flow="sidewise")


def test_one_that_cannot_be_imported_names_its_distribution() -> None:
    with pytest.raises(InputError, match=r"'broken' of dreamvid-plugins 1\.0 cannot be loaded"):
        load_estimator("broken")
