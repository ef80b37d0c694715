"""One step of each notebook's recipe, against an independent transcription of its text.

In double precision: next to a kink of a ReLU or a pooling, rounding would decide the slope.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from tensorflow_definitions import definitions
from torch import Tensor, nn

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import JITTER, OctaveAscent, Shifts
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.tiles import TiledGradient
from dreamvid.networks.network import Network
from dreamvid.networks.tensorflow.graphdef import GraphNode
from dreamvid.networks.tensorflow.inception5h import MEAN, STD, architecture
from dreamvid.networks.tensorflow.ops import FrozenGraph
from dreamvid.settings import load_settings

SEED = 5


def photograph(height: int, width: int) -> Tensor:
    """Smooth noise with colors up to the rails, so that clipping matters."""
    noise = torch.rand(1, 3, 12, 13, generator=torch.Generator().manual_seed(1))
    return (1.4 * nn.functional.interpolate(noise, (height, width), mode="bicubic") - 0.2).clamp(0, 1).double()


def step_of_dreamvid(preset: str, network: Network, image: Tensor, **overrides: object) -> Tensor:
    dream = load_settings(preset, **overrides).dream
    objective = parse_objective(dream.objective).resolve(network.table)
    gradient = TiledGradient(network.truncate(objective.layers).double(), objective, tile=dream.tile)
    ascent = OctaveAscent(gradient, UpdateRule.from_settings(dream), octave_carry=dream.octave_carry)
    size = (image.shape[2], image.shape[3])
    return image + ascent.grow(image, None, [size], iterations=1, step=dream.step_size, shifts=Shifts(SEED, 0))


def shifted(gradient: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """The notebooks' jitter: the gradient of the rolled image, rolled back; the same shift as dreamvid's."""
    ((down, right),) = Shifts(SEED, 0).draw(0, 1, (JITTER, JITTER))
    return gradient(image.roll((down, right), (2, 3))).roll((-down, -right), (2, 3))


def assert_same_step(got: Tensor, expected: Tensor, image: Tensor) -> None:
    change = (expected - image).abs().max()
    assert change > 1e-3
    assert (got - expected).abs().max() <= 1e-4 * change


@pytest.fixture(scope="module")
def graph() -> list[GraphNode]:
    """A graph whose activations are large: the notebooks add tiny numbers to what they divide by."""
    torch.manual_seed(2)
    nodes = architecture()
    return [
        replace(node, attributes={"value": 1000 * node.attributes["value"]})
        if node.name.startswith(("mixed4c", "mixed4d")) and node.name.endswith(("_w", "_b"))
        else node
        for node in nodes[: [node.name for node in nodes].index("mixed4d") + 1]
    ]


BOTTLENECK = "mixed4d_3x3_bottleneck_pre_relu"


@pytest.mark.parametrize(
    ("objective", "mean"),
    [
        ("mixed4c", lambda t: t["mixed4c"].square().mean()),
        (f"{BOTTLENECK}:139", lambda t: t[BOTTLENECK][:, 139].mean()),
        (f"{BOTTLENECK}:0-19 + {BOTTLENECK}:139", lambda t: (t[BOTTLENECK][:, :20] + t[BOTTLENECK][:, 139:140]).mean()),
    ],
)
def test_tensorflow_notebook(
    objective: str, mean: Callable[[dict[str, Tensor]], Tensor], graph: list[GraphNode]
) -> None:
    """`img += g * (step / (np.abs(g).mean() + 1e-7))` with step 1.5, on an image from 0 to 255."""
    network = Network("inception5h", FrozenGraph(graph, "mixed4d").double(), [MEAN] * 3, [STD] * 3)

    def gradient(img: Tensor) -> Tensor:
        img = img.requires_grad_()
        return torch.autograd.grad(mean(definitions(graph, img - 117.0)), img)[0]

    image = photograph(48, 41)
    img = 255 * image
    g = shifted(gradient, img)
    img = img + g * (1.5 / (g.abs().mean() + 1e-7))
    shown = (img / 255).clamp(0, 1)
    assert_same_step(step_of_dreamvid("notebook-tf", network, image, objective=objective), shown, image)


@pytest.fixture(scope="module")
def inception() -> tuple[Network, nn.Module]:
    """Inception V3 as dreamvid has it, and as torchvision does: fed with ImageNet's normalised colors."""
    options = {"weights": None, "aux_logits": False, "init_weights": False}
    module = torchvision.models.inception_v3(transform_input=True, **options)
    torch.manual_seed(3)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):  # weights that keep signals alive
            nn.init.normal_(part.weight, 0, math.sqrt(2 / part.weight[0].numel()))
    for block in (module.Mixed_6a, module.Mixed_6c, module.Mixed_7a, module.Mixed_7c):
        for part in block.modules():
            if isinstance(part, nn.BatchNorm2d):  # large activations, as in `graph`
                nn.init.constant_(part.weight, 10)
    own = torchvision.models.inception_v3(transform_input=False, **options)
    own.load_state_dict(module.state_dict())
    return Network("inception_v3", own.double(), [0.5] * 3, [0.5] * 3, 299), module.double().eval()


