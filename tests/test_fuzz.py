"""Random input everywhere: whatever comes in, what comes out is a result or a DreamvidError."""

import io
import json
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tomli_w
import torch
from graph_writer import write_graph
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import squeezenet1_1

from dreamvid import Dreamer
from dreamvid.audio.decode import decode_audio
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.errors import DreamvidError
from dreamvid.image.io import read_image
from dreamvid.networks.network import Network, load_network
from dreamvid.networks.tensorflow.graphdef import GraphNode, read_graph
from dreamvid.networks.tensorflow.ops import FrozenGraph
from dreamvid.networks.weights import read_checkpoint
from dreamvid.render.farm.segment_store import load_checkpoint
from dreamvid.render.job import Job
from dreamvid.render.output import OutputTarget
from dreamvid.settings import Settings, load_settings
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.settings.presets import find_preset
from dreamvid.settings.schedule import parse_schedule
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import open_source


def some(count: int) -> Any:
    """So many examples, the same ones in every run."""
    unchecked = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return examples(max_examples=count, deadline=None, derandomize=True, suppress_health_check=unchecked)


def attempt(work: Callable[[], Any]) -> Any:
    """The result, or None after a DreamvidError with words in it; anything else that is raised fails the test."""
    try:
        return work()
    except DreamvidError as error:
        if not str(error).strip():
            raise AssertionError("an error without words") from error
        return None


def mutated(whole: bytes) -> st.SearchStrategy[bytes]:
    """The same bytes, cut off somewhere and with some of them changed."""
    changes = st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=6)

    def change(cut: int, places: list[tuple[int, int]]) -> bytes:
        data = bytearray(whole)
        for place, value in places:
            data[place] = value
        return bytes(data[:cut])

    cuts = st.one_of(st.just(len(whole)), st.integers(0, len(whole)))
    return st.builds(change, cuts, changes)


# --- texts

_OBJECTIVE_WORDS = st.sampled_from(
    [
        *(
            "blocks.1.0",
            "blocks.4.1",
            "class:",
            "class",
            "peacock",
            '"golden retriever"',
            "guide(",
            '"x.jpg"',
            ")",
            "(",
        ),
        *("@", "+", "-", "*", ":", "0-3", "1,5,9", "99999999999", "0.5", "1e999", " ", "|", "5s", "\n", "é", "٣", "\0"),
    ]
)
_SCHEDULE_WORDS = st.sampled_from(
    [
        *("0s:", "4s:", "24f:", "1.2", ",", "ease-in-out", "hold", "elastic", "t", "f", "beat", "tau", "(", ")", "+"),
        *("-", "*", "/", "%", "**", "sin(", "exp(", "log(", "sqrt(", "noise(", "pow(", "clamp(", "square(", "1e308"),
        *("1e999", " ", "²", "٣", "\0", "_"),
    ]
)


def texts(words: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.lists(words, max_size=12).map("".join), st.text(max_size=30))


@pytest.fixture(scope="module")
def small_network() -> Network:
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    return Network("small", body)


@some(200)
@given(texts(_OBJECTIVE_WORDS))
@example("(" * 5000)
@example("0:" + "1," * 5000 + "1")
@example("1e308*1e308*a")
def test_objectives(small_network: Network, text: str) -> None:
    parsed = attempt(lambda: parse_objective(text))
    if parsed is not None:
        assert attempt(lambda: parse_objective(str(parsed))) == parsed
        if "guide(" not in text:
            attempt(lambda: parsed.resolve(small_network.table))
    stations = attempt(lambda: parse_timeline(text))
    if stations is not None:
        assert sum(weight for _, weight in stations.at(3.0)) == pytest.approx(1)


@some(200)
@given(texts(_SCHEDULE_WORDS), st.floats(0, 1e6))
@example("(" * 5000, 0.0)
@example("noise(1e308)+square(1e308)*saw(-1e308)", 0.0)
@example("+".join("t" * 900), 1.0)
def test_schedules(text: str, time: float) -> None:
    parsed = attempt(lambda: parse_schedule(text))
    if parsed is not None:
        value = attempt(lambda: parsed.at(time, int(time * 30), dict.fromkeys(parsed.names, 0.5)))
        assert value is None or np.isfinite(value)


# --- settings

_NAMES = [name for _, name, _ in setting_fields()]
_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.integers(-(10**20), 10**20),
    st.sampled_from([10**400, -1, 0, 2**63, "1e10000000", "9" * 5000, "0" * 5000 + ":1", "1x1", "1/0", ":", "cuda:99"]),
    st.floats(),
    st.booleans(),
    texts(_SCHEDULE_WORDS),
    texts(_OBJECTIVE_WORDS),
    st.lists(st.text(max_size=5), max_size=3),
)


