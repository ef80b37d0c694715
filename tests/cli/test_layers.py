"""`dreamvid layers`: the counts of the network of the first dreams, and images of networks."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dreamvid.networks.network import Network, load_network

Run = Callable[..., Any]


def test_the_2015_network_has_59_convolutions_with_7548_channels(dreamvid: Run) -> None:
    done = dreamvid("layers", "inception5h")
    assert done.code == 0
    rows = {line.split()[0]: line.split() for line in done.out.splitlines()}
    assert rows["mixed4d_3x3_bottleneck_pre_relu"][1:3] == ["144", "16"]
    assert rows["mixed4c"][1] == "512"
    convolutions = [int(row[1]) for row in rows.values() if row[-1] in ("Conv2d", "Conv2dSame")]
    assert (len(convolutions), sum(convolutions)) == (59, 7548)
    assert done.out.splitlines()[-1] == "59 convolution layers with 7,548 channels in all"


def test_its_file_is_asked_for_where_it_is_wrong(dreamvid: Run, tmp_path: Any) -> None:
    (tmp_path / "graph.pb").write_bytes(b"\x0a\x05abc")
    done = dreamvid("layers", "inception5h", "--weights", "graph.pb")
    assert done.code == 2
    assert "tensorflow_inception_graph.pb" in done.err


def drawn(path: Path) -> tuple[dict[str, ElementTree.Element], set[str]]:
    """The boxes of an image by the names on them, and the marked ones."""
    boxes: dict[str, ElementTree.Element] = {}
    marked = set()
    for box in ElementTree.parse(path).getroot().iter():
        if "data-layer" in box.attrib:
            words = next(part.text for part in box if part.tag.endswith("title")) or ""
            names = words.splitlines()[0].split(" = ")
            boxes |= dict.fromkeys(names, box)
            if box.get("class") == "dreamed":
                marked |= set(names)
    return boxes, marked


def is_inside(inner: ElementTree.Element, outer: ElementTree.Element) -> bool:
    x, y, width, height = (
        [float(next(part for part in box if part.tag.endswith("rect")).attrib[key]) for box in (inner, outer)]
        for key in ("x", "y", "width", "height")
    )
    across = x[1] <= x[0] and x[0] + width[0] <= x[1] + width[1]
    return across and y[1] < y[0] and y[0] + height[0] <= y[1] + height[1]


@pytest.mark.parametrize(
    ("words", "marked"),
    [
        (("efficientnet_lite2",), {"blocks.4.1"}),
        (
            ("efficientnet_lite2", "--objective", "blocks.3.2:strongest(9) | blocks.2 - class:7 @ 3s"),
            {"blocks.3.2", "blocks.2.2", "blocks.2", "classifier"},
        ),
        (("googlenet",), set()),
        (
            ("googlenet", "--objective", "mixed4c:139 + inception4d.branch2.1.conv"),
            {"inception4c", "inception4d.branch2.1.conv"},
        ),
        (("inception5h", "--objective", "mixed4d_3x3_bottleneck_pre_relu:139"), {"mixed4d_3x3_bottleneck_pre_relu"}),
    ],
)
def test_an_image_has_every_layer_and_marks_the_dreamed(
    dreamvid: Run, tmp_path: Path, words: tuple[str, ...], marked: set[str]
) -> None:
    done = dreamvid("layers", *words, "--graph", "network.svg")
    assert (done.code, done.out) == (0, "network.svg\n")
    boxes, found = drawn(tmp_path / "network.svg")
    assert set(boxes) == set(load_network(words[0], "random").table.rows)
    assert found == marked


def test_boxes_stand_in_their_blocks_and_beside_one_another(dreamvid: Run, tmp_path: Path) -> None:
    assert dreamvid("layers", "googlenet", "--graph", "network.svg").code == 0
    boxes, _ = drawn(tmp_path / "network.svg")
    for name, box in boxes.items():
        block = name.rpartition(".")[0]
        if block in boxes and not block.endswith(("branch2", "branch3", "branch4")):  # names of their last parts
            assert is_inside(box, boxes[block]), name
    texts = {name: [part.text for part in box if part.tag.endswith("text")] for name, box in boxes.items()}
    assert texts["inception4c.branch1.conv"] == ["conv", "128"]
    assert texts["inception4c.branch2"] == ["branch2.1 = branch2", "256"]


def graph_nodes(folder: Path) -> dict[str, Any]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    (file,) = folder.iterdir()
    (text,) = [event.graph_def for event in EventFileLoader(str(file)).Load() if event.graph_def]
    return {node.name: node for node in GraphDef.FromString(text).node}


def test_a_tensorboard_log_has_every_layer_and_what_it_reads(dreamvid: Run, tmp_path: Path) -> None:
    done = dreamvid("layers", "googlenet", "--graph", "log/googlenet", "--objective", "mixed4c")
    assert done.code == 0
    assert Path(done.out.strip()).is_file()
    nodes = graph_nodes(tmp_path / "log/googlenet")
    network: Network = load_network("googlenet", "random")
    assert set(nodes) == {"image"} | {name.replace(".", "/") for name in tuple(network.table.rows)}
    assert all(source in nodes for node in nodes.values() for source in node.input)
    assert nodes["conv1/conv"].input == ["image"]
    assert nodes["inception4c"].input == [f"inception4c/branch{path}" for path in ("1", "2/1", "3/1", "4/1")]
    assert (nodes["inception4c/branch2"].op, nodes["inception4c/branch2"].input) == (
        "Identity",
        ["inception4c/branch2/1"],
    )
    assert nodes["inception4c"].attr["channels"].i == 512
    assert {name for name, node in nodes.items() if node.device} == {"inception4c"}


def test_without_tensorboard_its_extra_is_named(dreamvid: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    done = dreamvid("layers", "squeezenet1_1", "--graph", "log")
    assert done.code == 2
    assert "pip install 'dreamvid[tensorboard]'" in done.err


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ("network.png", "--graph network.svg"),
        ("there.svg", "--overwrite"),
        ("file", "is a file"),
        ("none/network.svg", "does not exist"),
    ],
)
def test_an_image_that_cannot_be_written(dreamvid: Run, tmp_path: Path, graph: str, message: str) -> None:
    for name in ("there.svg", "file"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    done = dreamvid("layers", "squeezenet1_1", "--graph", graph)
    assert done.code == 2
    assert message in done.err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "there.svg"]
    assert dreamvid("layers", "squeezenet1_1", "--graph", "there.svg", "--overwrite").code == 0


def test_an_objective_that_the_network_lacks(dreamvid: Run) -> None:
    done = dreamvid("layers", "googlenet", "--graph", "network.svg", "--objective", "inception4x")
    assert done.code == 2
    assert "inception4" in done.err
