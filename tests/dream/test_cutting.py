"""Patches by indices are those by slices, also at borders and where they overlap."""

import numpy as np
import pytest
import torch

from dreamvid.dream.cutting import IndexedPatches, Layout, SlicedPatches
from dreamvid.settings.size import Size


@pytest.mark.parametrize("size", [Size(110, 150), Size(64, 64), Size(70, 200)], ids=str)
def test_indices_and_slices_cut_and_paste_the_same(size: Size) -> None:
    cell, core, side = 16, 32, Size(min(48, size.height), min(48, size.width))
    random = np.random.default_rng(0)
    corners = [(0, 0), (16, 16), (32, 0), (size.height // 16 * 16 - 16, size.width // 16 * 16 - 16)]
    moves = [(-8, 7), *((int(down), int(right)) for down, right in random.integers(-8, 8, (3, 2)))]
    layout = Layout(size, corners, core, 8, moves)
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    sliced = SlicedPatches(layout)
    indexed = IndexedPatches(layout, cell=cell, device=image.device)
    for step in range(len(moves)):
        patches = sliced.cut(image, step)
        assert patches.shape == (len(corners), 3, *side)
        assert torch.equal(indexed.cut(image, step), patches)
        assert indexed.cut(image, step).is_contiguous()
        assert torch.equal(indexed.cut(image[:, :1], step), patches[:, :1])
        assert torch.equal(sliced.paste(image, patches, step), image), "cut and pasted unchanged"
        changed = patches + torch.arange(1.0, len(corners) + 1).view(-1, 1, 1, 1)
        pasted = sliced.paste(image, changed, step)
        assert torch.equal(indexed.paste(image, changed, step), pasted)
        assert (pasted - image)[0, 0, 0, 0] == pytest.approx(1, abs=1e-5), "a core at the border stays there"
        assert (pasted - image)[0, 0, 23, 23] == pytest.approx(2, abs=1e-5), "where cores overlap, the last one counts"
