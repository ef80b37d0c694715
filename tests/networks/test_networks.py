"""Networks: what a truncated one computes, names, weights, errors."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from dreamvid.dream.objectives.terms.class_ import class_index, class_name
from dreamvid.errors import NetworkError, ObjectiveError
from dreamvid.networks import efficientnet_lite
from dreamvid.networks import registry as architectures
from dreamvid.networks.catalog import available_models, model_counts
from dreamvid.networks.network import Network, load_network
from dreamvid.networks.truncate import Truncated


@pytest.fixture(scope="module")
def embedded() -> Network:
    return load_network()


def randomise_batch_norms(module: nn.Module) -> None:
    """Batch norms of a fresh network are the identity: folding them would prove nothing."""
    generator = torch.Generator().manual_seed(1)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.3, generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(norm.weight, 0.7, 1.3, generator=generator)
            nn.init.normal_(norm.bias, 0, 0.2, generator=generator)


def hooked(module: nn.Module, x: Tensor, layers: list[str]) -> dict[str, Tensor]:
    """What the untouched modules put out, copied before anything behind them can overwrite it."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            outputs[name] = output.detach().clone()

        return hook

    handles = [module.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    with torch.no_grad():
        module(x)
    for handle in handles:
        handle.remove()
    return outputs


CASES = {
    efficientnet_lite.NAME: [
        "conv_stem",
        "bn1",
        "blocks.1.0.conv_dw",
        "blocks.1.0",
        "blocks.2.1.bn2",
        "blocks.4.1",
        "classifier",
    ],
    "googlenet": ["conv1.bn", "inception3a.branch2.1.bn", "inception4c", "inception5b.branch1.conv", "fc"],
    "inception_v3": ["Conv2d_2b_3x3", "Mixed_5b.branch5x5_2.bn", "Mixed_6a"],
    "vgg16": ["features.0", "features.5", "features.20", "features.30"],
    "resnet50": ["bn1", "layer1.0.conv1", "layer1.0.downsample.1", "layer2.3", "layer3.1.bn3", "fc"],
    "convnext_tiny": ["features.1.0.block.0", "features.3", "features.5.2", "classifier"],
    "timm:tf_efficientnet_lite0": ["conv_stem", "blocks.1.0.conv_dw", "blocks.4.1"],
    "timm:convnext_atto": ["stem.0", "stages.1.blocks.1", "head"],
    "densenet121": ["features.denseblock1.denselayer2.norm1", "features.transition1"],
}


@pytest.mark.parametrize("model", CASES)
def test_truncated_network_computes_what_the_untouched_one_computes(model: str) -> None:
    torch.manual_seed(0)
    architecture = architectures.find(model)
    module = architecture.build().eval()
    randomise_batch_norms(module)
    untouched = copy.deepcopy(module)
    truncated = Network(model, module, architecture.mean, architecture.std).truncate(CASES[model])
    x = torch.rand(2, 3, 81, 98)  # odd and even: both ways of TensorFlow's SAME padding
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (architecture.mean, architecture.std))
    expected = hooked(untouched, (x - mean) / std, CASES[model])
    with torch.no_grad():
        activations = truncated(x)
    assert list(activations) == CASES[model]
    for layer, activation in activations.items():
        error = (activation - expected[layer]).abs().max() / expected[layer].abs().max()
        assert error <= 1e-4, (layer, error)


def test_the_embedded_network_is_timms(embedded: Network) -> None:
    import timm

    ours, theirs = architectures.find(efficientnet_lite.NAME).build(), timm.create_model("tf_efficientnet_lite2")
    shapes = [{name: value.shape for name, value in module.state_dict().items()} for module in (ours, theirs)]
    assert list(shapes[0].items()) == list(shapes[1].items())  # in the same order: the file of weights is read by it
    table = [
        dataclasses.replace(info, kind="") for info in list(Network("timm", theirs, input_size=260).table.rows.values())
    ]
    assert [dataclasses.replace(info, kind="") for info in list(embedded.table.rows.values())] == table
    randomise_batch_norms(theirs)
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(1, 3, 75, 90)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("size", [(96, 128), (97, 95)])
def test_gradient_is_that_of_the_untouched_network(embedded: Network, size: tuple[int, int]) -> None:
    import timm

    from dreamvid.networks.families.embedded import load_embedded

    module = timm.create_model("tf_efficientnet_lite2").eval()
    load_embedded(module)
    outputs: list[Tensor] = []
    module.blocks[4][1].register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    layer, errors = "blocks.4.1", []
    truncated = embedded.truncate([layer])
    for seed in range(5):
        torch.manual_seed(seed)
        x = torch.rand(1, 3, *size).requires_grad_()
        module((x - 0.5) / 0.5)
        (expected,) = torch.autograd.grad(outputs.pop().square().mean(), x)
        (gradient,) = torch.autograd.grad(truncated(x)[layer].square().mean(), x)
        errors.append(float((gradient - expected).norm() / expected.norm()))
    # In one of twelve images rounding puts some value to the other side of a ReLU's kink: an error of 1e-2.
    assert sorted(errors)[2] <= 1e-5
    assert max(errors) <= 0.1


