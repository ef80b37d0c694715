"""The thousand ImageNet classes by name."""

import functools
import re

from dreamvid.errors import ObjectiveError, nearest

CLASSES = 1000


def class_index(name_or_number: str) -> int:
    """Find an ImageNet-1k class by its number (`"207"`) or a name (`"golden retriever"`, `"peacock"`).

    Names are torchvision's, and WordNet's synonyms as timm has them; case, spaces, `_` and `-` do not matter.
    A name of two classes (crane, maillot) is the lower number's. Raises ObjectiveError with the nearest
    names.
    """
    text = name_or_number.strip()
    if text.isdecimal():
        if int(text) < CLASSES:
            return int(text)
        raise ObjectiveError(f"There is no class {text}: ImageNet's are numbered 0 to {CLASSES - 1}.")
    names = _names()
    found = names.get(text, names.get(_plain(text)))
    if found is None:
        raise ObjectiveError(
            f"No ImageNet class is called {text!r}.{nearest(_plain(text), dict.fromkeys(map(_plain, names)))} "
            f"A number from 0 to {CLASSES - 1} works too."
        )
    return found


def class_name(index: int) -> str:
    """Name class `index` (0 to 999) as torchvision does."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return str(_IMAGENET_CATEGORIES[index])


@functools.cache
def _names() -> dict[str, int]:
    from timm.data.imagenet_info import ImageNetInfo

    names: dict[str, int] = {}
    for index in range(CLASSES):
        names.setdefault(class_name(index), index)  # as it is: Cardigan is a dog, cardigan a jacket
    for index in range(CLASSES):
        names.setdefault(_plain(class_name(index)), index)
    info = ImageNetInfo()
    for index in range(CLASSES):
        for lemma in info.index_to_description(index).split(","):
            names.setdefault(_plain(lemma), index)
    return names


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", " ", name.strip().lower())
