"""Finds where in the image a classifier sees its classes: its logits before they are pooled."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dreamvid.networks.network import Network

_TRIAL_SIDE = 96
_TOLERANCE = 1e-3
_MOST_LAYERS = 6


@dataclass(frozen=True, eq=False)
class ClassMap:
    """The classifier as a layer: the logits are the means of `weight · x + bias` over the positions x of `layer`.

    weight: (classes, C). bias: (classes,). window: the side, in positions and odd, of what the network was trained on.
    """

    layer: str
    weight: Tensor
    bias: Tensor
    window: int = 1


def find_class_map(network: Network) -> ClassMap | None:
    """Find the layer whose mean the classifier reads; None for a network that computes more behind the pooling.

    It is found by trying: its mean, times the weights of the classifier, has to give the logits of an image.
    """
    table = network.table
    if table.logits_layer is None:
        return None
    classes = table.channels(table.logits_layer)
    heads = [part for part in network.module.modules() if isinstance(part, nn.Linear) and part.out_features == classes]
    if not heads:
        return None
    head = heads[-1]
    maps = [row.name for row in table.rows.values() if row.stride is not None and row.channels == head.in_features][
        -_MOST_LAYERS:
    ]
    if not maps:
        return None
    truncated = network.truncate([*maps, table.logits_layer])
    side = truncated.sizes.only or max(_TRIAL_SIDE, truncated.sizes.smallest)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, side, side, generator=generator).to(truncated.scale)
    with torch.no_grad():
        activations = truncated(image)
        logits = activations[table.logits_layer]
        weight = head.weight.detach()
        bias = weight.new_zeros(classes) if head.bias is None else head.bias.detach()
        for layer in reversed(maps):
            if activations[layer].shape[2:].numel() == 1:
                continue  # behind the pooling
            found = activations[layer].mean(dim=(2, 3)) @ weight.T + bias
            if (found - logits).abs().max() <= _TOLERANCE * logits.abs().max():
                positions = network.input_size // (table.rows[layer].stride or network.input_size)
                return ClassMap(layer, weight.clone(), bias.clone(), max(positions - 1, 0) | 1)
    return None
