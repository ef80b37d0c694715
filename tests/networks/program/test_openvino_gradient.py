"""The gradient by OpenVINO agrees with PyTorch's, and is what `runtime=openvino` takes."""

import sys

import numpy as np
import pytest
import torch

from dreamvid import dream_image, load_settings
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.tiles import TiledGradient
from dreamvid.errors import DeviceError
from dreamvid.networks.network import load_network
from dreamvid.runtime import process, threads
from dreamvid.runtime.threads import ThreadChoice

openvino = pytest.mark.extra("openvino")
OBJECTIVES = (
    "blocks.4.1",
    "blocks.3.2:7",
    "blocks.2.2:0-9,12",
    "blocks.4.1:ignore(0-60)",
    "0.5*blocks.3.2 - 0.2*blocks.4.1:3",
)


def gradient_of(text: str, runtime: str = "torch") -> TiledGradient:
    network = load_network(device="cpu")
    objective = parse_objective(text).resolve(network.table)
    return TiledGradient(network.truncate(objective.layers), objective, tile=1024, runtime=runtime)  # type: ignore[arg-type]


@openvino
@pytest.mark.parametrize("text", OBJECTIVES)
@pytest.mark.parametrize("size", [(64, 96), (93, 131)])
def test_it_is_the_gradient(text: str, size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    found, wanted = gradient_of(text, "openvino")(image, (3, 5)), gradient_of(text)(image, (3, 5))
    # One value in millions lies so close to a clamp that the other rounding puts it on the other side.
    assert (found - wanted).norm() < 1e-3 * wanted.norm()
    assert (found - wanted).abs().median() < 1e-5 * wanted.abs().mean()


@openvino
def test_a_cross_fade_is_mixed_as_by_pytorch() -> None:
    network = load_network(device="cpu")
    objectives = [parse_objective(text).resolve(network.table) for text in ("blocks.3.2", "blocks.4.1:7")]
    layers = tuple(layer for objective in objectives for layer in objective.layers)
    image = torch.rand(1, 3, 72, 96, generator=torch.Generator().manual_seed(1))
    found = []
    for runtime in ("torch", "openvino"):
        gradient = TiledGradient(network.truncate(layers), objectives[0], tile=1024, runtime=runtime)  # type: ignore[arg-type]
        gradient.objectives = ((objectives[0], 0.25), (objectives[1], 0.75))
        found.append(gradient(image))
    assert (found[1] - found[0]).norm() < 1e-3 * found[0].norm()


@openvino
def test_it_follows_a_change_of_the_objective_and_takes_any_order_of_memory() -> None:
    network = load_network(device="cpu")
    objectives = [parse_objective(text).resolve(network.table) for text in ("blocks.4.1:3", "blocks.4.1:7")]
    gradient = TiledGradient(network.truncate(["blocks.4.1"]), objectives[0], tile=1024, runtime="openvino")
    image = torch.rand(1, 3, 72, 96, generator=torch.Generator().manual_seed(1))
    gradient(image, (1, 2))
    gradient.objectives = ((objectives[1], 1.0),)
    wanted = gradient_of("blocks.4.1:7")(image, (1, 2))
    for order in (torch.contiguous_format, torch.channels_last):
        assert (gradient(image.contiguous(memory_format=order), (1, 2)) - wanted).norm() < 1e-3 * wanted.norm()


@openvino
def test_it_keeps_its_threads_when_pytorch_takes_fewer() -> None:
    gradient = gradient_of("blocks.4.1", "openvino")
    image = torch.rand(1, 3, 90, 160, generator=torch.Generator().manual_seed(1))
    first, before = gradient(image), torch.get_num_threads()
    assert gradient._compiled is not None
    (request,) = gradient._compiled._requests.values()
    try:
        torch.set_num_threads(max(1, before - 1))
        assert torch.equal(gradient(image), first)
    finally:
        torch.set_num_threads(before)
    assert [*gradient._compiled._requests.values()] == [request]
    assert request.get_compiled_model().get_property("INFERENCE_NUM_THREADS") == before


@openvino
@pytest.mark.parametrize(
    ("objective", "runtime", "measured"),
    [("blocks.4.1", "openvino", 1), ("blocks.4.1", "torch", 0), ("class:beagle", "openvino", 0)],
)
def test_pytorch_chooses_its_threads_by_whole_steps_where_openvino_computes_the_gradient(
    objective: str, runtime: str, measured: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_tuned", True)
    monkeypatch.setattr(threads, "_kept", False)  # as it is unless something, such as RAFT, has asked for it
    choice = ThreadChoice(2, lambda number: None)
    monkeypatch.setattr(threads._of_thread, "choice", choice, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with gradient_of(objective, runtime).measured_step(torch.rand(1, 3, 90, 160)):
        pass
    assert len(choice._seconds) == measured


@openvino
def test_it_repeats_bit_for_bit() -> None:
    image = torch.rand(1, 3, 90, 160, generator=torch.Generator().manual_seed(1))
    assert torch.equal(gradient_of("blocks.4.1", "openvino")(image), gradient_of("blocks.4.1", "openvino")(image))


@openvino
@pytest.mark.parametrize("objective", ["blocks.4.1", "blocks.4.1:strongest(4)", "class:207"])
def test_a_dream_is_the_same_to_the_eye_and_other_objectives_stay_with_pytorch(objective: str) -> None:
    frame = np.random.default_rng(1).integers(0, 255, (96, 128, 3), np.uint8)
    settings = load_settings(None, objective=objective, octaves=2, iterations=2, dream_height=96)
    wanted = dream_image(frame, settings).astype(int)
    found = dream_image(frame, load_settings(None, settings, runtime="openvino")).astype(int)
    assert np.abs(found - wanted).mean() < (0.3 if objective == "blocks.4.1" else 1e-9)


def test_without_it_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DeviceError, match=r"pip install 'dreamvid\[openvino\]'"):
        dream_image(np.zeros((32, 32, 3), np.uint8), load_settings(None, runtime="openvino"))


def test_slopes_are_the_derivative_of_the_objective() -> None:
    network = load_network(device="cpu")
    for text in OBJECTIVES:
        objective = parse_objective(text).resolve(network.table)
        activations = {
            layer: torch.randn(1, network.table.channels(layer), 3, 4, requires_grad=True) for layer in objective.layers
        }
        objective(activations).sum().backward()  # type: ignore[no-untyped-call]
        slopes = objective.slopes({layer: network.table.channels(layer) for layer in objective.layers})
        assert slopes is not None
        for layer, y in activations.items():
            square, linear = (part.view(1, -1, 1, 1) for part in slopes[layer])
            torch.testing.assert_close(y.grad, (square * y + linear) / 12)
    assert parse_objective("blocks.4.1:strongest(3)").resolve(network.table).slopes({"blocks.4.1": 120}) is None
