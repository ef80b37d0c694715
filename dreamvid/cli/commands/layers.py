"""`dreamvid layers`: list or draw the layers of a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from dreamvid.dream.objectives.term import TERMS
from dreamvid.errors import InputError, OutputError
from dreamvid.runtime.files import check_output_file
from dreamvid.settings import NetworkSettings, load_settings
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.networks.network import Network
    from dreamvid.networks.truncate import ImageSizes

_CONVOLUTIONS = ("Conv2d", "Conv2dSame")  # kinds
_OTHER_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".pdf", ".html")
_DEFAULT: str = NetworkSettings.model_fields["model"].default


def layers(
    model: Annotated[str, Parameter(help="Network, by a name from `dreamvid models`.")] = _DEFAULT,
    /,
    *,
    weights: Annotated[
        str | None, Parameter(metavar="PATH", help="Checkpoint file, to check whether it fits the network.")
    ] = None,
    graph: Annotated[
        str | None,
        Parameter(
            metavar="PATH",
            help="Draw the network instead of listing its layers: NAME.svg for an image, any other name is a folder "
            "for a TensorBoard log.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        Parameter(
            metavar="TEXT",
            show_default="that of the default preset, for its network",
            help="Objective whose layers are marked, with --graph.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Replace the image if it exists.")
    ] = False,
) -> None:
    """List the layers of a network that can be dreamed on, or draw them."""
    target = None if graph is None else Path(graph).expanduser()
    if target is not None:
        _check(target, overwrite)
    from dreamvid.networks.network import load_network

    # Layers do not depend on the weights: published ones need not be downloaded to list them.
    network = load_network(model, "random" if weights is None else weights)
    if target is not None:
        _draw(network, _dreamed(network, objective), target)
        return
    table = list(network.table.rows.values())
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
    console.result(f"Objective terms besides layers: {', '.join(map(_term, TERMS.names()))}")
    if network.table.sizes is not None:
        console.result(_sizes(network.table.sizes))
    convolutions = [layer.channels for layer in table if layer.kind in _CONVOLUTIONS]
    if convolutions:
        console.result(f"{len(convolutions)} convolution layers with {sum(convolutions):,} channels in all")


def _term(name: str) -> str:
    """Show how a named term is written, and where it comes from: `guide(…)`."""
    try:
        opening, origin = TERMS.load(name).opening, TERMS.origin(name)
    except InputError:  # a plugin that cannot be imported; `doctor` says why
        return f"{name} (broken)"
    form = f"{name}{opening}…" + (")" if opening == "(" else "")
    return f"{form} ({origin})" if origin else form


def _sizes(sizes: "ImageSizes") -> str:
    """Say which images go through a network whose layers are patches."""
    if sizes.only is not None:
        return (
            f"Takes images of {sizes.only} x {sizes.only} pixels only: larger ones are dreamed in windows of that size."
        )
    return f"Takes images of any size; inside, both sides are multiples of {sizes.multiple} pixels."


def _check(target: Path, overwrite: bool) -> None:
    """Refuse, before the work, a target that could not be written after it."""
    suffix = target.suffix.lower()
    if suffix in _OTHER_IMAGES:
        raise OutputError(
            f"A network is drawn as .svg, not as {suffix}: {target}. Use `graph={target.with_suffix('.svg')}`."
        )
    if suffix != ".svg":
        if target.exists() and not target.is_dir():
            raise OutputError(f"The folder for the TensorBoard log is a file: {target}. Give another name.")
    else:
        check_output_file(target, (".svg",), overwrite=overwrite)


def _dreamed(network: "Network", objective: str | None) -> set[str]:
    """Return the network's own names of the layers that an objective dreams on."""
    from dreamvid.dream.objectives.parser import parse_objective

    default = load_settings()
    if objective is None and network.name != default.network.model:
        return set()
    timeline = parse_timeline(default.dream.objective if objective is None else objective)
    return {layer for text in timeline.objectives for layer in parse_objective(text).layers(network.table)}


def _draw(network: "Network", dreamed: set[str], target: Path) -> None:
    if target.suffix.lower() != ".svg":
        from dreamvid.figures.network_tensorboard import write_graph_log

        console.result_file(write_graph_log(network, dreamed, target))
        return
    from dreamvid.figures.network_diagram import draw_network

    try:
        target.write_text(draw_network(network, dreamed), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    console.result_file(target)
