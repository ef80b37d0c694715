"""How much of its detail a carried picture keeps where the motion magnifies it."""

import torch.nn.functional as F
from torch import Tensor

# The flow is averaged over cells, so many from top to bottom of the frame: its derivative is that of things that come
# nearer, not of its noise.
CELLS_DOWN = 30
# More is a jump of the flow at the edge of something that moves.
_LEAST = 0.5


def detail_left(flow: Tensor) -> Tensor:
    """The area that each place had in the frame before, of the one it has now: (N, 1, H, W) in [0.5, 1].

    flow: backward (N, 2, H, W), x then y in pixels. The area is the determinant of the Jacobian of p + flow(p), by
    central differences; 1 too where the picture shrinks.
    """
    size = (flow.shape[2], flow.shape[3])
    cell = max(1, round(size[0] / CELLS_DOWN))
    cells = F.avg_pool2d(flow, cell, ceil_mode=True, count_include_pad=False)
    cells = F.pad(cells, (1, 1, 1, 1), mode="replicate")
    across = (cells[:, :, 1:-1, 2:] - cells[:, :, 1:-1, :-2]) / (2 * cell)
    down = (cells[:, :, 2:, 1:-1] - cells[:, :, :-2, 1:-1]) / (2 * cell)
    area = (1 + across[:, :1]) * (1 + down[:, 1:]) - across[:, 1:] * down[:, :1]
    return F.interpolate(area.clamp(_LEAST, 1), size, mode="bilinear", align_corners=False)
