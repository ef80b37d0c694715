import json
from pathlib import Path

import pytest

from dreamvid.cli import main
from dreamvid.image.io import read_image

FILM = "lavfi:testsrc2=size=96x64:rate=10:duration=0.4"


def test_score_prints_json_alone_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "score.png"
    assert main(["score", FILM, FILM, "--json", "--plot", str(plot), "--objective", "blocks.3.1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["excess"] == 0
    assert result["strength"] == pytest.approx(1)
    assert result["objective"] == "blocks.3.1"
    assert result["frames"] == 4
    assert read_image(plot).shape[1] > 600


def test_score_shows_its_worst_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "worst.png"
    dream = "lavfi:testsrc2=size=96x64:rate=10:duration=0.4,geq=r='r(X,Y)+60*not(eq(N,2))':g='g(X,Y)':b='b(X,Y)'"
    assert main(["score", FILM, dream, "--sheet", str(sheet)]) == 0
    rows = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "1 of 4 frames" in rows["flashes"]
    assert read_image(sheet).shape[1] > 3 * 96
    assert main(["score", FILM, FILM, "--sheet", str(tmp_path / "copy.png")]) == 0
    assert "is not written" in capsys.readouterr().err
    assert not (tmp_path / "copy.png").exists()


def test_score_prints_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", FILM, FILM]) == 0
    rows = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["excess"].split()[1] == "0.00"
    assert rows["strength"].split()[1] == "1.00"
    assert "–" in rows["drift of strength"]  # too short


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([FILM, FILM.replace("0.4", "0.6")], "has 4 frames"),
        ([FILM, FILM, "--plot", "curves.pdf"], "Allowed: .png"),
        ([FILM, FILM, "--sheet", "worst.jpg"], "Allowed: .png"),
        ([FILM, FILM, "--plot", "nowhere/curves.png"], "does not exist: nowhere"),
        ([FILM, FILM, "--frames", "3:1"], "--frames"),
        ([FILM, FILM, "--objective", "blocks.99"], "no layer 'blocks.99'"),
        (["lavfi:testsrc2=size=96x64:rate=10", FILM], "shows no end"),
    ],
)
def test_score_refuses(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not captured.out
