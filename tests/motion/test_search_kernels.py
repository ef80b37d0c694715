"""The kernels of dense inverse search: they compile without a GPU, and on one do what PyTorch's operations do."""

import pytest
import torch
from motion_textures import texture
from torch import Tensor

from dreamvid.image.tensors import luma
from dreamvid.motion.patch_search import search_patches
from dreamvid.motion.search_kernels import CONSTANTS, SOURCE, SearchKernels
from dreamvid.motion.variational import refine_flow
from dreamvid.runtime.nvrtc import CompileError, compile_kernels

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def moving_pairs(count: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, the same ones moved by (2, -1) pixels with some noise, and the flow that a coarser scale would give."""
    wide = [255 * luma(texture(height + 8, width + 8, seed)) for seed in range(count)]
    this = torch.cat([image[..., 4:-4, 4:-4] for image in wide])
    previous = torch.cat([image[..., 5:-3, 2:-6] for image in wide])
    generator = torch.Generator().manual_seed(1)
    previous = previous + torch.randn(previous.shape, generator=generator)
    flow = torch.tensor([1.5, -0.5]).view(1, 2, 1, 1) + 0.3 * torch.randn(count, 2, height, width, generator=generator)
    return this, previous, flow


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)], ids=str)
def test_the_kernels_compile_for_cards_that_are_not_here(capability: tuple[int, int]) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    source = SOURCE.read_text(encoding="utf-8")
    binary = compile_kernels(source, CONSTANTS, capability)
    assert binary[:4] == b"\x7fELF"
    names = [line.split("(")[0].split()[-1] for line in source.splitlines() if line.startswith('extern "C"')]
    assert len(names) == 7
    assert all(name.encode() in binary for name in names)


def test_a_source_that_does_not_compile_is_an_error_that_says_where() -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    with pytest.raises(CompileError, match=r"dreamvid\.cu\(2\).*forgotten"):
        compile_kernels('extern "C" __global__ void add(float* x) {\n    x[0] += forgotten;\n}', {}, (9, 0))


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("size", [(60, 107), (241, 427), (16, 40)], ids=str)
def test_patches_find_the_flow_that_pytorch_finds(size: tuple[int, int]) -> None:
    this, previous, flow = (each.cuda() for each in moving_pairs(3, *size))
    expected = search_patches(this, previous, flow)
    found = SearchKernels(torch.device("cuda", 0)).search_patches(this, previous, flow)
    apart = (found - expected).norm(dim=1)
    assert float(apart.median()) < 1e-3
    assert float((apart > 0.05).float().mean()) < 0.01, "patches for which two flows are as good"
    true = torch.tensor([2.0, -1.0], device="cuda").view(1, 2, 1, 1)
    assert float((found - true).norm(dim=1).median()) < 0.2


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("size", [(60, 107), (241, 427), (16, 40)], ids=str)
def test_refinement_is_that_of_pytorch(size: tuple[int, int]) -> None:
    this, previous, flow = (each.cuda() for each in moving_pairs(2, *size))
    expected = refine_flow(flow, this, previous)
    assert float((expected - flow).norm(dim=1).mean()) > 0.05
    found = SearchKernels(torch.device("cuda", 0)).refine_flow(flow, this, previous)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-3)


@pytest.mark.gpu
@needs_gpu
def test_the_kernels_give_the_same_bits_each_time() -> None:
    this, previous, flow = (each.cuda() for each in moving_pairs(4, 120, 213))
    kernels = SearchKernels(torch.device("cuda", 0))
    first, *others = (
        kernels.refine_flow(kernels.search_patches(this, previous, flow), this, previous) for _ in range(4)
    )
    assert all(torch.equal(first, other) for other in others)
