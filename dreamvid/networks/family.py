"""Defines a family of networks: classifiers that are found, built and given their weights in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from dreamvid.errors import NetworkError
from dreamvid.networks.weights import load_checkpoint

if TYPE_CHECKING:
    from torch import nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Per channel of RGB in [0, 1], of ImageNet's images: what most classifiers are fed with is (x - mean) / std."""

IMAGENET_SIZE = 224
"""Side in pixels of the images that most classifiers are trained on."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A classifier that can be built.

    build: makes it, with weights from PyTorch's random state. load_published: fills it with its published weights,
    which are downloaded where they are not here yet; raises NetworkError. load_file: fills it from a file of the
    user's; raises NetworkError. mean, std: its normalization per channel of RGB in [0, 1]: it was trained on
    (x - mean) / std. input_size: the side in pixels of the images that it was trained on. fingerprint: what its output
    depends on besides its name, such as the version of a library or the hash of the published weights; it is part of a
    render's fingerprint.
    """

    build: Callable[[], nn.Module]
    load_published: Callable[[nn.Module], None]
    load_file: Callable[[nn.Module, Path], None] = load_checkpoint
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    input_size: int = IMAGENET_SIZE
    fingerprint: str = ""


@dataclass(frozen=True)
class PublishedWeights:
    """What is known of a network's published weights without building or downloading anything.

    state: with the installation, in the library's cache, to be downloaded, or nowhere. license and size_mb (10⁶ bytes)
    are None where the family does not say.
    """

    state: Literal["embedded", "downloaded", "needs a download", "none published"]
    license: str | None = None
    size_mb: float | None = None


class NetworkFamily(Protocol):
    """Networks of one origin; a module in networks/families/, or an entry point, has one as its plugin.

    tried: names of those that dream well, which `dreamvid models` lists.
    """

    tried: Sequence[str]

    def names(self) -> Sequence[str]:
        """List the names of its networks, for lists and for errors; empty if they cannot be listed."""
        ...

    def find(self, name: str) -> Architecture | None:
        """Find a network by its name; None if there is none of that name. Builds and downloads nothing."""
        ...

    def published(self, name: str) -> PublishedWeights:
        """Say where the published weights of a network are, for one of `names`."""
        ...


def not_downloaded(name: str, url: str, target: Path, error: Exception) -> NetworkError:
    """Make the error for published weights that cannot be had; target: where they would be kept."""
    return NetworkError(
        f"The weights of {name!r} could not be downloaded from {url} ({type(error).__name__}: {error}); "
        f"they would be kept at {str(target)!r}. Give a file that you have with `weights=FILE`, or use the "
        "model that needs no download: leave `model` out."
    )
