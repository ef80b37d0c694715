"""Lists the networks to dream with, without building or downloading any."""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass

from dreamvid.networks.family import PublishedWeights
from dreamvid.networks.registry import FAMILIES, families


@dataclass(frozen=True)
class ModelEntry:
    """One network: `name` is what `load_network` takes, `family` where it comes from."""

    name: str
    family: str
    weights: PublishedWeights


def available_models(pattern: str | None = None) -> list[ModelEntry]:
    """List networks: without `pattern` a short tried list, the embedded one first.

    pattern: a part of a name or a shell pattern (`resnet*`, `*`), over all families. A network whose name an earlier
    family has too is listed with its family in front, such as `timm:resnet50`. `load_network` refuses the few that do
    not trace.
    """
    return list(_entries(pattern))


def model_counts() -> dict[str, int]:
    """Count the networks of each family that has more than one."""
    counts = {family: len(FAMILIES.load(family).names()) for family in families()}
    return {family: count for family, count in counts.items() if count > 1}


def _entries(pattern: str | None) -> Iterator[ModelEntry]:
    wanted = pattern if pattern is None or any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    taken: set[str] = set()
    for name in families():
        family = FAMILIES.load(name)
        for model in family.tried if wanted is None else family.names():
            if wanted is None or fnmatch.fnmatchcase(model, wanted):
                shown = f"{name}:{model}" if model in taken else model
                yield ModelEntry(shown, name, family.published(model))
        taken.update(family.names())
