"""Dreams one frame with different settings, side by side."""

import fnmatch
import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dreamvid.errors import InputError, nearest
from dreamvid.figures.contact_sheet import check_layout, check_width, contact_sheet
from dreamvid.networks.network import load_network, share_networks
from dreamvid.runtime.device import resolve_device
from dreamvid.settings import Settings, list_presets, load_settings
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.objective_timeline import split_outside_quotes
from dreamvid.settings.presets import presets_tagged
from dreamvid.settings.renamed import current_name
from dreamvid.settings.schema import flag_name
from dreamvid.settings.size import Size

Image = npt.NDArray[np.uint8]
_EXAMPLE = "For example: `vary='objective=blocks.3.2|blocks.4.1:7'` or `vary='preset=animals|plants'`."


@share_networks()
def comparison_sheet(
    frame: Image,
    given: Mapping[str, str],
    axes: Sequence[str],
    *,
    dream: Callable[[Image, Settings], Image],
    width: int = 320,
    on_image: Callable[[int, int], None] | None = None,
) -> Image:
    """Dream a frame, uint8 RGB (H, W, 3), once for every combination of the axes' values; return the labelled sheet.

    given: settings by name, and "preset", that hold for all. axes: `NAME=VALUE|VALUE…`, NAME being a setting or
    `preset` (`preset=#painting` stands for all presets with a tag); the last one runs along the rows of the sheet. An
    objective with * stands for all layers of that name, and `LAYER:*` for all channels; objectives over time are one
    value with ; between them, `objective=a; b @ 5s|c`. Without axes, the presets of the same network. width: that of
    the shown images, in pixels; they are dreamed at the frame's own. Each label has the flags that give its image.
    Raises DreamvidError.
    """
    check_width(width)
    values = dict(_axis(text) for text in axes) or {"preset": _presets(_resolve(given))}
    if "objective" in values:
        values["objective"] = [text for value in values["objective"] for text in _spread(value, _resolve(given))]
    width = min(width, frame.shape[1])
    shown = Size(max(1, round(frame.shape[0] * width / frame.shape[1])), width)
    combinations = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    columns = check_layout(
        len(combinations), shown, columns=len(list(values.values())[-1]) if len(values) > 1 else None
    )
    cells = []
    # All values are checked before the work.
    for named, settings in [(named, _resolve(named)) for named in ({**given, **chosen} for chosen in combinations)]:
        dreamed = dream(frame, settings)
        image = cv2.resize(dreamed, (shown.width, shown.height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        cells.append((image, _flags(named)))
        if on_image is not None:
            on_image(len(cells), len(combinations))
    return contact_sheet(cells, columns=columns)


def _resolve(named: Mapping[str, str]) -> Settings:
    return load_settings(named.get("preset"), **{name: text for name, text in named.items() if name != "preset"})


def _axis(text: str) -> tuple[str, list[str]]:
    word, _, listed = text.partition("=")
    name = word.strip().removeprefix("--")
    names = {flag_name(leaf).removeprefix("--"): leaf for _, leaf, _ in setting_fields()} | {"preset": "preset"}
    name = current_name(names.get(name, name))
    if name not in names.values():
        raise InputError(f"`vary` got {text!r}: there is no setting {word!r}.{nearest(word, names)} {_EXAMPLE}")
    values = [value.strip() for value in split_outside_quotes(listed, "|") if value.strip()]
    if name == "preset":
        values = [preset for value in values for preset in _tagged(value)]
    if not values:
        raise InputError(f"`vary` got {text!r}: it lacks values after '{name}='. {_EXAMPLE}")
    return name, values


def _tagged(value: str) -> list[str]:
    """Name the presets that a tag such as #painting stands for; anything else is a preset itself."""
    if not value.startswith("#"):
        return [value]
    return [preset.name for preset in presets_tagged(value.removeprefix("#"))]


def _presets(settings: Settings) -> list[str]:
    """Name the shipped presets that use the same network."""
    found = [preset.name for preset in list_presets("run")]
    return [name for name in found if load_settings(name).network == settings.network] or found[:1]


def _spread(objective: str, settings: Settings) -> Iterator[str]:
    """Yield the objectives that * stands for."""
    layer, _, channels = objective.partition(":")
    if "*" not in layer and channels.strip() != "*":
        yield objective
        return
    device = resolve_device(settings.render.device)  # as for the dream, which takes the same network
    network = load_network(settings.network.model, settings.network.weights, device=device)
    if "*" not in layer:
        yield from (f"{layer.strip()}:{channel}" for channel in range(network.table.channels(layer.strip())))
        return
    found = [name for name in network.table.rows if fnmatch.fnmatchcase(name, layer.strip())]
    if not found:
        raise InputError(
            f"`vary` objective: no layer of {network.name!r} matches {layer!r}. `dreamvid layers {network.name}` lists "
            "them."
        )
    yield from (f"{name}:{channels}" if channels else name for name in found)


def _flags(named: Mapping[str, str]) -> str:
    return " ".join(f"{flag_name(name)} {shlex.quote(text)}" for name, text in named.items())