@some(250)
@given(st.dictionaries(st.one_of(st.sampled_from(_NAMES), st.text(max_size=8)), _VALUES, max_size=3))
@example({"fps": "1e10000000"})
@example({"fps": "1/" + "9" * 5000})
def test_settings(overrides: dict[str, Any]) -> None:
    made = attempt(lambda: load_settings(None, **{k: v for k, v in overrides.items() if k}))
    if made is not None:
        attempt(lambda: made.check_schedules(0.2, 10))
        made.video.size_pixels(), made.video.frame_range(), made.video.rate()


_LEAF = st.one_of(_VALUES.filter(lambda value: not isinstance(value, int) or abs(value) < 2**63), st.datetimes())
_GROUPS = st.sampled_from([*Settings.model_fields, "kind", "provenance"])
_TABLE = st.dictionaries(
    st.one_of(st.sampled_from(_NAMES), st.text(max_size=6)), st.one_of(_LEAF, st.just({})), max_size=4
)
_TABLES = st.dictionaries(st.one_of(_GROUPS, st.text(max_size=6)), st.one_of(_LEAF, _TABLE), max_size=5)


def _toml(tables: dict[str, Any]) -> bytes:
    return tomli_w.dumps(tables).encode("utf-8", "replace")


@some(250)
@given(st.one_of(_TABLES.map(_toml), st.binary(max_size=60), texts(_OBJECTIVE_WORDS).map(str.encode)))
@example(b"a=" + b"[" * 5000)
@example(b"a=" + b"{a=" * 5000)
@example(b"[dream]\noctaves = " + b"9" * 5000)
@example(b"[dream]\nstep_size = " + b"9" * 400)
@example(b"[schedules]\nstep = 5\n")
@example(b"schedules = 5\n")
@example(b"\xff\xfe")
def test_preset_files(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "preset.toml"
    file.write_bytes(content)
    attempt(lambda: load_settings(file))


@some(60)
@given(st.text(max_size=20))
@example("../../etc/passwd")
@example("a\0.toml")
@example("x" * 300 + ".toml")
def test_preset_names(name: str) -> None:
    attempt(lambda: find_preset(name))


@some(60)
@given(st.text(max_size=20), st.sampled_from(["", ".mp4", "/x.mp4"]))
@example("x" * 300, ".mp4")
@example("x" * 300, "/x.mp4")
@example("x" * 249, ".mp4")
@example("a\0", ".mp4")
@example("%d", ".mp4")
@example("\udcff", ".mp4")
@example("\ud800", ".mp4")
def test_names_of_films(tmp_path: Path, name: str, suffix: str) -> None:
    path = f"{tmp_path}/{name}{suffix}"
    attempt(lambda: open_source(path))
    attempt(lambda: OutputTarget.from_path(path, load_settings()).exists())
    attempt(lambda: decode_audio(path))
    attempt(lambda: read_checkpoint(Path(path)))


# --- frames

_TINY = {"objective": "blocks.0.0", "octaves": 3, "iterations": 1, "warm_iterations": 1, "dream_height": 16}


@pytest.fixture(scope="module")
def dreamer() -> Dreamer:
    return Dreamer(load_settings(device="cpu", **_TINY))


@some(25)
@given(
    st.lists(st.tuples(st.integers(1, 33), st.integers(1, 77)), min_size=1, max_size=2),
    st.integers(1, 3),
    st.data(),
)
@example([(1, 1)], 3, None)
@example([(1, 77), (33, 1)], 2, None)
@example([(33, 77), (33, 77)], 2, None)
def test_frames_of_any_shape(dreamer: Dreamer, sizes: list[tuple[int, int]], each: int, data: Any) -> None:
    dreamer.reset()
    chance = np.random.default_rng(0)
    for height, width in sizes:
        for number in range(each):
            frame = chance.integers(0, 256, (height, width, 3), dtype=np.uint8)
            if number % 2 and data is not None:
                frame[:] = data.draw(st.sampled_from([0, 128, 255]))  # flat: no gradient and no flow to be found
            dreamed = dreamer.dream(frame)
            assert (dreamed.shape, dreamed.dtype) == (frame.shape, frame.dtype)


@some(40)
@given(
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from(["uint8", "uint16", "int8", "float32", "float64", "bool", "complex64", "object"]),
)
def test_what_is_no_frame(dreamer: Dreamer, shape: list[int], kind: str) -> None:
    dreamer.reset()
    attempt(lambda: dreamer.dream(np.zeros(shape, kind)))
    if kind in ("uint8", "float32", "float64", "bool", "complex64"):
        attempt(lambda: dreamer.dream(torch.zeros(shape, dtype=getattr(torch, kind))))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_are_no_colors(dreamer: Dreamer, value: float) -> None:
    dreamer.reset()
    frame = torch.rand(3, 9, 9)
    frame[1, 4, 4] = value
    attempt(lambda: dreamer.dream(frame))
    dreamer.reset()


# --- files


def _state() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}


def _saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


_CHECKPOINTS = (
    _saved(_state()),
    _saved(_state(), _use_new_zipfile_serialization=False),
    safetensors.torch.save(_state()),
    pickle.dumps({"a": [1, 2]}),
)


