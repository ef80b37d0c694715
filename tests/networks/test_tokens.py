"""Networks that compute with tokens, over the families of timm: with random weights, and as shallow as they can be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from dreamvid.dream.objectives.binding import resolve_objective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.tiles import TiledGradient
from dreamvid.networks.families import timm as family
from dreamvid.networks.network import Network
from dreamvid.networks.truncate import ImageSizes

# A member of each family, made shallow, with a layer of its last block, that layer's stride, and whether it takes
# images of any size.
FAMILIES: dict[str, tuple[Mapping[str, Any], str, int, bool]] = {
    "vit_tiny_patch16_224": ({"depth": 2}, "blocks.1", 16, True),
    "deit3_small_patch16_224": ({"depth": 2}, "blocks.1.mlp", 16, True),
    "vit_small_patch14_reg4_dinov2": ({"depth": 2}, "blocks.1.attn.heads", 14, True),
    "vit_small_patch16_dinov3": ({"depth": 2}, "blocks.1.attn.heads", 16, True),
    "vit_base_patch32_siglip_256": ({"depth": 1, "embed_dim": 192}, "blocks.0", 32, True),
    "eva02_tiny_patch14_224": ({"depth": 2}, "blocks.1.mlp.fc2", 14, True),
    "beit_base_patch16_224": ({"depth": 2, "embed_dim": 192}, "blocks.1.attn.heads", 16, False),
    "swin_tiny_patch4_window7_224": ({"depths": (1, 1, 1, 1), "embed_dim": 48}, "layers.3.blocks.0.mlp", 32, True),
    "swinv2_tiny_window8_256": ({"depths": (1, 1, 1, 1), "embed_dim": 48}, "layers.2.blocks.0", 16, True),
    "mixer_s32_224": ({}, "blocks.1.mlp_channels", 32, False),
    "cait_xxs24_224": ({"depth": 2}, "blocks.1.mlp.fc1", 16, False),
    "xcit_nano_12_p16_224": ({"depth": 2}, "blocks.1.mlp", 16, True),
    "pvt_v2_b0": ({"depths": (1, 1, 1, 1)}, "stages.2.blocks.0.mlp", 16, True),
    "twins_svt_small": ({"depths": (1, 1, 1, 1), "embed_dims": (32, 64, 64, 64)}, "blocks.2.0.mlp", 16, True),
    "efficientvit_m0": ({}, "stages.1", 32, True),
    "poolformer_s12": ({}, "stages.1", 8, True),
    "convnextv2_atto": ({"depths": (1, 1, 1, 1)}, "stages.2", 16, True),
    "regnety_002": ({}, "s3", 16, True),
    "mobilevit_xxs": ({}, "stages.3", 16, True),
    "edgenext_xx_small": ({}, "stages.2", 16, True),
}


def network(name: str) -> Network:
    """Build a shallow member of a family."""
    torch.manual_seed(0)
    module = family._build(name, **FAMILIES[name][0])
    return Network(name, module, (0.5,) * 3, (0.5,) * 3, timm.get_pretrained_cfg(name).input_size[-1])


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str) -> None:
    _, layer, stride, any_size = FAMILIES[name]
    net = network(name)
    row = net.table.rows[layer]
    assert row.stride == stride
    truncated = net.truncate([layer])
    side = net.input_size
    assert truncated.sizes.only == (None if any_size else side)
    height, width = (3 * stride * 2, 5 * stride * 2) if any_size else (side, side)
    if any_size:
        features = truncated(torch.rand(2, 3, height, width))[layer]
        assert features.shape == (2, row.channels, height // stride, width // stride)
    objective = resolve_objective(parse_objective(layer), net)
    gradient = TiledGradient(truncated, objective, tile=1024)(torch.rand(1, 3, height + 9, width + 30))
    assert gradient.isfinite().all()
    assert (F.avg_pool2d(gradient.abs(), 32, ceil_mode=True) > 0).all()  # every patch of the image counts


def test_a_layer_is_the_block_without_class_and_register_tokens() -> None:
    net = network("vit_small_patch14_reg4_dinov2")
    image = torch.rand(1, 3, 56, 84)
    module = net.module
    with torch.no_grad():
        tokens = module.blocks(module.norm_pre(module._pos_embed(module.patch_embed((image - 0.5) / 0.5))))
        expected = tokens[:, 5:].transpose(1, 2).reshape(1, -1, 4, 6)
    torch.testing.assert_close(net.truncate(["blocks.1"])(image)["blocks.1"], expected)
    torch.testing.assert_close(
        net.truncate(["blocks.1"])(image[:, :, :50, :75])["blocks.1"].shape, expected.shape
    )  # a part of a patch counts


def test_position_embeddings_fit_the_image() -> None:
    module = family._build("vit_base_patch16_224", depth=1, embed_dim=96, num_heads=2)
    truncated = Network("vit", module, input_size=224).truncate(["blocks.0"])
    assert truncated(torch.rand(1, 3, 224, 224))["blocks.0"].shape[2:] == (14, 14)
    assert truncated(torch.rand(1, 3, 960, 1280))["blocks.0"].shape[2:] == (60, 80)


def test_heads_are_layers() -> None:
    """Each head's output is the part of what the projection reads that it computed."""
    net = network("vit_tiny_patch16_224")
    row = net.table.rows["blocks.0.attn.heads"]
    assert (row.channels, row.kind) == (192, "3 heads of 64")
    image = torch.rand(1, 3, 32, 48)
    found = net.truncate(["blocks.0.attn.heads", "blocks.0.attn"])(image)
    module = net.module
    heads = found["blocks.0.attn.heads"].permute(0, 2, 3, 1)
    torch.testing.assert_close(module.blocks[0].attn.proj(heads).permute(0, 3, 1, 2), found["blocks.0.attn"])