def test_truncated_network_ends_behind_the_last_layer_and_is_frozen(embedded: Network) -> None:
    truncated = embedded.truncate(["blocks.1.0"])
    names = [name.replace("_", ".") for name, _ in truncated.named_modules()]
    assert any("blocks.1.0" in name for name in names)
    assert not any("blocks.1.1" in name or "blocks.2" in name for name in names)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in truncated.modules())
    assert not truncated.training
    assert not any(parameter.requires_grad for parameter in truncated.parameters())


def test_a_truncated_network_lies_whole_on_its_networks_device() -> None:
    truncated = load_network(device="meta").truncate(["blocks.4.1"])
    assert {tensor.device.type for tensor in (*truncated.parameters(), *truncated.buffers())} == {"meta"}
    assert truncated(torch.empty(1, 3, 96, 96, device="meta"))["blocks.4.1"].shape == (1, 120, 6, 6)


def test_converting_a_truncated_network_leaves_the_network_alone(embedded: Network) -> None:
    embedded.truncate(["blocks.1.0"]).to(torch.bfloat16)
    x = torch.rand(1, 3, 32, 32)
    assert embedded.truncate(["blocks.1.0"])(x)["blocks.1.0"].dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (efficientnet_lite.NAME, (32, 32)),
        (efficientnet_lite.NAME, (5, 9)),
        ("googlenet", (32, 32)),
        ("inception_v3", (32, 40)),
        ("resnet18", (9, 40)),
    ],
)
def test_small_tiles_get_through(model: str, size: tuple[int, int], embedded: Network) -> None:
    network = embedded if model == efficientnet_lite.NAME else load_network(model, "random")
    layer = {efficientnet_lite.NAME: "blocks.6.0", "googlenet": "inception5b", "inception_v3": "Mixed_7c"}.get(
        model, "layer4"
    )
    x = torch.rand(1, 3, *size).requires_grad_()
    activation = network.truncate([layer])(x)[layer]
    (gradient,) = torch.autograd.grad(activation.square().mean(), x)
    assert activation.numel() > 0
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


def climb(truncated: Truncated, layer: str, channel: int) -> tuple[float, float, int]:
    """Maximise one logit from gray noise; return it before, after, and the class that wins after."""
    x = 0.5 + 0.05 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = truncated(x)[layer][0, channel].item()
    for _ in range(8):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(truncated(x)[layer][0, channel], x)
        x = (x + 0.02 * gradient / gradient.abs().mean()).clamp(0, 1)
    logits = truncated(x.detach())[layer][0]
    return before, logits[channel].item(), int(logits.argmax())


def test_embedded_weights_know_their_classes(embedded: Network) -> None:
    peacock = class_index("peacock")
    before, after, winner = climb(embedded.truncate([embedded.table.logits]), embedded.table.logits, peacock)
    assert after > before + 5
    assert winner == peacock


def test_embedded_classes_are_in_imagenets_order(embedded: Network) -> None:
    """A trained classifier's rows are alike where the classes are: a dog's nearest row is a dog's."""
    classifier = embedded._traced.module.get_submodule("classifier")
    rows = torch.nn.functional.normalize(classifier.weight - classifier.weight.mean(0), dim=1)
    alike = rows @ rows.T - 2 * torch.eye(1000)
    dogs = range(class_index("Chihuahua"), class_index("Mexican hairless") + 1)
    nearest_of_dogs = alike[list(dogs)].argmax(dim=1)
    assert sum(int(other) in dogs for other in nearest_of_dogs) > 0.9 * len(dogs)


def test_random_weights_are_always_the_same_and_leave_the_random_state_alone() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = (load_network("resnet18", "random").truncate(["layer2"])(x)["layer2"] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("model", "alias", "name"),
    [
        ("googlenet", "mixed4c", "inception4c"),
        ("googlenet", "mixed3a", "inception3a"),
        ("inception_v3", "mixed0", "Mixed_5b"),
        ("inception_v3", "mixed10", "Mixed_7c"),
        ("inception_v3", "Mixed_6c", "Mixed_6c"),
    ],
)
def test_names_of_the_notebooks(model: str, alias: str, name: str) -> None:
    assert load_network(model, "random").table.resolve(alias) == name


