"""Dreams in a notebook: the example as it is stored, and as it runs; and the public names that it shows."""

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

import dreamvid
from dreamvid import comparison_sheet, dream_image, feature_sheet, load_settings, progress_bar, show
from dreamvid.errors import InputError
from dreamvid.figures import comparison as compare
from dreamvid.render.progress import Progress, RenderResult
from dreamvid.runtime.profiler import BusySeconds, Profile
from dreamvid.ui.notebook import ProgressBar

EXAMPLE = Path(__file__).parents[2] / "examples" / "dreamvid.ipynb"
SMALL = {"model": "squeezenet1_1", "weights": "random", "octaves": 1, "iterations": 1, "device": "cpu"}


def shown(cell: Any) -> str:
    """What a cell's outputs show, as HTML."""
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)


def check_outputs(notebook: Any) -> None:
    """Every image, film and bar that the cells promise is there."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        kinds = [output.output_type for output in cell.outputs]
        assert set(kinds) <= {"display_data", "execute_result"}, cell.outputs  # no errors, no warnings
        html = shown(cell)
        if "show(" in cell.source:
            assert re.search(r'<img [^>]*src="data:image/(png|webp);base64,', html), cell.source
        if "progress_bar()" in cell.source:
            value, total = re.search(r'<progress value="(\d+)" max="(\d+)"', html).groups()  # type: ignore[union-attr]
            assert value == total
        if cell.source.endswith("\nresult"):
            assert (
                base64.b64decode(re.search(r'<video [^>]*src="data:video/mp4;base64,([^"]+)"', html)[1])[4:8] == b"ftyp"
            )  # type: ignore[index]
    assert sum("show(" in cell.source for cell in code) >= 5
    assert sum(cell.source.endswith("\nresult") for cell in code) == 1


def test_the_example_is_stored_small_and_with_its_results() -> None:
    assert EXAMPLE.stat().st_size < 300_000
    check_outputs(nbformat.read(EXAMPLE, as_version=4))


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    notebook = nbformat.read(EXAMPLE, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    check_outputs(notebook)
    assert (tmp_path / "dream.mp4").is_file()


def test_every_public_name_is_there() -> None:
    for name in dreamvid.__all__:
        assert getattr(dreamvid, name) is not None


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("absent.png", "no file"),
        (np.zeros((4, 4, 3)), "float64"),
        (np.zeros((4, 4), np.uint8), "Got an array"),
        (torch.zeros(4, 4, 4), r"\(4, 4, 4\)"),
        ([], "one or more"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], "the same size"),
        (7, "int"),
    ],
)
def test_what_cannot_be_shown(what: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        show(what)


def test_a_speed_has_to_be_above_nothing() -> None:
    with pytest.raises(InputError, match="fps"):
        show(np.zeros((4, 4, 3), np.uint8), fps=0)


def test_a_result_is_its_film(tmp_path: Path) -> None:
    (tmp_path / "a<b>.gif").write_bytes(b"GIF89a")
    result = RenderResult(
        tmp_path / "a<b>.gif",
        tmp_path / "a<b>.gif.toml",
        3,
        ("sound & subtitles were lost",),
        0,
        Profile(300, 150, 10.0, BusySeconds(), {}),
    )
    html = result._repr_html_()
    assert f"data:image/gif;base64,{base64.b64encode(b'GIF89a').decode()}" in html
    assert "a&lt;b&gt;.gif.toml" in html
    assert "sound &amp; subtitles were lost" in html
    assert "a<b>" not in html


def test_outside_of_a_notebook_progress_is_told_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as bar:
        assert isinstance(bar, ProgressBar)
        bar(Progress("dream", 8, 8, message="Half of the sound is missing."))
    with progress_bar() as bar:
        bar(2, 2)
    told = capsys.readouterr()
    assert "frame 8 of 8" in told.err
    assert "Half of the sound is missing." in told.err
    assert "frame 2 of 2" in told.err
    assert told.out == ""


def test_sheets_have_public_names() -> None:
    frame = np.random.default_rng(2).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    seen: list[tuple[int, int]] = []
    sheet = comparison_sheet(
        frame, ["objective=features.3|features.4"], width=52, on_image=lambda *state: seen.append(state), **SMALL
    )
    given = {name: str(value) for name, value in SMALL.items()}
    same = compare.comparison_sheet(frame, given, ["objective=features.3|features.4"], dream=dream_image, width=52)
    assert (sheet == same).all()
    assert seen == [(1, 2), (2, 2)]
    settings = load_settings(**{name: SMALL[name] for name in ("model", "weights", "device")})
    assert feature_sheet(["features.3:5"], settings, size=32, iterations=1, method="naive").shape == (32, 32, 3)
