"""Choose the keyframes: as many as the footage needs.

The frames between two keyframes are interpolated along the motion. That works as long as most of a frame was visible in
the keyframe before. So a frame becomes a keyframe when too much of it cannot be explained by the last one: what has
come into view, what moves too fast to be followed, what has changed its shape. This is measured on small images, by
optical flow on the CPU and by whole numbers as far as possible, so the choice is the same for a render that is resumed,
on a GPU and on other machines. What changes in fine detail only, such as ripples, does not count.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Small = npt.NDArray[np.uint8]

# Height in pixels of the images on which motion is judged.
PACE_HEIGHT = 120
# A frame is a keyframe when more than this part of it is not explained by the last keyframe.
MOST_UNEXPLAINED = 0.04
# Images are compared as means over squares of this part of their height.
_DETAIL_PART = 1 / 11
# The difference relative to the light (and what is noise in the dark, in levels) from which on nothing is explained,
# beginning at half of it.
_UNEXPLAINED, _DIM = 0.12, 25
# DIS refuses smaller images.
_SMALLEST_SIDE = 32


class Pace:
    """Says for one frame of a shot after another whether it is a keyframe.

    least, most: the number of frames from one keyframe to the next. Where they are equal, no image is looked at.
    """

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._key: Small | None = None
        self._count = 0

    def add(self, image: Callable[[], Small], *, key: bool = False) -> bool:
        """Take in the next frame; tell whether it is a keyframe.

        image: makes the frame, uint8 (h, w, 3) RGB, about `PACE_HEIGHT` high; it is called if the choice needs it.
        key: the frame is one in any case, such as the first and the last one of a shot.
        """
        self._count += 1
        if self.least == self.most:
            chosen = key or self._count >= self.most
        else:
            small = _at_least(image())
            chosen = (
                key
                or self._key is None
                or self._key.shape != small.shape
                or self._count >= self.most
                or (self._count >= self.least and self._unexplained(small, self._key) > MOST_UNEXPLAINED)
            )
            if chosen:
                self._key = small
        if chosen:
            self._count = 0
        return chosen

    def _unexplained(self, now: Small, key: Small) -> float:
        """Compute which part of a frame the last keyframe, moved along the flow, does not explain."""
        flow = self._dis.calc(_gray(now), _gray(key), None)  # type: ignore[call-overload]
        height, width = flow.shape[:2]
        across = flow[..., 0] + np.arange(width, dtype=np.float32)
        down = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
        moved = cv2.remap(key, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        outside = (across < -1) | (across > width) | (down < -1) | (down > height)
        window = (int(height * _DETAIL_PART) | 1,) * 2
        differs = np.abs(cv2.blur(now.astype(np.float32) - moved, window)).mean(axis=2)
        light = cv2.blur(now.astype(np.float32), window).mean(axis=2) + _DIM
        lost = (2 * differs / (_UNEXPLAINED * light) - 1).clip(0, 1)
        return float(np.maximum(lost, outside).mean())


def _gray(image: Small) -> Small:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _at_least(image: Small) -> Small:
    """Continue an image that is too small for DIS beyond its border."""
    down, right = (max(0, _SMALLEST_SIDE - side) for side in image.shape[:2])
    return np.pad(image, ((0, down), (0, right), (0, 0)), mode="edge") if down or right else image
