"""`dreamvid layers`: what of a network can be dreamed on."""

from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli import console
from dreamvid.settings import NetworkSettings

_CONVOLUTIONS = ("Conv2d", "Conv2dSame")  # kinds
_DEFAULT: str = NetworkSettings.model_fields["model"].default


def layers(
    model: Annotated[str, Parameter(help="Network, by a name from `dreamvid models`.")] = _DEFAULT,
    /,
    *,
    weights: Annotated[
        str | None, Parameter(metavar="PATH", help="Checkpoint file, to see whether it fits the network.")
    ] = None,
) -> None:
    """List the layers of a network that can be dreamed on."""
    from dreamvid.dream.networks import load_network

    # Layers do not depend on the weights: published ones need not be downloaded to list them.
    network = load_network(model, "random" if weights is None else weights)
    table = network.layer_table()
    rows = (
        (
            layer.name,
            str(layer.channels),
            "-" if layer.stride is None else str(layer.stride),
            "all" if layer.receptive_field is None else str(layer.receptive_field),
            layer.kind,
        )
        for layer in table
    )
    console.print_table(
        [
            ("layer", "left"),
            ("channels", "right"),
            ("stride", "right"),
            ("receptive field", "right"),
            ("kind", "left"),
        ],
        rows,
    )
    convolutions = [layer.channels for layer in table if layer.kind in _CONVOLUTIONS]
    if convolutions:
        console.result(f"{len(convolutions)} convolution layers with {sum(convolutions):,} channels in all")
