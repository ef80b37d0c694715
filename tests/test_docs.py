"""The documents: links lead somewhere, commands are known, and the examples of docs/extending.md run."""

import math
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from motion_textures import texture
from renders import frames_of
from renders import tiny as small

from dreamvid import dream_frames, load_settings
from dreamvid.cli.app import main
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.errors import DreamvidError
from dreamvid.motion.estimator import load_estimator
from dreamvid.networks.network import load_network
from dreamvid.networks.registry import network_fingerprint
from dreamvid.render.engine import render_video
from dreamvid.runtime import plugins
from dreamvid.runtime.plugins import FLOW_ESTIMATORS
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+/)+(?:\w+\.py)?)`", document.read_text(encoding="utf-8"))
    missing = [name for name in named if not any((folder / name).exists() for folder in (ROOT, ROOT / "dreamvid"))]
    assert missing == []


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of docs/extending.md, as an installed one."""
    blocks = BLOCK.findall((ROOT / "docs" / "extending.md").read_text(encoding="utf-8"))
    for _language, name, content in blocks:
        if name:
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(content, encoding="utf-8")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / "dreamvid_examples-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins._entry_points.cache_clear()
    yield tmp_path
    plugins._entry_points.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "dreamvid_examples"]:
        del sys.modules[name]


def tiny(**chosen: object) -> np.ndarray:
    """Dream three frames of noise with the settings."""
    settings = load_settings(
        dream_height=48, octaves=1, iterations=1, warm_iterations=1, cadence=1, device="cpu", **chosen
    )
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    return np.stack(list(dream_frames(frames, settings, fps=15)))


def test_a_part_of_another_package_is_known_by_its_name(examples: Path) -> None:
    assert "pan" in FLOW_ESTIMATORS.names()
    assert FLOW_ESTIMATORS.origin("pan") == "dreamvid-examples 1.0"
    with pytest.raises(DreamvidError, match=r"'pann'.*pan"):
        load_settings(flow="pann")


def test_the_example_of_a_flow_estimator(examples: Path) -> None:
    image = texture(48, 80)
    previous, this = image[..., :64], image[..., 5:69]  # the camera moves 5 pixels to the right
    estimator = load_estimator("pan")
    backward, forward = estimator.estimate(estimator.prepare(this), estimator.prepare(previous))
    assert backward.shape == forward.shape == (1, 2, 48, 64)
    torch.testing.assert_close(backward.mean(dim=(2, 3)), torch.tensor([[5.0, 0.0]]), atol=0.5, rtol=0)
    torch.testing.assert_close(forward, -backward)
    assert not np.array_equal(tiny(flow="pan"), tiny(flow="none"))


def test_the_example_of_an_objective_term(examples: Path) -> None:
    text = "peak(blocks.1.0) - 0.2*blocks.0.0"
    objective = parse_objective(text)
    assert str(objective) == text
    with pytest.raises(DreamvidError, match="peak"):
        parse_objective("peek(blocks.1.0)")
    x = torch.tensor([[[[1.0]], [[-3.0]], [[2.0]]]])
    term = objective.terms[0][1]
    resolved = parse_objective("peak(blocks.1.0)").resolve(load_network("efficientnet_lite2", "random").table)
    assert term.fingerprint() == ""
    assert resolved({"blocks.1.0": x}).item() == 4.0
    assert not np.array_equal(tiny(objective=text), tiny(objective="blocks.1.0 - 0.2*blocks.0.0"))


def test_the_example_of_a_network_family(examples: Path) -> None:
    network = load_network("gabor:edges")
    assert [row for row in network.table.rows if network.table.resolve(row) == row] == ["filters", "stripes"]
    across = torch.linspace(0, 64 * math.tau / 8, 65)[:-1]
    upright = (0.5 + 0.5 * torch.cos(across)).expand(1, 3, 64, 64)  # stripes of 8 pixels that run down
    responses = network.truncate(["stripes"])(upright)["stripes"][..., 16:-16, 16:-16].mean(dim=(0, 2, 3))
    assert responses.argmax() == 8
    assert not np.array_equal(tiny(model="edges", objective="stripes"), tiny(objective="blocks.1.0"))
    assert network_fingerprint("edges") == "gabor, dreamvid-examples 1.0, 1"
    with pytest.raises(DreamvidError, match="edges"):
        load_network("gabor:edgse")


def test_the_example_of_a_source(examples: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    np.save(examples / "frames.npy", frames)
    source = open_source(examples / "frames.npy", images_rate=Fraction(12))
    assert source.kind == "npy"
    assert np.array_equal(frames_of(examples / "frames.npy"), frames)
    output = examples / "dream.mkv"
    assert (
        render_video(
            examples / "frames.npy", output, small(codec="ffv1", input_fps="12", objective="blocks.0.0")
        ).frames
        == 6
    )
    assert probe(open_source(output)).frame_rate == 12
    np.save(examples / "frames.npy", frames.astype(np.float32))
    with pytest.raises(DreamvidError, match="float32"):
        open_source(examples / "frames.npy")


def test_the_example_of_a_sink(examples: Path, film: Path) -> None:
    output = examples / "dream.npy"
    result = render_video(film, output, small(frames="0:10"))
    lossless = examples / "dream.mkv"
    render_video(film, lossless, small(frames="0:10", codec="ffv1"))
    frames = np.load(output)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, frames_of(lossless))
    assert any("sound" in warning for warning in result.warnings)
    assert {path.name for path in examples.glob("*dream*") if path.is_file()} == {
        "dream.npy",
        "dream.npy.toml",
        "dream.mkv",
        "dream.mkv.toml",
    }
    with pytest.raises(DreamvidError, match=r"\.npy"):
        render_video(film, examples / "dream.npz", small())


def test_the_drawing_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))
    order = runpy.run_path(str(ROOT / "tests" / "test_layering.py"))["ORDER"]
    drawn = [name for row in script["LAYERS"] for name, _purpose in row]
    assert drawn[::-1] == [name for name in order if name != "__main__"]
    assert script["OUTPUT"].read_text(encoding="utf-8") == script["draw"]()


PRIVATE = re.compile(
    r"\btorch(?:\.\w+)*\._[a-z]\w*|\btorch\.ops\.(?!aten)\w+\.\w+|\bfrom (?!dreamvid)\S+ import _\w+"
    r"|\bfrom \S+\._\w+ import|\._(?:parameters|modules|buffers)\b"
)


def test_private_interfaces_of_libraries_are_listed() -> None:
    listed = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "dreamvid").rglob("*.py")]
    used = {match for source in sources for match in PRIVATE.findall(source)}
    assert used, "the pattern finds nothing"
    assert sorted(name for name in used if f"{name}`" not in listed) == []


COMMAND = re.compile(r"^(?:\.venv/bin/)?dreamvid ([a-z]+)( .*)?$", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_and_flag_is_known(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = document.read_text(encoding="utf-8")
    lines = [content for language, _name, content in BLOCK.findall(text) if language == "sh"]
    lines += re.findall(r"`(dreamvid [a-z][^`]*)`", text)
    known: dict[str, set[str]] = {}
    for name, rest in COMMAND.findall("\n".join(lines)):
        # `presets` has commands of its own, with their own flags.
        words = [name, *re.findall(r"^ ([a-z]+)", rest)] if name == "presets" else [name]
        command = " ".join(words)
        if command not in known:
            assert main([*words, "--help-all"]) == 0, command
            known[command] = {*re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out), "--help", "--help-all"}
        flags = re.findall(r"(?<!\S)--[a-z][a-z-]+", rest.partition("  #")[0])
        assert [flag for flag in flags if flag not in known[command]] == [], f"dreamvid {name}{rest}"
