"""The 2015 network: its table, its file, and what it computes against TensorFlow's definitions."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from graph_writer import field, varint, write_graph
from tensorflow_definitions import definitions

from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.errors import NetworkError
from dreamvid.networks.network import Network, load_network
from dreamvid.networks.tensorflow import inception5h
from dreamvid.networks.tensorflow.graphdef import GraphNode, read_graph
from dreamvid.networks.tensorflow.inception5h import architecture
from dreamvid.networks.tensorflow.ops import FrozenGraph


@pytest.fixture(scope="module")
def nodes() -> list[GraphNode]:
    """The graph with other constants than the table's, so that those of the file must be used."""
    torch.manual_seed(3)
    changed = {"depth_radius": 3, "bias": 2.0, "alpha": 2e-4, "beta": 0.75}
    return [GraphNode(n.name, n.op, n.inputs, changed if n.op == "LRN" else n.attributes) for n in architecture()]


@pytest.fixture(scope="module")
def file(nodes: list[GraphNode], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "tensorflow_inception_graph.pb"
    path.write_bytes(write_graph(nodes))
    return path


@pytest.fixture(scope="module")
def network(file: Path) -> Network:
    return load_network("inception5h", str(file))


@pytest.fixture(scope="module")
def trunk(nodes: list[GraphNode]) -> list[GraphNode]:
    """The graph without its classifiers, which are defined for one size of image."""
    return [node for node in nodes if not node.name.startswith(("head", "nn", "softmax", "avgpool"))]


def convolution_layers(network: Network) -> list[str]:
    return [layer.name for layer in list(network.table.rows.values()) if layer.kind in ("Conv2d", "Conv2dSame")]


def test_the_table_has_the_numbers_of_the_published_graph() -> None:
    network = load_network("inception5h", "random")
    layers = convolution_layers(network)
    assert len(layers) == 59
    assert sum(network.table.channels(layer) for layer in layers) == 7548
    for layer, channels in {"mixed3a": 256, "mixed4a": 508, "mixed4c": 512, "mixed4d": 528, "mixed5b": 1024}.items():
        assert network.table.channels(layer) == channels
    assert (
        network.table.channels("mixed4d_3x3_bottleneck_pre_relu")
        == network.table.channels("mixed4d_3x3_bottleneck")
        == 144
    )
    assert network.table.channels(network.table.logits) == 1008


def test_strides_and_receptive_fields() -> None:
    layers = {layer.name: layer for layer in list(load_network("inception5h", "random").table.rows.values())}
    # 7; pool +2·2; 3x3 +4·2; pool +4·2: all before mixed3a's 5x5, which adds 8·4.
    assert (layers["conv2d0"].stride, layers["conv2d0"].receptive_field) == (2, 7)
    assert (layers["localresponsenorm0"].stride, layers["localresponsenorm0"].receptive_field) == (4, 11)
    assert (layers["mixed3a"].stride, layers["mixed3a"].receptive_field) == (8, 7 + 4 + 8 + 8 + 32)


@pytest.mark.parametrize("size", [(40, 47), (35, 42)])
def test_every_layer_before_the_heads_computes_what_tensorflow_defines(
    size: tuple[int, int], network: Network, trunk: list[GraphNode]
) -> None:
    layers = [layer for layer in tuple(network.table.rows) if layer in {node.name for node in trunk}]
    assert len(layers) == 57 * 2 + 9 * 2 + 6
    x = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, got = definitions(trunk, x * 255 - 117), network.truncate(layers)(x)
    for layer in layers:
        error = (got[layer] - expected[layer]).abs().max() / expected[layer].abs().max()
        assert error <= 1e-4, (layer, error)


@torch.no_grad()
def test_heads_compute_what_tensorflow_defines(network: Network, nodes: list[GraphNode]) -> None:
    """At 224 pixels, the one size for which they are defined."""
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    expected = definitions(nodes, x * 255 - 117)
    layers = ["nn0", "head1_bottleneck", "softmax0", "softmax2_pre_activation"]
    for layer, activation in network.truncate(layers)(x).items():
        assert (activation - expected[layer]).abs().max() <= 1e-4 * expected[layer].abs().max(), layer


@pytest.mark.parametrize("layer", ["conv2d0_pre_relu", "mixed3b_1x1_pre_relu", "mixed5b"])
def test_gradients_are_those_of_the_definitions(layer: str, network: Network, trunk: list[GraphNode]) -> None:
    # In double precision: next to a kink of a ReLU or a pooling, rounding would decide the slope.
    x = torch.rand(1, 3, 40, 47, dtype=torch.double, generator=torch.Generator().manual_seed(2)).requires_grad_()
    expected = definitions(trunk, x * 255 - 117)[layer].square().mean()
    got = network.truncate([layer]).double()(x)[layer].square().mean()
    (wanted,), (gradient,) = (torch.autograd.grad(value, x) for value in (expected, got))
    assert (gradient - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def test_heads_take_images_of_other_sizes(network: Network) -> None:
    heads = network.truncate(["softmax2", "nn1"])(torch.rand(1, 3, 40, 260))
    assert {name: one.shape for name, one in heads.items()} == {"softmax2": (1, 1008), "nn1": (1, 1024)}


def test_objectives_of_the_notebook(network: Network) -> None:
    text = "mixed4d_3x3_bottleneck_pre_relu:139 + mixed3b_1x1_pre_relu:101 + mixed4c"
    assert parse_objective(text).resolve(network.table).layers == (
        "mixed4d_3x3_bottleneck_pre_relu",
        "mixed3b_1x1_pre_relu",
        "mixed4c",
    )


def test_the_archive_is_read_too(file: Path, network: Network, tmp_path: Path) -> None:
    archive = tmp_path / "inception5h.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(file, inception5h.GRAPH_FILE)
    x = torch.rand(1, 3, 40, 40)
    first, second = (one.truncate(["mixed3a"])(x)["mixed3a"] for one in (network, load_network("inception5h", archive)))
    assert torch.equal(first, second)


def test_a_file_that_is_no_such_graph_is_refused(file: Path, tmp_path: Path, nodes: list[GraphNode]) -> None:
    path = tmp_path / "graph.pb"
    module = inception5h.Inception5h()

    def refused(content: bytes, message: str) -> None:
        path.write_bytes(content)
        with pytest.raises(NetworkError, match=message):
            module.load(path)

    whole = file.read_bytes()
    for cut in (1, 100, len(whole) // 2, len(whole) - 3):
        refused(whole[:cut], r"not a complete frozen TensorFlow graph")
    refused(b"", "it has no nodes")
    refused(b"This is a text.", "not a complete frozen TensorFlow graph")
    refused(b"PK\x03\x04 no archive", "cannot be read")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("other.pb", whole[:10])
    refused(packed.getvalue(), f"{inception5h.GRAPH_FILE}")
    fewer = [node for node in nodes if not node.name.startswith("mixed5b_3x3_pre_relu")]
    refused(write_graph(fewer), r"mixed5b_3x3_pre_relu/conv is missing")
    narrow = np.zeros((1, 1, 3, 4), np.float32)
    other = [GraphNode("w", "Const", (), {"value": narrow}), GraphNode("c", "Conv2D", ("x", "w"), {})]
    refused(write_graph(other), r"not that of inception5h.*and 57 more")
    with pytest.raises(NetworkError, match="no file"):
        load_network("inception5h", str(tmp_path / "absent.pb"))


def test_no_length_or_number_in_a_file_is_trusted() -> None:
    name, op = field(1, "w"), field(2, "Const")

    def graph(value: bytes) -> bytes:
        return field(1, name + op + field(5, field(1, "value") + field(2, field(8, value))))

    def shape(*sizes: int) -> bytes:
        return field(2, b"".join(field(2, field(1, size)) for size in sizes))

    huge = [
        graph(field(1, 1) + shape(2**31, 2**31) + field(5, b"\0\0\0\0")),
        graph(field(1, 1) + shape(-1) + field(4, b"")),
        graph(field(1, 1) + shape(2, 3) + field(4, b"\0" * 20)),
        graph(field(1, 3) + shape(1) + field(7, varint(2**40))),
        varint(1 << 3 | 2) + varint(2**62) + b"xx",
        b"\x0a" + b"\xff" * 11,
        varint(1 << 3 | 3),
    ]
    for content in huge:
        with pytest.raises(NetworkError, match="not a complete frozen TensorFlow graph"):
            read_graph(content, "it")
    (node,) = read_graph(graph(field(1, 1) + shape(2, 3) + field(5, b"\0\0\x80\x3f")), "it")
    assert (node.attributes["value"] == np.ones((2, 3))).all()


def test_operations_that_are_not_those_of_the_network_are_refused() -> None:
    start = GraphNode("input", "Placeholder", (), {})
    for node, message in [
        (GraphNode("x", "PyFunc", ("input",), {}), r"'x' \(PyFunc\) is not one of those"),
        (GraphNode("x", "Relu", ("later",), {}), "reads .'later'."),
        (GraphNode("x", "Relu", ("x",), {}), "reads .'x'."),
        (GraphNode("forward", "Relu", ("input",), {}), "name is taken"),
        (GraphNode("x", "MaxPool", ("input",), {"ksize": (1, 3, 3, 1), "padding": "SAME"}), "has strides None"),
    ]:
        with pytest.raises(NetworkError, match=message):
            FrozenGraph([start, node], "x")


def test_without_a_connection_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match=r"could not be downloaded.*inception5h.zip.*`weights=FILE`"):
        load_network("inception5h")
    assert list(tmp_path.rglob("*.part")) == []


def test_a_wrong_archive_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "served.zip").write_bytes(b"another file")
    monkeypatch.setattr(inception5h, "URL", (tmp_path / "served.zip").as_uri())
    with pytest.raises(OSError, match=r"SHA-256 is [0-9a-f]{64} instead of d13569f6"):
        inception5h.fetch(tmp_path / "kept.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["served.zip"]


def test_against_tensorflow(file: Path, network: Network) -> None:
    """A check for development: it runs where TensorFlow is installed, which dreamvid does not need."""
    tensorflow = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    tf = tensorflow.compat.v1
    layers = convolution_layers(network)
    assert len(layers) == 59
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(4)).requires_grad_()
    got = network.truncate(layers)(x)
    graph = tf.Graph()
    with graph.as_default(), tf.Session() as session:
        definition = tf.GraphDef()
        definition.ParseFromString(file.read_bytes())
        image = tf.placeholder(tf.float32, (1, 224, 224, 3))
        outputs = tf.import_graph_def(definition, {"input": image * 255 - 117}, [f"{layer}:0" for layer in layers])
        gradients = [tf.gradients(tf.reduce_mean(tf.square(output)), image)[0] for output in outputs]
        fed = {image: x.detach().permute(0, 2, 3, 1).numpy()}
        for layer, output, slope in zip(layers, outputs, gradients, strict=True):
            values = session.run([output, slope], fed)
            activation, gradient = (torch.from_numpy(value).permute(0, 3, 1, 2) for value in values)
            (own,) = torch.autograd.grad(got[layer].square().mean(), x, retain_graph=True)
            errors = [(a - b).abs().max() / b.abs().max() for a, b in ((got[layer], activation), (own, gradient))]
            print(f"{layer}: activations {errors[0]:.1e}, gradients {errors[1]:.1e}")
            assert max(errors) <= 1e-4, layer
