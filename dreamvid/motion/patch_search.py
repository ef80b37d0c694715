"""Search for the flow of square patches at one scale, in operations of PyTorch: a part of motion/inverse_search.py.

A patch looks for where it is in the other image by gradient descent (inverse compositional, so that the 2 x 2 systems
are solved once), and takes over what its neighbors found. Scales, patches and weights are those of OpenCV's preset
`medium`. There, patches are visited one after the other and take over flows from their left and upper neighbors; here,
all of them look around at the same time, and further.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Side of a patch and distance of neighboring patches, in pixels.
PATCH, STRIDE = 8, 3
# At each scale, patches look for a better flow around them at these distances, in patches, and then descend by so many
# steps; both so many times. (Rounds of more steps, or without the long distances, lose objects that move far.)
ROUNDS, REACHES, STEPS = 3, (4, 2, 1), 3
# A patch without texture has no gradient to follow: this much of it, in squared levels of 255, is added.
DAMPING = 1.0


def patch_grid(height: int, width: int) -> tuple[int, int]:
    """Return how many rows and columns of patches cover an image; the last ones may reach beyond it."""
    rows, columns = (-(-(side - PATCH) // STRIDE) + 1 for side in (height, width))
    return rows, columns


def search_patches(this: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """Improve a flow at one scale by patches; images (N, 1, h, w), flow (N, 2, h, w)."""
    height, width = this.shape[2:]
    rows, columns = patch_grid(height, width)
    covered = (rows - 1) * STRIDE + PATCH, (columns - 1) * STRIDE + PATCH
    border = (0, covered[1] - width, 0, covered[0] - height)
    this = F.pad(this, border, mode="replicate")
    patches = _Patches(this, previous, rows, columns)
    middle = F.pad(flow, border, mode="replicate")[:, :, PATCH // 2 :: STRIDE, PATCH // 2 :: STRIDE]
    state = patches.look(middle[:, :, :rows, :columns].permute(0, 2, 3, 1).reshape(flow.shape[0], -1, 1, 2))
    for _ in range(ROUNDS):
        for reach in REACHES:
            state = patches.take_over(state, reach)
        for _ in range(STEPS):
            state = patches.descend(state)
    return patches.densify(state, covered)[:, :, :height, :width]


class _Patches:
    """The patches of one image, P in number, and where in the other one they are compared.

    The state of a patch, (N, P, 1, 5), is its flow, the step that is tried next, and the error of the flow.
    """

    def __init__(self, this: Tensor, previous: Tensor, rows: int, columns: int) -> None:
        self.rows, self.columns, self.previous = rows, columns, previous
        height, width = previous.shape[2:]
        cut = F.unfold(torch.cat((this, *_gradient(this)), dim=1), PATCH, stride=STRIDE)
        pixels, *gradients = cut.transpose(1, 2).reshape(*cut.shape[::2], 3, -1).unbind(2)
        self.pixels = pixels[:, :, None]
        # Brightness is compared relative to the patch's mean, so gradients count relative to theirs too.
        slope = torch.stack([each - each.mean(dim=2, keepdim=True) for each in gradients], dim=-1)
        xx, yy = slope.square().sum(dim=2).add(DAMPING).unbind(-1)
        xy = slope.prod(dim=-1).sum(dim=2)
        inverse = torch.stack((yy, -xy, -xy, xx), dim=-1).view(*xx.shape, 2, 2) / (xx * yy - xy * xy)[..., None, None]
        # (N, P, 64, 3): the step that a difference asks for, and its part of the sum.
        self.answer = F.pad(-slope @ inverse, (0, 1), value=1.0)
        self.places = _places(rows, columns, height, width, this.device)
        # A pixel's width and height in grid_sample's terms. (`torch.tensor` would copy them from the host.)
        self.scale = torch.stack([torch.full((), 2 / side, device=this.device) for side in (width, height)])

    def look(self, flow: Tensor) -> Tensor:
        """Compute the states of K flows for each patch, (N, P, K, 2): (N, P, K, 5)."""
        difference = self._difference(flow)
        answer = difference @ self.answer
        step, total = answer[..., :2], answer[..., 2:]
        squares = difference.square().sum(dim=-1, keepdim=True)
        return torch.cat((flow, step, torch.addcmul(squares, total, total, value=-1 / PATCH**2)), dim=-1)

    def take_over(self, state: Tensor, reach: int) -> Tensor:
        """Take a neighbor's flow where it is better, of the four at a distance of `reach` patches."""
        grid = state[:, :, 0, :2].transpose(1, 2).reshape(-1, 2, self.rows, self.columns)
        padded = F.pad(grid, (reach,) * 4, mode="replicate")
        first, middle, last = slice(0, -2 * reach), slice(reach, -reach), slice(2 * reach, None)
        neighbors = [
            padded[:, :, rows, columns].flatten(2).transpose(1, 2)
            for rows, columns in ((middle, first), (middle, last), (first, middle), (last, middle))
        ]
        states = torch.cat((state, self.look(torch.stack(neighbors, dim=2))), dim=2)
        best = states[..., 4:].argmin(dim=2, keepdim=True)
        return states.gather(2, best.expand(-1, -1, -1, states.shape[3]))

    def descend(self, state: Tensor) -> Tensor:
        """Try the next step; where it leads to nothing better, half of it is next."""
        moved = self.look(state[..., :2] + state[..., 2:4])
        half = torch.cat((state[..., :2], state[..., 2:4] / 2, state[..., 4:]), dim=-1)
        return torch.where(moved[..., 4:] < state[..., 4:], moved, half)

    def densify(self, state: Tensor, size: tuple[int, int]) -> Tensor:
        """Average the flows of the patches that cover a pixel, weighted by how well they explain it: (N, 2, h, w)."""
        flow = state[..., :2]
        weight = 1 / self._difference(flow)[:, :, 0].abs().clamp_min(1)
        values = torch.stack((weight, weight * flow[..., 0], weight * flow[..., 1]), dim=1)
        total = F.fold(values.flatten(0, 1).transpose(1, 2), size, PATCH, stride=STRIDE).view(-1, 3, *size)
        return total[:, 1:] / total[:, :1]

    def _difference(self, flow: Tensor) -> Tensor:
        """Compare each pixel of the patches with where their flows (N, P, K, 2) lead: (N, P, K, 64)."""
        grid = torch.addcmul(self.places, flow[..., None, :], self.scale)
        there = F.grid_sample(self.previous, grid.flatten(1, 2), "bilinear", "border", align_corners=False)
        return there.view(*grid.shape[:-1]) - self.pixels


def _gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    """Differences across and down, smoothed along the other axis (Scharr's), in levels per pixel."""
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 2:] - padded[..., :-2]) / 2
    down = (padded[:, :, 2:] - padded[:, :, :-2]) / 2
    across = (3 * across[:, :, :-2] + 10 * across[:, :, 1:-1] + 3 * across[:, :, 2:]) / 16
    down = (3 * down[..., :-2] + 10 * down[..., 1:-1] + 3 * down[..., 2:]) / 16
    return across, down


def _places(rows: int, columns: int, height: int, width: int, device: torch.device) -> Tensor:
    """Where the pixels of the patches are, in grid_sample's terms: (1, P, 1, 64, 2)."""
    within = torch.arange(PATCH, device=device)
    down, across = (
        (torch.arange(count, device=device)[:, None] * STRIDE + within + 0.5) * (2 / side) - 1
        for count, side in ((rows, height), (columns, width))
    )
    shape = (rows, columns, PATCH, PATCH)
    x, y = across[None, :, None, :].expand(shape), down[:, None, :, None].expand(shape)
    return torch.stack((x, y), dim=-1).reshape(1, rows * columns, 1, PATCH * PATCH, 2)
