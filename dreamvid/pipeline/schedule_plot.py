"""The schedules of settings as a picture: what changes while a film runs."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamvid.pipeline.plot import COLOURS, Line, panel
from dreamvid.settings import JOURNEY_FORMAT, Settings
from dreamvid.settings.merge import flag_name
from dreamvid.settings.model import numeric_leaves
from dreamvid.settings.schedule import parse_schedule
from dreamvid.settings.stations import parse_stations
from dreamvid.video.image import write_image

_RATE = 30
_BEAT_SECONDS = 0.5


def plot_schedules(settings: Settings, path: str | Path) -> int:
    """Draw every schedule, and the objectives in turn, over the length of the film, into the picture `path`.

    Where a schedule listens, it hears a drum twice a second. Returns how many panels there are; without any, nothing is
    written. Raises SettingsError for a value out of bounds, OutputError when it cannot be written.
    """
    seconds = np.arange(round(_length_seconds(settings) * _RATE) + 1) / _RATE
    panels = []
    stations = parse_stations(settings.dream.objective)
    if len(stations.stations) > 1:
        weights = [dict(stations.at(float(now))) for now in seconds]
        lines = [
            Line(text, np.array([weight.get(text, 0.0) for weight in weights]), COLOURS[number % len(COLOURS)])
            for number, text in enumerate(stations.objectives)
        ]
        panels.append(panel("objective", seconds, lines))
    moments = [settings.at(float(now), number, _drum(float(now))) for number, now in enumerate(seconds)]
    for name, text in settings.schedules.items():
        group, field = numeric_leaves()[name]
        unit = field.json_schema_extra.get("unit", "") if isinstance(field.json_schema_extra, dict) else ""
        values = np.array([float(getattr(getattr(moment, group), name)) for moment in moments])
        heard = " (to a drum, twice a second)" if parse_schedule(text).names else ""
        title = f"{flag_name(name)} {unit and f'[{unit}]'} = {_shortened(text)}{heard}"
        panels.append(panel(title, seconds, [Line("", values, COLOURS[0])]))
    if panels:
        write_image(path, _stacked(panels))
    return len(panels)


def _length_seconds(settings: Settings) -> float:
    stop = settings.video.frame_range()[1] or JOURNEY_FORMAT.frame_range()[1] or 1
    return float(stop / (settings.video.rate() or JOURNEY_FORMAT.rate() or 1))


def _drum(seconds: float) -> dict[str, float]:
    since = seconds % _BEAT_SECONDS
    level = float(0.5 ** (since / 0.12))
    return {"rms": level, "bass": level, "mid": 0.5 * level, "treble": 0.3 * level, "onset": level, "beat": level}


def _shortened(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:69]}..."


def _stacked(panels: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    return np.concatenate(panels)
