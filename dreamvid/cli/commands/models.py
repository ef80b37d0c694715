"""`dreamvid models`: list the networks that can dream, and which of them need a download."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from dreamvid.errors import NetworkError
from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.networks.family import PublishedWeights


def models(
    pattern: Annotated[
        str | None, Parameter(help="Show all networks whose names match: a part of the name, or with * and ?.")
    ] = None,
    /,
) -> None:
    """List the networks that can dream: `--model NAME`. Without a pattern, those that were tested."""
    from dreamvid.networks.catalog import available_models, model_counts

    entries = available_models(pattern)
    if not entries:
        raise NetworkError(f"No model matches {pattern!r}. List those that were tested: dreamvid models")
    console.print_table(
        [("model", "left"), ("family", "left"), ("weights", "left"), ("license", "left")],
        [(entry.name, entry.family, _weights(entry.weights), entry.weights.license or "") for entry in entries],
    )
    if pattern is None:
        counts = " and ".join(f"{count} of {family}'s" for family, count in model_counts().items())
        console.result(f"\nIn all {counts}. Find them by a part of their name: dreamvid models resnet")


def _weights(weights: "PublishedWeights") -> str:
    size = f", {weights.size_mb:.0f} MB" if weights.size_mb and weights.state == "needs a download" else ""
    own = ": give --weights FILE" if weights.state == "none published" else ""
    return f"{weights.state}{size}{own}"
