"""Refine an optical flow by minimizing an energy (Brox et al. 2004), as dense inverse search does at every scale.

Brightness and its gradient stay constant along the flow, and the flow is smooth; all three with robust penalties, as in
OpenCV's VariationalRefinement, whose weights these are. Some red-black sweeps solve the linear system.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Weights of smoothness, of constant brightness and of constant gradients.
ALPHA, DELTA, GAMMA = 20.0, 5.0, 10.0
# Keeps derivatives from being divided by zero, and penalties differentiable.
ZETA, EPSILON = 0.1, 0.01
# How often the penalties are linearized anew, how many sweeps each linear system takes, and their over-relaxation.
LINEARIZATIONS, SWEEPS, RELAXATION = 4, 3, 1.6


def refine_flow(flow: Tensor, this: Tensor, previous: Tensor) -> Tensor:
    """Refine a backward flow (N, 2, h, w), x then y in pixels, between images (N, 1, h, w) of 0 to 255."""
    height, width = flow.shape[2:]
    moved = _moved(previous, flow)
    mean, change = (this + moved) / 2, moved - this
    data = _Data(mean, change)
    added = torch.zeros_like(flow)
    shares = _checkerboard(height, width, flow.device)
    for _ in range(LINEARIZATIONS):
        a11, a12, a22, b1, b2 = data.system(added)
        right, below = _smoothness(flow + added)
        # Of the neighbors to the left and above, the border has none.
        left, above = F.pad(right, (1, 0))[..., :-1], F.pad(below, (0, 0, 1, 0))[:, :, :-1]
        pull = right + left + above + below
        a11, a22 = a11 + pull, a22 + pull
        inverse = 1 / (a11 * a22 - a12 * a12)
        direct, mixed = torch.cat((a22, a11), dim=1) * inverse, -a12 * inverse
        known = torch.cat((b1, b2), dim=1) + _pulled(flow, left, right, above, below) - pull * flow
        for _ in range(SWEEPS):
            for share in shares:
                wanted = known + _pulled(added, left, right, above, below)
                solved = direct * wanted + mixed * wanted.flip(1)
                added = torch.lerp(added, solved, share)
    return flow + added


def _pulled(x: Tensor, left: Tensor, right: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """Sum the four neighbors of each pixel, each weighted."""
    padded = F.pad(x, (1, 1, 1, 1))
    total = left * padded[:, :, 1:-1, :-2]
    total = torch.addcmul(total, right, padded[:, :, 1:-1, 2:])
    total = torch.addcmul(total, above, padded[:, :, :-2, 1:-1])
    return torch.addcmul(total, below, padded[:, :, 2:, 1:-1])


class _Data:
    """What the images say: the linear system of constant brightness and constant gradients."""

    def __init__(self, mean: Tensor, change: Tensor) -> None:
        x, y = _difference(mean, 3), _difference(mean, 2)
        xx, xy, yy = _difference(x, 3), _difference(x, 2), _difference(y, 2)
        xz, yz = _difference(change, 3), _difference(change, 2)
        self._brightness = _Constancy(x, y, change)
        self._gradients = _Constancy(xx, xy, xz), _Constancy(xy, yy, yz)

    def system(self, added: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Linearize around `added` (N, 2, h, w); return a11, a12, a22, b1, b2 of the symmetric 2 x 2 systems."""
        brightness, (along_x, along_y) = self._brightness, self._gradients
        weight = DELTA / 2 / (brightness.error(added) + EPSILON**2).sqrt()
        steep = GAMMA / 2 / (along_x.error(added) + along_y.error(added) + EPSILON**2).sqrt()
        a11, a12, a22, b1, b2 = (weight * brightness.terms + steep * (along_x.terms + along_y.terms)).chunk(5, dim=1)
        return a11 + ZETA**2, a12, a22 + ZETA**2, -b1, -b2


class _Constancy:
    """A quantity with derivatives x and y that changes by z: all (N, 1, h, w)."""

    def __init__(self, x: Tensor, y: Tensor, z: Tensor) -> None:
        norm = x * x + y * y + ZETA**2
        self._normal, self._z = torch.cat((x, y), dim=1) / norm.sqrt(), z / norm.sqrt()
        self.terms = torch.cat((x * x, x * y, y * y, x * z, y * z), dim=1) / norm

    def error(self, added: Tensor) -> Tensor:
        """Squared change that is left after a flow is added."""
        return ((self._normal * added).sum(dim=1, keepdim=True) + self._z).square()


def _smoothness(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Weight the differences to the right and lower neighbors, (N, 1, h, w): 0 where there is none."""
    across = F.pad(flow[..., 1:] - flow[..., :-1], (0, 1))
    down = F.pad(flow[:, :, 1:] - flow[:, :, :-1], (0, 0, 0, 1))
    squared = (across.square() + down.square()).sum(dim=1, keepdim=True)
    weight = ALPHA / 2 / (squared + EPSILON**2).sqrt()
    return F.pad(weight[..., :-1], (0, 1)), F.pad(weight[:, :, :-1], (0, 0, 0, 1))


def _difference(x: Tensor, axis: int) -> Tensor:
    """Central differences along axis 2 or 3, not halved, as OpenCV's weights are made for."""
    padded = F.pad(x, (0, 0, 1, 1) if axis == 2 else (1, 1, 0, 0), mode="replicate")
    size = x.shape[axis]
    return padded.narrow(axis, 2, size) - padded.narrow(axis, 0, size)


def _moved(image: Tensor, flow: Tensor) -> Tensor:
    """Sample an image along a backward flow, bilinearly."""
    height, width = flow.shape[2:]
    x, y = _grid(height, width, flow.device)
    grid = torch.stack((x + flow[:, 0] * (2 / width), y + flow[:, 1] * (2 / height)), dim=-1)
    return F.grid_sample(image, grid, "bilinear", "border", align_corners=False)


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixels' centers in grid_sample's terms."""
    across = (torch.arange(width, device=device) + 0.5) * (2 / width) - 1
    down = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
    return across[None, None], down[None, :, None]


def _checkerboard(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """How far the pixels of each color go towards their solution in their half of a sweep."""
    odd = (torch.arange(height, device=device)[:, None] + torch.arange(width, device=device)) % 2
    return RELAXATION * (1 - odd), RELAXATION * odd