@some(150)
@given(st.one_of(*map(mutated, _CHECKPOINTS), st.binary(max_size=80)), st.sampled_from([".pth", ".pt", ".safetensors"]))
@example(b"", ".pth")
@example(b"PK\x03\x04", ".pth")
@example((2**62).to_bytes(8, "little") + b"{}", ".safetensors")
@example(b"\x80\x02.", ".pth")
@example(b"0", ".pth")
def test_checkpoints(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(content)
    state = attempt(lambda: read_checkpoint(file))
    assert state is None or all(isinstance(value, torch.Tensor) for value in state.values())
    load_checkpoint(file)  # what a render keeps; None for anything else


@pytest.mark.parametrize("kind", ["sparse", "meta", "complex", "integer", "scalar"])
def test_tensors_of_other_kinds_are_no_weights_or_are_taken(tmp_path: Path, kind: str) -> None:
    state = dict(squeezenet1_1().state_dict())
    first = next(iter(state))
    value = state[first]
    state[first] = {
        "sparse": lambda: value.to_sparse(),
        "meta": lambda: value.to("meta"),
        "complex": lambda: value.to(torch.complex64),
        "integer": lambda: value.to(torch.int64),
        "scalar": lambda: value.sum(),
    }[kind]()
    file = tmp_path / "weights.pth"
    torch.save(state, file)
    attempt(lambda: load_network("squeezenet1_1", str(file)))


def _graph() -> list[GraphNode]:
    filters = np.ones((3, 3, 3, 2), np.float32)
    strides = {"strides": (1, 2, 2, 1), "padding": "SAME"}
    return [
        GraphNode("input", "Placeholder", (), {}),
        GraphNode("w", "Const", (), {"value": filters}),
        GraphNode("b", "Const", (), {"value": np.zeros(2, np.float32)}),
        GraphNode("conv", "Conv2D", ("input", "w"), strides),
        GraphNode("sum", "BiasAdd", ("conv", "b"), {}),
        GraphNode("relu", "Relu", ("sum",), {}),
        GraphNode("pool", "MaxPool", ("relu",), {**strides, "ksize": (1, 3, 3, 1)}),
        GraphNode("norm", "LRN", ("pool",), {"depth_radius": 5, "bias": 1.0, "alpha": 1e-4, "beta": 0.5}),
    ]


def test_the_graph_that_is_damaged_below_is_sound() -> None:
    module = FrozenGraph(read_graph(write_graph(_graph()), "it"), "norm")
    assert module(torch.rand(1, 3, 8, 8)).shape == (1, 2, 2, 2)


@some(400)
@given(st.one_of(mutated(write_graph(_graph())), st.binary(max_size=80)))
def test_frozen_graphs(content: bytes) -> None:
    nodes = attempt(lambda: read_graph(content, "it"))
    if nodes is not None:
        attempt(lambda: FrozenGraph(nodes, "norm"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=32x32:rate=5:duration=1", "-c:v", "libx264", "-movflags", "faststart"]
    run_ffmpeg([*source, f"file:{path}"], "making a film")
    return path.read_bytes()


@some(12)
@given(st.data(), st.sampled_from([".mp4", ".mkv", ".txt"]))
def test_films(film: bytes, tmp_path: Path, data: Any, suffix: str) -> None:
    file = tmp_path / f"film{suffix}"
    file.write_bytes(data.draw(st.one_of(mutated(film), st.binary(max_size=50))))
    source = attempt(lambda: open_source(file))
    info = source and attempt(lambda: probe(source))
    if info:
        attempt(lambda: scan(source, info))


@some(60)
@given(st.data(), st.sampled_from([".png", ".jpg", ".webp", ".tif", ".bmp"]))
def test_images(tmp_path: Path, data: Any, suffix: str) -> None:
    whole = io.BytesIO()
    Image.new("RGB", (7, 5), "teal").save(whole, {".jpg": "jpeg", ".tif": "tiff"}.get(suffix, suffix[1:]))
    file = tmp_path / f"image{suffix}"
    file.write_bytes(data.draw(st.one_of(mutated(whole.getvalue()), st.binary(max_size=50))))
    attempt(lambda: read_image(file))


_FIELDS = ["format", "identity", "plan", "published", "stamp", "warnings"]
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=4),
    ),
    max_leaves=6,
)


@some(120)
@given(
    st.dictionaries(
        st.sampled_from(["manifest", "finished", "joined", "beside"]),
        st.one_of(_JSON.map(json.dumps), st.text(max_size=9)),
    )
)
def test_what_a_disk_made_of_a_jobs_folder(records: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        destination = OutputTarget.from_path(Path(folder) / "dream.mkv", load_settings(codec="ffv1"))
        destination.job_folder.mkdir()
        for name, text in records.items():
            (destination.job_folder / f"{name}.json").write_text(text, encoding="utf-8")

        def take_up() -> None:
            with Job(destination) as job:
                job.differs_from({"a": "b"})
                job.joined_warnings()
                if job.begun:
                    job.unfinished(job.resume({}))

        attempt(take_up)
