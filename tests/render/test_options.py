"""The choices of a host: one value, its keyword arguments, and the old name of one."""

from dataclasses import fields
from pathlib import Path

import pytest
from renders import tiny

from dreamvid.errors import OutputError, SettingsError
from dreamvid.render.engine import render_video
from dreamvid.render.options import RenderKeywords, RenderOptions
from dreamvid.settings import renamed


def test_the_keywords_are_the_fields() -> None:
    keywords = {name: getattr(kind, "__forward_arg__", kind) for name, kind in RenderKeywords.__annotations__.items()}
    assert {field.name: field.type for field in fields(RenderOptions)} == keywords


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_preview_needs_a_time(seconds: float) -> None:
    with pytest.raises(SettingsError, match="`preview_every_seconds` must be greater than 0, got"):
        RenderOptions(preview_every_seconds=seconds)


def test_a_trace_needs_a_folder_and_the_remedy_works(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder for the trace does not exist") as caught:
        RenderOptions(trace=tmp_path / "traces" / "trace.json")
    Path(str(caught.value).split("mkdir -p ")[1]).mkdir(parents=True)
    RenderOptions(trace=tmp_path / "traces" / "trace.json")


def test_fresh_is_still_taken_for_restart(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "_told", set())
    output = tmp_path / "dream.mkv"
    output.write_bytes(b"precious")
    with (
        pytest.warns(DeprecationWarning, match="'fresh' of render_video is called 'restart' now"),
        pytest.raises(OutputError, match="the output exists"),
    ):
        render_video(film, output, tiny(), fresh=True)  # type: ignore[call-arg]


def test_an_unknown_choice_is_named(film: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="overwrit"):
        render_video(film, tmp_path / "dream.mkv", tiny(), overwrit=True)  # type: ignore[call-arg]
