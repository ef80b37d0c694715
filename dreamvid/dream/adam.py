"""Adam, as a way of turning a sequence of gradients into steps (Kingma and Ba, "Adam", 2014, algorithm 1)."""

import torch
from torch import Tensor

# The paper's own numbers.
_BETA_MEAN, _BETA_SQUARE = 0.9, 0.999
_EPSILON = 1e-8


class Adam:
    """The running moments of one picture's gradients, begun at zero.

    They are those of the picture's own pixels: gradients go in as they lie on the picture, whatever it was rolled by
    when they were computed.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._mean: Tensor | None = None
        self._square: Tensor | None = None

    def direction(self, gradient: Tensor) -> Tensor:
        """Take in the next gradient; return the direction of the step, m̂ / (√v̂ + ε), of the same shape.

        The first one is the gradient's sign; later ones are at most a few times as long as 1.
        """
        if self._mean is None or self._square is None:
            self._mean, self._square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        self._steps += 1
        self._mean = _BETA_MEAN * self._mean + (1 - _BETA_MEAN) * gradient
        self._square = _BETA_SQUARE * self._square + (1 - _BETA_SQUARE) * gradient.square()
        mean = self._mean / (1 - _BETA_MEAN**self._steps)
        square = self._square / (1 - _BETA_SQUARE**self._steps)
        return mean / (square.sqrt() + _EPSILON)
