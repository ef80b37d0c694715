"""Dream as other programs do, written from the mathematics of their texts, to compare the speed with.

    python -m benchmarks.baselines notebook|alone|peer …      as `benchmarks.speed` calls it, in a process of its own

All of them run the whole network and catch a layer's activation with a hook, keep the gradients of its weights, leave
its batch norms as they are, and call `backward` on the mean square of the activation, as a plain script does. Speed
does not depend on weights.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch  # before dreamvid, which would tell OpenMP how to wait
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.dream import laplacian as pyramid
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.warp import warp
from dreamvid.networks.families.embedded import load_embedded
from dreamvid.settings.size import Size

# The same for everyone: the default network's layer, ten steps an octave, Laplacian levels.
LAYER, STEPS, STEP, LEVELS = "blocks.4.1", 10, 0.012, 4
OCTAVES, PEER_OCTAVES = 4, 2
JITTER = 32
NOTEBOOK_SIZE, NOTEBOOK_LAYER, NOTEBOOK_STEP = (310, 400), "Mixed_6c", 0.01

OCTAVE_SCALE = 1.4


# Of ImageNet's images, which classifiers are fed with as (x - mean) / deviation.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class HookedNetwork:
    """Hold a whole classifier, and the activation that a hook caught."""

    def __init__(self, module: nn.Module, layer: str) -> None:
        self.module = module.eval()
        self.caught: Tensor | None = None
        module.get_submodule(layer).register_forward_hook(self._catch)
        self._mean, self._deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))

    def to(self, device: torch.device | str) -> "HookedNetwork":
        """Move to a device."""
        self.module.to(device)
        self._mean, self._deviation = self._mean.to(device), self._deviation.to(device)
        return self

    def _catch(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.caught = output

    def gradient(self, x: Tensor) -> Tensor:
        """Compute d(mean square of the layer)/dx at an image (1, 3, h, w) in [0, 1]."""
        x = x.detach().requires_grad_(True)
        self.module.zero_grad()
        self.module((x - self._mean) / self._deviation)
        assert self.caught is not None
        self.caught.square().mean().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        return x.grad


def build_embedded() -> nn.Module:
    """Build the default network with timm, with its weights."""
    from timm import create_model

    module = create_model("tf_efficientnet_lite2")
    load_embedded(module)
    return module


def build_inception() -> nn.Module:
    """Build Inception V3 with torchvision, with random weights."""
    from torchvision.models import inception_v3

    module: nn.Module = inception_v3(weights=None, init_weights=False)
    return module


def sizes(height: int, width: int, octaves: int) -> list[Size]:
    """List the sizes of the octaves, coarse to fine."""
    return [Size(round(height / OCTAVE_SCALE**k), round(width / OCTAVE_SCALE**k)) for k in reversed(range(octaves))]


def ascend(network: HookedNetwork, image: Tensor, octaves: int, steps: int, step: float, levels: int = 0) -> Tensor:
    """Dream an image (1, 3, H, W) as the notebooks do: the detail goes up from octave to octave.

    Before each step the image is rolled by a random shift. A step is `step` of the gradient over its standard
    deviation, or with Laplacian `levels` over its mean size.
    """
    detail: Tensor | None = None
    random = torch.Generator().manual_seed(0)
    for size in sizes(image.shape[2], image.shape[3], octaves):
        base = F.interpolate(image, size, mode="bilinear", align_corners=False)
        x = base if detail is None else base + F.interpolate(detail, size, mode="bilinear", align_corners=False)
        for _ in range(steps):
            down, right = (int(one) for one in torch.randint(0, JITTER, (2,), generator=random))
            rolled = network.gradient(torch.roll(x, (down, right), dims=(2, 3)))
            gradient = torch.roll(rolled, (-down, -right), dims=(2, 3))
            direction = pyramid.normalize(gradient, levels, "mean" if levels else "std")
            x = (x + step * direction).clamp(0, 1)
        detail = x - base
    assert detail is not None
    return (image + detail).clamp(0, 1)


def frames_alone(
    frames: list[Tensor], layer: str, octaves: int, steps: int, step: float, levels: int
) -> Iterator[Tensor]:
    """Dream each frame by itself, the usual method for videos."""
    network = HookedNetwork(build_embedded(), layer)
    for frame in frames:
        yield ascend(network, frame, octaves, steps, step, levels)


def warped_image(
    frames: list[Tensor], layer: str, octaves: int, steps: int, step: float, levels: int
) -> Iterator[Tensor]:
    """Dream as the main peer does: half the frame, half the previous dream moved by RAFT's flow, a new network.

    RAFT's weights need a download, so random ones take the time, and DIS gives the flow.
    """
    from torchvision.models.optical_flow import raft_large

    raft, dis = raft_large(weights=None).eval(), load_estimator("dis")
    dream: Tensor | None = None
    for index, frame in enumerate(frames):
        start = frame
        if dream is not None:
            before = frames[index - 1]
            with torch.no_grad():
                raft(2 * frame - 1, 2 * before - 1)
                start = 0.5 * frame + 0.5 * warp(dream, dis.estimate(dis.prepare(frame), dis.prepare(before))[0])
        dream = ascend(HookedNetwork(build_embedded(), layer), start, octaves, steps, step, levels)
        yield dream


def notebook(device: torch.device, steps: int, repeats: int) -> float:
    """Time the PyTorch notebook's dream of one image: the least seconds of several, after one not counted."""
    image = torch.rand(1, 3, *NOTEBOOK_SIZE, generator=torch.Generator().manual_seed(0)).to(device)
    network = HookedNetwork(build_inception(), NOTEBOOK_LAYER).to(device)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        ascend(network, image, OCTAVES, steps, NOTEBOOK_STEP).cpu()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("notebook", "alone", "peer"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--frames", type=Path, help="file of numpy's with the source's frames, (n, 3, h, w) in [0, 1]")
    parser.add_argument("--dreamed", type=Path, help="file of numpy's for the dreamed ones")
    given = parser.parse_args(words)
    if given.way == "notebook":
        print(json.dumps(notebook(torch.device(given.device), given.steps, given.repeats)))
        return
    frames = [torch.from_numpy(frame)[None] for frame in np.load(given.frames)]
    ways = {
        "alone": lambda: frames_alone(frames, LAYER, OCTAVES, STEPS, STEP, LEVELS),
        "peer": lambda: warped_image(frames, LAYER, PEER_OCTAVES, STEPS, STEP, LEVELS),
    }
    made, times, way = [], [], ways[given.way]()
    while True:
        began = time.perf_counter()
        frame = next(way, None)
        if frame is None:
            break
        times.append(time.perf_counter() - began)
        made.append(frame.numpy())
    np.save(given.dreamed, np.concatenate(made))
    # The first one's time has loading in it, and the peer moves nothing to it.
    print(json.dumps(sum(times[1:]) / (len(times) - 1)))


if __name__ == "__main__":
    main()