def test_the_table_says_which_images_go_through_and_where_the_classes_are() -> None:
    swin, beit, dino = map(
        network, ("swin_tiny_patch4_window7_224", "beit_base_patch16_224", "vit_small_patch16_dinov3")
    )
    assert (swin.table.sizes, swin.table.logits_layer) == (ImageSizes(32, 32), "head")
    assert (beit.table.sizes, beit.table.logits_layer) == (ImageSizes(224, only=224), "head")
    assert dino.table.logits_layer is None
    assert network("regnety_002").table.sizes is None  # it depends on the layer


def test_a_network_of_one_size_takes_guides_and_follows_its_objective(tmp_path: Path) -> None:
    from dreamvid.image.io import write_image

    net = network("beit_base_patch16_224")
    write_image(tmp_path / "guide.png", np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8))
    objective = resolve_objective(parse_objective(f'guide("{tmp_path / "guide.png"}")@blocks.0'), net)
    gradient = TiledGradient(net.truncate(objective.layers), objective, tile=1024)(torch.rand(1, 3, 60, 100))
    assert gradient.isfinite().all()
    assert gradient.abs().mean() > 0


class _Residual(nn.Module):
    """A block whose Python code depends on the values, so that it has no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(x) if x.sum() < 1e9 else x


class _Hidden(nn.Module):
    """A transformer of one block, computed in Python that no tracer can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.block = _Residual()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not bool((x == x).all()):
            raise ValueError
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.block(torch.cat((tokens[:, :1], tokens), dim=1))


def test_a_network_without_a_graph_is_read_by_hooks() -> None:
    torch.manual_seed(0)
    net = Network("hidden", _Hidden(), input_size=16)
    assert list(net.table.rows) == ["patches", "block.mlp", "block"]
    assert net.truncate(["block"])(torch.rand(1, 3, 17, 37))["block"].shape == (1, 8, 5, 10)
    assert [entry.sources for entry in net.dataflow().values()] == [("",), ("patches",), ("block.mlp",)]


class _Table(nn.Module):
    """Looks up a position for each column of patches, as tables of relative positions do; it has 14 of them."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 16, 16)
        self.mlp = nn.Linear(8, 8)
        self.position = nn.Parameter(torch.rand(14, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.patches(x)
        columns = torch.arange(maps.shape[3] * maps.shape[2]) % int(maps.shape[3])
        return self.mlp(maps.flatten(2).transpose(1, 2) + self.position[columns])


def test_a_network_that_takes_no_larger_images_is_one_of_one_size() -> None:
    net = Network("table", _Table(), input_size=224)
    assert net.table.sizes == ImageSizes(224, only=224)
    assert net.truncate(["mlp"])(torch.rand(1, 3, 224, 224))["mlp"].shape == (1, 8, 14, 14)
