"""Measure how much the mask of the subject flickers, against masks that are found in each frame by itself.

python benchmarks/subject_matte.py CLIP [CLIP ...] [--frames 60] [--sheet sheet.png]

The warping error of a mask is its mean squared change beyond the motion of the source, where the flow holds, as in
`dreamvid score`. Both masks are compared along the same flow of the source. The distance is the mean absolute
difference between the two masks, and `overlap` their intersection over union at 0.5: the mask should not lag behind.
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.io import write_image
from dreamvid.image.tensors import to_pixels, to_tensor
from dreamvid.metrics.temporal import warping_error
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.occlusion import occlusion_mask
from dreamvid.networks.subject.u2netp import load_subject_network
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader
from dreamvid.video.mattes.subject import SubjectMatte
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

LINES = 256


@torch.no_grad()
def measure(clip: str, count: int) -> tuple[dict[str, float], list[np.ndarray]]:
    """Follow the subject of a clip; return the numbers, and rows of images to look at."""
    source = open_source(clip)
    info = probe(source)
    height, width = info.size
    size = Size(LINES, round(width * LINES / height))
    network, matte, estimator = load_subject_network(), SubjectMatte("cpu"), load_estimator("dis", torch.device("cpu"))
    previous: tuple[Tensor, Tensor, object] | None = None
    errors: dict[str, list[float]] = {"alone": [], "carried": [], "distance": [], "overlap": []}
    rows = []
    with FrameReader(source, info, size=size, stop=count) as reader:
        for index, frame in enumerate(reader):
            image = to_tensor(frame.pixels)
            alone = F.interpolate(network(image), size, mode="bilinear", align_corners=False)
            carried = matte.next(image, size)
            features = estimator.prepare(image)
            if previous is not None:
                flow, reverse = estimator.estimate(features, previous[2])
                mask = occlusion_mask(flow, reverse)
                errors["alone"].append(warping_error(alone, previous[0], flow, mask))
                errors["carried"].append(warping_error(carried, previous[1], flow, mask))
            errors["distance"].append(float((alone - carried).abs().mean()))
            union = ((alone > 0.5) | (carried > 0.5)).sum()
            if union > 0.005 * alone.numel():
                errors["overlap"].append(float(((alone > 0.5) & (carried > 0.5)).sum() / union))
            if index % max(1, count // 6) == 0:
                shown = (image, alone.expand_as(image), carried.expand_as(image))
                rows.append(np.concatenate([to_pixels(one) for one in shown], axis=1))
            previous = alone, carried, features
    return {name: float(np.nanmean(values)) if values else float("nan") for name, values in errors.items()}, rows


def main() -> None:
    """Print a line for each clip."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--sheet")
    arguments = parser.parse_args()
    print("clip                    alone  carried    part  distance  overlap")
    for clip in arguments.clips:
        found, rows = measure(clip, arguments.frames)
        part = found["carried"] / found["alone"] if found["alone"] else float("nan")
        print(
            f"{clip[-20:]:20s} {found['alone']:8.3f} {found['carried']:8.3f} {part:7.1%} "
            f"{found['distance']:9.4f} {found['overlap']:8.3f}"
        )
        if arguments.sheet:
            write_image(arguments.sheet, np.concatenate(rows))


if __name__ == "__main__":
    main()
