"""Finding cuts, with PySceneDetect."""

from collections.abc import Iterable
from fractions import Fraction

import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from dreamvid.settings.size import Size
from dreamvid.video.probe import VideoInfo

# An image of this height is enough to tell a cut.
DETECTION_HEIGHT = 120
_WINDOW = 2


def find_cuts(frames: Iterable[np.ndarray]) -> list[int]:
    """Positions (from 0) of the frames that begin a new shot, without the first frame's 0.

    frames: uint8 (H, W, 3) RGB, best small. A cut is a change of content that stands out against its neighbors
    (PySceneDetect's adaptive detector), so fast motion and dissolves are none.
    """
    detector = AdaptiveDetector(window_width=_WINDOW, min_scene_len=2)
    cuts: list[int] = []
    last: np.ndarray | None = None
    count = 0
    for frame in frames:
        cuts += _positions(detector, count, frame)
        last = frame
        count += 1
    if last is not None:
        # The detector looks at frames on both sides; standing still at the end lets it judge the last ones too.
        for position in range(count, count + _WINDOW):
            cuts += _positions(detector, position, last)
    return [cut for cut in cuts if 0 < cut < count]


def _positions(detector: AdaptiveDetector, position: int, frame: np.ndarray) -> list[int]:
    timecode = FrameTimecode(position, fps=Fraction(25))  # only positions matter, any rate will do
    found = detector.process_frame(timecode, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return [cut.frame_num for cut in found]


def detection_size(info: VideoInfo) -> Size:
    """Work out the size in pixels at which cuts are looked for."""
    height = min(info.height, DETECTION_HEIGHT)
    return Size(height, max(1, round(info.width * height / info.height)))