def test_unknown_layer_names_the_nearest_and_what_to_type(embedded: Network) -> None:
    with pytest.raises(NetworkError, match=r"no layer 'blocks.41'.*'blocks.4.1'.*`dreamvid layers efficientnet_lite2`"):
        embedded.table.resolve("blocks.41")
    with pytest.raises(NetworkError, match="No layer was asked for"):
        embedded.truncate([])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("googlenett", "no model 'googlenett'.*'googlenet'.*`dreamvid models`"),
        ("timm:googlenet", "no model 'timm:googlenet'"),
        ("keras:vgg16", "'keras' is not a family.*torchvision, timm"),
        ("timm:efficientnet_lite2", "no published weights.*weights=FILE"),
    ],
)
def test_unknown_models(model: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        load_network(model)


def test_missing_weights_name_the_file_and_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy that is not there: the download fails at once, with and without a connection.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match=r"could not be downloaded.*googlenet-\w+\.pth.*`weights=FILE`") as caught:
        load_network("googlenet")
    assert str(tmp_path / "hub" / "checkpoints") in str(caught.value)


def squeezenet() -> nn.Module:
    torch.manual_seed(7)
    return architectures.find("squeezenet1_1").build().eval()


@pytest.mark.parametrize("form", ["plain", "nested", "parallel", "safetensors"])
def test_checkpoints(form: str, tmp_path: Path) -> None:
    module = squeezenet()
    state = module.state_dict()
    file = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "safetensors":
        safetensors.torch.save_file(state, file)
    elif form == "nested":
        torch.save({"epoch": 3, "state_dict": state}, file)
    elif form == "parallel":
        torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, file)
    else:
        torch.save(state, file)
    network = load_network("squeezenet1_1", str(file))
    x = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (network.mean, network.std))
    with torch.no_grad():
        logits = network.truncate([network.table.logits])(x)[network.table.logits]
        torch.testing.assert_close(logits, module((x - mean) / std), rtol=1e-4, atol=1e-4)


class RunsCode:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": RunsCode()}, "evil.pth")
    Path("plain.pth").write_bytes(pickle.dumps(RunsCode()))
    for file in ("evil.pth", "plain.pth"):
        with pytest.raises(NetworkError, match="would run code"):
            load_network("squeezenet1_1", file)
    assert not Path("ran").exists()


def test_wrong_checkpoints(tmp_path: Path) -> None:
    other, number, rubbish = tmp_path / "other.pth", tmp_path / "number.pth", tmp_path / "rubbish.safetensors"
    torch.save(squeezenet().state_dict(), other)
    torch.save(5, number)
    rubbish.write_bytes(b"rubbish")
    with pytest.raises(NetworkError, match=r"do not fit ResNet: conv1.weight is missing.*more.*another architecture"):
        load_network("resnet18", str(other))
    with pytest.raises(NetworkError, match=r"features.0.weight is \(64, 3, 3, 3\) instead of \(96, 3, 7, 7\)"):
        load_network("squeezenet1_0", str(other))
    with pytest.raises(NetworkError, match="holds no state dict"):
        load_network("squeezenet1_1", str(number))
    with pytest.raises(NetworkError, match="cannot be read as a checkpoint"):
        load_network("squeezenet1_1", str(rubbish))
    with pytest.raises(NetworkError, match="no checkpoint file"):
        load_network("squeezenet1_1", str(tmp_path / "absent.pth"))


class Branching(nn.Module):
    """Its Python code depends on the size: the tracer cannot enter."""

    def forward(self, x: Tensor) -> Tensor:
        return -x if x.shape[2] > 5 else x * 2


def test_a_module_that_does_not_trace_stays_one_piece() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), Branching(), nn.Conv2d(4, 2, 1))
    x = torch.rand(1, 3, 9, 9)
    expected = module(x)
    torch.testing.assert_close(Network("tiny", module).truncate(["2"])(x)["2"], expected)
    with pytest.raises(NetworkError, match="does not trace into a graph"):
        Network("branching", Branching())


def test_available_models() -> None:
    short = available_models()
    assert (short[0].name, short[0].weights.state) == (efficientnet_lite.NAME, "embedded")
    assert {"googlenet", "inception_v3", "vgg16", "resnet50"} <= {entry.name for entry in short}
    assert all(architectures.family_of(entry.name) == entry.family for entry in short)
    everything = available_models("*")
    assert len(everything) == len({entry.name for entry in everything})
    assert len(everything) == sum(model_counts().values()) + 2  # the embedded one and inception5h
    assert [entry.name for entry in available_models("googlenet")] == ["googlenet"]
    assert available_models("no such model") == []


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("207", 207),
        ("golden retriever", 207),
        ("Golden_Retriever", 207),
        ("peacock", 84),
        ("great white shark", 2),
    ],
)
def test_classes(text: str, index: int) -> None:
    assert class_index(text) == index


def test_every_class_is_found_by_its_name() -> None:
    assert all(class_name(class_index(class_name(index))) == class_name(index) for index in range(1000))
    with pytest.raises(ObjectiveError, match=r"called 'goldn retriever'.*'golden retriever'"):
        class_index("goldn retriever")
    with pytest.raises(ObjectiveError, match="numbered 0 to 999"):
        class_index("1000")
