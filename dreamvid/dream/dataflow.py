"""Which layers a layer is computed from."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import fx

from dreamvid.dream.trace import Traced

PICTURE = ""  # stands for the network's input among a layer's sources


@dataclass(frozen=True)
class LayerFlow:
    """Where a layer stands in its network.

    `same_as`: the innermost layer whose output is this layer's too (a block's last module), or its own name. `sources`:
    the layers, each named as `same_as` names them, that it is computed from without another layer in between; "" is the
    picture.
    """

    name: str
    same_as: str
    sources: tuple[str, ...]


def layer_flow(traced: Traced, layers: Collection[str]) -> dict[str, LayerFlow]:
    """Follow the graph from each of `layers` (names in `traced.outputs`) back to the others, in order of execution."""
    innermost: dict[fx.Node, str] = {}
    for name, node in traced.outputs.items():  # inner modules end before those around them
        if name in layers:
            innermost.setdefault(node, name)
    reached: dict[fx.Node, tuple[str, ...]] = {}
    for node in traced.module.graph.nodes:  # in order of execution: what a node reads was reached before
        if node.op == "placeholder":
            reached[node] = (PICTURE,)
            continue
        read = (innermost[one] if one in innermost else reached[one] for one in node.all_input_nodes)
        reached[node] = tuple(
            dict.fromkeys(name for names in read for name in ((names,) if isinstance(names, str) else names))
        )
    return {
        name: LayerFlow(name, innermost[node], reached[node]) for name, node in traced.outputs.items() if name in layers
    }
