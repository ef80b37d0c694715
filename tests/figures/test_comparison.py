"""Comparison sheets load each network once."""

from collections import Counter

import numpy as np
import pytest
import torch

from dreamvid import comparison_sheet, dream_image, load_settings
from dreamvid.networks import network
from dreamvid.networks.network import load_network, share_networks

FRAME = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
FAST = {"iterations": 1, "octaves": 1, "dream_height": 40, "device": "cpu"}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str | None]]:
    """Count what is loaded; it is loaded as always."""
    counts: Counter[tuple[str, str | None]] = Counter()
    load = network._load

    def counted(model: str, weights: str | None, device: torch.device | str) -> network.Network:
        counts[model, weights] += 1
        return load(model, weights, device)

    monkeypatch.setattr(network, "_load", counted)
    return counts


def test_a_network_is_loaded_once_for_all_cells(loaded: Counter[tuple[str, str | None]]) -> None:
    axes = ["step_size=0.02", "objective=features.3:0-1|features.4.squeeze:*"]
    given = {"model": "squeezenet1_1", "weights": "random", **FAST}
    sheet = comparison_sheet(FRAME, axes, width=48, **given)
    assert loaded == {("squeezenet1_1", "random"): 1}
    # The first of 1 + 32 cells is what its settings give.
    first = dream_image(FRAME, load_settings(None, objective="features.3:0-1", step_size=0.02, **given))
    np.testing.assert_array_equal(sheet[4:44, 4:52], first)
    assert loaded["squeezenet1_1", "random"] == 2  # nothing is kept behind the sheet


def test_each_network_and_each_file_of_weights_is_loaded_once(
    loaded: Counter[tuple[str, str | None]], tmp_path
) -> None:
    file = tmp_path / "other.pth"
    torch.manual_seed(1)
    torch.save(load_network("squeezenet1_1", "random")._traced.module.state_dict(), file)
    loaded.clear()
    axes = ["iterations=1|2", f"weights=random|{file}", "model=squeezenet1_1|squeezenet1_0"]
    with pytest.raises(Exception, match="do not fit"):
        comparison_sheet(FRAME, axes, objective="features.3", width=48, **FAST)
    loaded.clear()
    comparison_sheet(FRAME, axes[:2], objective="features.3", model="squeezenet1_1", width=48, **FAST)
    assert loaded == {("squeezenet1_1", "random"): 1, ("squeezenet1_1", str(file)): 1}


def test_networks_are_shared_in_the_context_alone() -> None:
    with share_networks():
        first, second = (load_network("squeezenet1_1", "random") for _ in range(2))
        assert first is second
    assert load_network("squeezenet1_1", "random") is not first
