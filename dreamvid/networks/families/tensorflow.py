"""The network of the first dreams, from a frozen graph of TensorFlow 1."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from dreamvid.networks.family import Architecture, PublishedWeights, not_downloaded
from dreamvid.networks.tensorflow import inception5h


class TensorFlowFamily:
    """One network, computed without TensorFlow."""

    tried: Sequence[str] = (inception5h.NAME,)

    def names(self) -> Sequence[str]:
        """List the one name."""
        return self.tried

    def find(self, name: str) -> Architecture | None:
        """Find the network by its name."""
        if name != inception5h.NAME:
            return None
        return Architecture(
            build=inception5h.Inception5h,
            load_published=_load_published,
            load_file=_load_file,
            mean=(inception5h.MEAN,) * 3,
            std=(inception5h.STD,) * 3,
            input_size=inception5h.INPUT_SIZE,
            fingerprint=inception5h.SHA256,
        )

    def published(self, name: str) -> PublishedWeights:
        """Look for the archive."""
        state = "downloaded" if _archive().is_file() else "needs a download"
        return PublishedWeights(state, "apache-2.0", inception5h.SIZE_MB)  # type: ignore[arg-type]


PLUGIN = TensorFlowFamily()


def _archive() -> Path:
    """Where the published archive is kept once it is downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "inception5h.zip"


def _load_published(module: nn.Module) -> None:
    archive = _archive()
    try:
        inception5h.fetch(archive)
    except inception5h.FETCH_ERRORS as error:
        raise not_downloaded(inception5h.NAME, inception5h.URL, archive, error) from error
    _load_file(module, archive)


def _load_file(module: nn.Module, path: Path) -> None:
    assert isinstance(module, inception5h.Inception5h)
    module.load(path)
