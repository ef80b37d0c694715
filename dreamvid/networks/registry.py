"""Finds a network by its name in the installed families."""

from dreamvid.errors import NetworkError, nearest
from dreamvid.networks.family import Architecture, NetworkFamily
from dreamvid.runtime.plugins import Registry

FAMILIES: Registry[NetworkFamily] = Registry(
    "network family", "dreamvid.networks.families", "dreamvid.network_families"
)
"""The families of networks, one file each."""

# A name that several families have is that of the first; the others come behind these, in the registry's order.
_FIRST = ("embedded", "tensorflow", "torchvision", "timm")


def families() -> tuple[str, ...]:
    """Name the families in the order in which they are searched."""
    return (*_FIRST, *(name for name in FAMILIES.names() if name not in _FIRST))


def find(model: str) -> Architecture:
    """Find a network by `NAME` or `FAMILY:NAME`. Raises NetworkError with the nearest names."""
    return _search(model)[1]


def family_of(model: str) -> str:
    """Name the family of a network, given as for `find`; raises as that."""
    return _search(model)[0]


def network_fingerprint(model: str) -> str:
    """Describe what a network depends on besides its name and a file of weights; raises as `find`."""
    family, architecture = _search(model)
    return ", ".join(part for part in (family, FAMILIES.origin(family), architecture.fingerprint) if part)


def _search(model: str) -> tuple[str, Architecture]:
    chosen, colon, name = model.partition(":")
    if not colon:
        chosen, name = "", model
    elif chosen not in FAMILIES:
        raise NetworkError(
            f"Model {model!r}: {chosen!r} is not a family of networks.{nearest(chosen, families())} Write FAMILY:NAME "
            f"with one of these: {', '.join(families())}."
        )
    searched = (chosen,) if chosen else families()
    for family in searched:  # one by one: the libraries of later ones take seconds to load
        architecture = FAMILIES.load(family).find(name)
        if architecture is not None:
            return family, architecture
    allowed = [known for family in searched for known in FAMILIES.load(family).names()]
    raise NetworkError(f"There is no model {model!r}.{nearest(name, allowed)} `dreamvid models` lists them.")