def activations(module: nn.Module, x: Tensor, names: list[str]) -> list[Tensor]:
    outputs: list[Tensor] = []
    hooks = [
        module.get_submodule(name).register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        for name in names
    ]
    module(x)
    for hook in hooks:
        hook.remove()
    return outputs


def imagenet(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.double).view(1, 3, 1, 1)


IMAGENET_MEAN, DEVIATION = imagenet([0.485, 0.456, 0.406]), imagenet([0.229, 0.224, 0.225])


def test_keras_recipe(inception: tuple[Network, nn.Module]) -> None:
    """`gradients /= tf.math.reduce_std(gradients) + 1e-8; img += gradients * 0.01; clip_by_value(img, -1, 1)`."""
    network, module = inception

    def gradient(img: Tensor) -> Tensor:
        img = img.requires_grad_()
        layers = activations(
            module, ((img + 1) / 2 - IMAGENET_MEAN) / DEVIATION, ["Mixed_6a", "Mixed_6c"]
        )  # mixed3, mixed5
        return torch.autograd.grad(sum(layer.square().mean() for layer in layers), img)[0]

    image = photograph(80, 83)
    img = 2 * image - 1
    gradients = shifted(gradient, img)
    gradients = gradients / (gradients.std(correction=0) + 1e-8)
    img = (img + gradients * 0.01).clamp(-1, 1)
    assert_same_step(step_of_dreamvid("notebook-keras", network, image), (img + 1) / 2, image)


@pytest.mark.parametrize("layer", ["Mixed_6c", "Mixed_7c"])
def test_pytorch_notebook(layer: str, inception: tuple[Network, nn.Module]) -> None:
    """`img += 0.01 * g / g.std()` on normalised colors, held between those of black and white."""
    network, module = inception

    def gradient(img: Tensor) -> Tensor:
        img = img.requires_grad_()
        return torch.autograd.grad(activations(module, img, [layer])[0].square().mean(), img)[0]

    image = photograph(80, 83)
    img = (image - IMAGENET_MEAN) / DEVIATION
    g = shifted(gradient, img)
    img = img + 0.01 * g / g.std(correction=0)
    img = torch.maximum(torch.minimum(img, (1 - IMAGENET_MEAN) / DEVIATION), -IMAGENET_MEAN / DEVIATION)
    got = step_of_dreamvid("notebook-pytorch", network, image, objective=layer)
    assert_same_step(got, img * DEVIATION + IMAGENET_MEAN, image)


@pytest.mark.parametrize(
    ("preset", "octaves", "iterations"),
    [("notebook-tf", 4, 10), ("notebook-keras", 5, 50), ("notebook-pytorch", 4, 30)],
)
def test_numbers_of_the_texts(preset: str, octaves: int, iterations: int) -> None:
    dream = load_settings(preset).dream
    assert (dream.octaves, dream.iterations, dream.laplacian_levels) == (octaves, iterations, 0)


def test_what_goes_up_an_octave() -> None:
    """Without a step, the source with its detail comes out, or a source that was small once."""
    checks = torch.from_numpy(np.indices((64, 64)).sum(0) % 2).float().expand(1, 3, 64, 64).contiguous()

    def dreamed(carry: str) -> Tensor:
        settings = load_settings(
            octaves=2,
            octave_scale=2,
            iterations=0,
            dream_height=64,
            octave_carry=carry,
            device="cpu",
            objective="blocks.1.0",
        )
        dreamer = FrameDreamer(settings)
        return dreamer.dream(dreamer.frame(checks), None, index=0, elapsed_seconds=0)

    torch.testing.assert_close(dreamed("residual"), checks)
    assert dreamed("image")[..., 8:-8, 8:-8].std() < 0.1 * checks.std()


@pytest.mark.parametrize("preset", ["notebook-tf", "notebook-keras", "notebook-pytorch"])
def test_every_recipe_runs_on_a_small_image(preset: str) -> None:
    settings = load_settings(preset, weights="random", octaves=2, iterations=1, dream_height=48, device="cpu")
    image = photograph(48, 64).float()
    dreamer = FrameDreamer(settings)
    dreamed = dreamer.dream(dreamer.frame(image), None, index=0, elapsed_seconds=0)
    assert dreamed.shape == image.shape
    assert 0.0005 < (dreamed - image).abs().mean() < 0.2
    assert (dreamed.min() >= 0) & (dreamed.max() <= 1)
