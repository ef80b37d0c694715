"""The outer door: help, version, mistakes in the words themselves, exit codes, warnings, bugs."""

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamvid.cli.app import guarded
from dreamvid.errors import DreamvidError, FfmpegError, SourceError
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.schema import bounds, flag_name

Run = Callable[..., Any]

_LOADED_BY = """
import json, sys
from dreamvid.cli import main
code = main({words!r})
print(json.dumps(sorted(set(name.partition('.')[0] for name in sys.modules))), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], {"torch", "torchvision", "timm", "cv2", "numpy", "pydantic", "PIL"}),
        (["--version"], {"torch", "torchvision", "timm", "cv2", "numpy", "pydantic", "PIL"}),
        (["run", "--help"], {"torch", "torchvision", "timm", "cv2", "numpy", "PIL"}),
        (["image", "--help"], {"torch", "torchvision", "timm", "cv2", "numpy", "PIL"}),
    ],
    ids=lambda value: " ".join(sorted(value)) if isinstance(value, set) else " ".join(value),
)
def test_help_loads_nothing_heavy(words: list[str], heavy: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED_BY.format(words=words)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "dreamvid" in loaded
    assert not heavy & loaded


def test_help_is_quick() -> None:
    """In time of the processor, which a busy machine does not change much."""
    resource = pytest.importorskip("resource")  # Windows has none

    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    taken = []
    for _ in range(3):
        before = seconds()
        subprocess.run([sys.executable, "-m", "dreamvid", "--help"], stdout=subprocess.DEVNULL, check=True)
        taken.append(seconds() - before)
    assert min(taken) < 0.3, taken


def test_a_dream_waits_for_no_library_that_it_does_not_use(tmp_path: Path, clips: Path) -> None:
    """They take longer to load than PyTorch."""
    words = ["run", str(clips / "clip.mp4"), "-o", str(tmp_path / "dream.mp4"), "--iterations", "1", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", _LOADED_BY.format(words=words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "torch" in loaded
    assert not {"torchvision", "timm", "sympy"} & loaded


def test_help_lists_the_commands(dreamvid: Run) -> None:
    told = dreamvid("--help")
    assert told.code == 0
    for command in ("run", "image", "presets", "models", "layers", "doctor"):
        assert f"{command} " in told.out


@pytest.mark.parametrize("command", ["run", "image", "presets", "models", "layers", "doctor"])
def test_every_command_has_help(command: str, dreamvid: Run) -> None:
    told = dreamvid(command, "--help")
    assert told.code == 0
    assert f"dreamvid {command}" in told.out


def test_run_has_a_flag_for_every_setting(dreamvid: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    told = dreamvid("run", "--help-all").out
    for group, name, field in setting_fields():
        if group == "camera":
            continue  # of `dreamvid zoom`
        lines = [line for line in told.splitlines() if f"{flag_name(name)} " in line]
        assert lines, name
        assert str(field.description)[:30] in lines[0]
        assert bounds(field) in lines[0]


def test_the_flags_that_matter_come_first(dreamvid: Run) -> None:
    told = dreamvid("run", "--help-all").out
    panels = ("Main flags", "Network", "Dream", "Coherence", "Video", "Render", "Job")
    places = [told.index(f"╭─ {title} ─") for title in panels]
    assert places == sorted(places)
    first = told[: places[1]]
    for flag in ("SOURCE", "-o", "--preset", "--objective", "--frames", "--coherence", "--overwrite", "--draft"):
        assert flag in first
    assert "--octaves" not in first


@pytest.mark.parametrize("command", ["run", "zoom", "image", "sheet", "features"])
def test_help_fits_two_screens_and_names_the_page_with_the_rest(
    command: str, dreamvid: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, whole = dreamvid(command, "--help").out, dreamvid(command, "--help-all").out
    assert len(short.splitlines()) <= 48
    assert f"dreamvid {command} --help-all" in short
    assert "--help-all" not in whole
    panel = re.search("╭─ Main flags.*?╰─", whole, re.DOTALL)
    assert panel is not None
    assert panel[0] in short  # the first page is the beginning of the whole one
    assert "--device" in whole
    assert "--device" not in short


def test_version(dreamvid: Run) -> None:
    told = dreamvid("--version")
    assert (told.code, told.out.split()[0]) == (0, "dreamvid")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["rnu", "x.mp4"], ['"rnu"', '"run"']),
        (["run"], ["SOURCE", "dreamvid run --help"]),
        (["run", "x.mp4", "--half-live", "3"], ["--half-live", "--half-life", "dreamvid run --help"]),
        (["run", "x.mp4", "--half-live=3"], ["--half-live", "--half-life"]),
        (["run", "x.mp4", "--octave", "3"], ["--octave.", "--octaves"]),
        (["run", "x.mp4", "--model", "--overwrite"], ["--model", "requires an argument"]),
        (["run", "x.mp4", "--octaves", "2", "--octaves", "3"], ["--octaves", "multiple times"]),
        (["run", "x.mp4", "y.mp4", "-o", "z.mp4"], ["several sources need a folder", "--output out/", "'out/*.mp4'"]),
        (["presets", "shwo"], ["'shwo'", "'show'"]),
        (["image", "x.png", "--half-life", "3"], ["--half-life"]),
    ],
    ids=" ".join,
)
def test_mistakes_in_the_words(words: list[str], parts: list[str], dreamvid: Run, tmp_path: Path) -> None:
    told = dreamvid(*words)
    assert told.code == 2
    assert told.err.startswith("error: ")
    assert told.out == ""
    for part in parts:
        assert part in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--octaves", "99"], ["--octaves", "'99'", "1 up to 12"]),
        (["--half-life", "-1"], ["--half-life", "'-1'", "0.0 up to 3600.0"]),
        (["--flow", "dsi"], ["--flow", "'dsi'", "'dis'"]),
        (["--frames", "9:3"], ["--frames", "'9:3'", "0:24"]),
        (["--size", "640"], ["--size", "640x480"]),
        (["--preset", "plnts"], ["'plnts'", "'plants'"]),
        (["--preset", "nowhere.toml"], ["'nowhere.toml'"]),
        (["--seed", "1.5"], ["--seed", "'1.5'"]),
    ],
    ids=" ".join,
)
def test_settings_out_of_range(words: list[str], parts: list[str], dreamvid: Run) -> None:
    told = dreamvid("run", "x.mp4", *words)
    assert told.code == 2
    assert told.err.startswith("error: ")
    for part in parts:
        assert part in told.err


def _raising(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SourceError("no [bold]such[/] file: 'a\\b'"), 2, "error: no [bold]such[/] file: 'a\\b'\n"),
        (FfmpegError("it broke"), 1, "error: it broke\n"),
        (DreamvidError("a very long path " * 40), 1, f"error: {'a very long path ' * 40}\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_errors_become_messages_and_codes(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(_raising(error)) == code
    assert capsys.readouterr() == ("", said)


def test_a_bug_is_told_as_one_and_its_trace_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert guarded(_raising(ZeroDivisionError("by nought"))) == 1
    said = capsys.readouterr().err
    assert "bug" in said
    assert "Traceback (most" not in said
    (kept,) = tmp_path.iterdir()
    assert str(kept) in said
    assert "ZeroDivisionError: by nought" in kept.read_text(encoding="utf-8")


def test_warnings_are_plain_lines_each_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    def warn() -> None:
        for text in ("tile halved", "tile halved", "something else"):
            warnings.warn(text, stacklevel=1)
        warnings.warn("for developers", DeprecationWarning, stacklevel=1)

    assert guarded(warn) == 0
    assert capsys.readouterr() == ("", "warning: tile halved\nwarning: something else\n")


def test_a_reader_that_stops_reading_is_no_error() -> None:
    command = f"{sys.executable} -c 'from dreamvid.cli import main; raise SystemExit(main([\"presets\"]))'"
    done = subprocess.run(["sh", "-c", f"{command} | true"], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_command_decides_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: 1) == 1
    assert guarded(lambda: None) == 0
