"""Several sources in one command: which they are, where results go, what fails, is skipped, and is to be typed next."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dreamvid.cli import main
from dreamvid.errors import OutputError, SettingsError
from dreamvid.image.io import write_image
from dreamvid.render.batch.items import place_outputs, read_jobs
from dreamvid.render.batch.sources import expand_images, expand_videos
from dreamvid.settings import load_settings

FAST = ("--octaves", "1", "--iterations", "1", "--dream-height", "48", "--device", "cpu", "--frames", "0:2")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def films(film: Path, tmp_path: Path) -> Path:
    for name in ("a.mp4", "clips/c1.mp4", "clips/c10.mp4", "clips/c2.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(film, tmp_path / name)
    (tmp_path / "broken.mp4").write_bytes(b"broken")
    (tmp_path / "clips" / "notes.txt").write_text("no video")
    return tmp_path


def test_a_batch_renders_all_but_the_broken_and_says_what_to_type(films: Path, command: Run) -> None:
    code, out, err = command("run", "a.mp4", "broken.mp4", "clips", "-o", "out/", *FAST)
    results = [f"out/{name}.dream.mp4" for name in ("a", "c1", "c2", "c10")]
    assert code == 1
    assert out.split() == [path for result in results for path in (result, f"{result}.toml")]
    assert "clips has files that are no videos, which are left out: notes.txt" in err
    table = [line.split() for line in err.splitlines() if " done " in line or " failed " in line]
    assert [row[:2] for row in table] == [
        ["a.mp4", "done"],
        ["broken.mp4", "failed"],
        ["clips/c1.mp4", "done"],
        ["clips/c2.mp4", "done"],
        ["clips/c10.mp4", "done"],
    ]
    last = err.splitlines()[-1]
    assert last.startswith("error: 1 of 5 failed. To render only those again: dreamvid run broken.mp4 ")
    shutil.copy(films / "a.mp4", films / "broken.mp4")
    code, out, err = command(*shlex.split(last.partition("again: dreamvid ")[2]))
    assert (code, out.split()[0]) == (0, "out/broken.dream.mp4")
    before = {path: path.stat().st_mtime_ns for path in (films / "out").iterdir()}
    code, out, err = command("run", "a.mp4", "broken.mp4", "clips", "-o", "out/", *FAST)
    assert (code, out) == (0, "")
    assert err.count("finished before") == 5
    assert {path: path.stat().st_mtime_ns for path in (films / "out").iterdir()} == before
    code, out, err = command("run", "a.mp4", "clips/c1.mp4", "-o", "out/", *FAST, "--seed", "7")
    assert code == 1, "a result with other settings is not taken for finished"
    assert err.count("the output exists") == 4


def test_json_lines_name_their_source(films: Path, command: Run) -> None:
    _, _, err = command("run", "a.mp4", "broken.mp4", "clips/c1.mp4", "-o", "out/", *FAST, "--progress", "json")
    lines = [json.loads(line) for line in err.splitlines()]
    ends = [(line["source"], line["stage"]) for line in lines if line["stage"] in ("done", "failed", "error")]
    assert ends == [("a.mp4", "done"), ("broken.mp4", "failed"), ("clips/c1.mp4", "done"), (None, "error")]
    assert {line["source"] for line in lines if line["stage"] == "dream"} == {"a.mp4", "clips/c1.mp4"}
    assert len({frozenset(line) for line in lines}) == 1


def test_a_wrong_objective_is_told_once(films: Path, command: Run) -> None:
    code, _, err = command("run", "a.mp4", "clips", "-o", "out/", *FAST, "--objective", "nothing.1", "--quiet")
    assert (code, err.count("nothing.1")) == (2, 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a.mp4", "./a.mp4"), "a.mp4 and ./a.mp4 would both become a.dream.mp4"),
        (("a.mp4", "clips", "-o", "x.mp4"), "several sources need a folder"),
        (("a.mp4", "--jobs", "j.toml"), "not both"),
        (("a.mp4", "clips", "-o", "out/", "--profile"), "one source"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_dreamed(
    words: tuple[str, ...], told: str, films: Path, command: Run
) -> None:
    before = sorted(films.rglob("*"))
    code, out, err = command("run", *words, *FAST)
    assert (code in (1, 2), out) == (True, "")
    assert told in err
    assert sorted(films.rglob("*")) == before


def test_folders_of_images_stay_one_video(films: Path) -> None:
    images = films / "images"
    images.mkdir()
    for number in range(3):
        (images / f"{number}.png").write_bytes(b"")
    assert expand_videos([str(images)]).sources == (str(images),)
    assert not expand_videos([str(images)]).several
    assert expand_videos([f"{images}/*.png"]).sources == (f"{images}/*.png",)
    assert expand_images([str(images)]).sources == tuple(str(images / f"{number}.png") for number in range(3))
    assert expand_videos([str(films / "clips" / "*.mp4")]).several
    assert [Path(name).name for name in expand_videos([str(films / "clips")]).sources] == [
        "c1.mp4",
        "c2.mp4",
        "c10.mp4",
    ]
    shutil.copy(films / "a.mp4", images)
    mixed = expand_videos([str(images)])
    assert mixed.sources == (str(images),)
    assert "3 images and 1 videos" in mixed.warnings[0]
    single = expand_videos([str(images / f"{number}.png") for number in range(3)])
    assert "a video of one frame" in single.warnings[0]


def test_outputs_follow_a_pattern(tmp_path: Path) -> None:
    settings = load_settings()

    def outputs(output: str | None) -> list[str]:
        return [
            item.output
            for item in place_outputs(["x/a.mp4", "b.mov"], output, settings, lambda s: f"{Path(s).stem}.d.mp4")
        ]

    assert outputs(None) == ["a.d.mp4", "b.d.mp4"]
    assert outputs("out/") == ["out/a.d.mp4", "out/b.d.mp4"]
    assert outputs("out/*.mkv") == ["out/a.mkv", "out/b.mkv"]
    with pytest.raises(OutputError, match=r"'out/\*\.webm'"):
        outputs("x.webm")
    with pytest.raises(OutputError, match="would replace the source"):
        place_outputs(["a.mp4", "b.mp4"], "*.mp4", settings, lambda source: source)


def test_a_jobs_file_has_a_source_an_output_and_settings_for_each(films: Path, command: Run) -> None:
    (films / "night.toml").write_text(
        '[[job]]\nsource = "a.mp4"\noutput = "one.mkv"\n[job.video]\ncodec = "ffv1"\n'
        '[[job]]\nsource = "clips/c1.mp4"\npreset = "plants"\n[job.dream]\nstep_size = "0.01 + 0.002*t"\n'
    )
    code, out, _ = command("run", "--jobs", "night.toml", "-o", "out/", *FAST)
    assert (code, out.split()[::2]) == (0, ["one.mkv", "out/c1.dream.mp4"])
    assert 'codec = "ffv1"' in (films / "one.mkv.toml").read_text()
    assert 'step_size = "0.01 + 0.002*t"' in (films / "out" / "c1.dream.mp4.toml").read_text()
    code, _, err = command("run", "--jobs", "night.toml", "-o", "out/", *FAST)
    assert (code, err.count("finished before")) == (0, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = [", "not valid TOML"),
        ("", r"\[\[job\]\] for each source"),
        ("[[job]]\noutput = 'a.mp4'", "source is missing"),
        ("[[job]]\nsource = 3", "must be text"),
        ("[[job]]\nsource = 'a.mp4'\n[job.dreem]\noctaves = 3", "no group"),
        ("[[job]]\nsource = 'a.mp4'\n[job.dream]\noctaves = 99", "octaves"),
        ("[other]\n[[job]]\nsource = 'a.mp4'", "got also other"),
    ],
)
def test_a_wrong_jobs_file_is_refused_in_words(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text(text)
    with pytest.raises(SettingsError, match=told):
        read_jobs(str(tmp_path / "jobs.toml"), None, None, lambda source: "x.mp4")


def test_a_jobs_file_names_files_only(films: Path, command: Run) -> None:
    """A graph of filters is a program: it is taken from the command line only."""
    (films / "jobs.toml").write_text("[[job]]\nsource = 'lavfi:testsrc2=size=32x32:d=1'\noutput = 'x.mp4'\n")
    code, _, err = command("run", "--jobs", "jobs.toml", *FAST)
    assert code == 1
    assert "no such file" in err
    assert not (films / "x.mp4").exists()


def test_a_dry_run_counts_and_makes_nothing(films: Path, command: Run) -> None:
    before = sorted(films.rglob("*"))
    code, out, err = command("run", "a.mp4", "broken.mp4", "-o", "out/", *FAST[:-2], "--dry-run")
    rows = {line.split()[0]: line.split() for line in out.splitlines()[1:]}
    assert code == 1
    assert rows["a.mp4"][1:4] == ["out/a.dream.mp4", "25", "2"]
    assert "not a video" in out
    assert "Nothing was made." in err
    assert sorted(films.rglob("*")) == before


@pytest.fixture
def photos(films: Path) -> Path:
    folder = films / "photos"
    folder.mkdir()
    for name in ("p", "q"):
        write_image(folder / f"{name}.png", np.full((48, 64, 3), 90, np.uint8))
    return folder


ON_IMAGES = FAST[:-2]  # an image has no frames


def test_a_batch_of_images(photos: Path, command: Run) -> None:
    assert command("image", "a.mp4", "-o", "x.png", *ON_IMAGES)[0] == 2
    (photos / "r.png").write_bytes(b"broken")
    code, out, err = command("image", "photos", "-o", "dreams/*.jpg", *ON_IMAGES)
    assert (code, out.split()) == (1, ["dreams/p.jpg", "dreams/q.jpg"])
    assert "dreamvid image photos/r.png" in err
    assert [line.split()[1] for line in err.splitlines() if line.startswith("photos/")] == ["done", "done", "failed"]
    assert command("image", "photos/p.png", "photos/q.png", "-o", "dreams/*.jpg", *ON_IMAGES)[2].count("finished") == 4


def test_a_jobs_file_of_images_has_settings_for_each(photos: Path, command: Run) -> None:
    (photos / "j.toml").write_text(
        '[[job]]\nsource = "photos/p.png"\n[[job]]\nsource = "photos/q.png"\noutput = "other.png"\n'
        "[job.dream]\nstep_size = 0.05\n"
    )
    code, out, _ = command("image", "--jobs", "photos/j.toml", "-o", "dreams/", *ON_IMAGES)
    assert (code, out.split()) == (0, ["dreams/p.dream.png", "other.png"])
    assert (photos.parent / "dreams" / "p.dream.png").read_bytes() != (photos.parent / "other.png").read_bytes()
    assert "not both" in command("image", "photos/p.png", "--jobs", "photos/j.toml")[2]


def test_a_batch_of_zooms(photos: Path, command: Run) -> None:
    words = ("zoom", "photos/p.png", "photos/q.png", "-o", "z/", *FAST, "--size", "64x48")
    code, out, _ = command(*words)
    assert (code, out.split()[::2]) == (0, ["z/p.zoom.mp4", "z/q.zoom.mp4"])
    code, out, err = command(*words)
    assert (code, out, err.count("finished before")) == (0, "", 2)


def test_a_dry_run_of_images_and_zooms_makes_nothing(photos: Path, command: Run) -> None:
    (photos / "r.png").write_bytes(b"broken")
    before = sorted(photos.parent.rglob("*"))
    for words, numbers in (
        (("image", *ON_IMAGES), []),
        (("zoom", *ON_IMAGES, "--size", "64x48", "--frames", "0:90"), ["90", "1"]),
    ):
        code, out, err = command(*words[:1], "photos", "-o", "new/", *words[1:], "--dry-run")
        rows = {line.split()[0]: line.split()[2:] for line in out.splitlines()[1:]}
        assert code == 1
        assert rows["photos/p.png"][: len(numbers)] == numbers
        assert rows["photos/p.png"][-1] in ("MB", "GB")
        assert "r.png" in " ".join(rows["photos/r.png"])
        assert "Nothing was made." in err
    assert sorted(photos.parent.rglob("*")) == before
