"""Name palettes, with their chroma in OKLab; the page of settings lists them without loading PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass

NONE, SOURCE = "none", "source"


@dataclass(frozen=True)
class Chroma:
    """A palette's chroma: the mean of a and b, the larger and the smaller spread, and the angle of the larger one."""

    a: float
    b: float
    spread: float
    narrow: float
    degrees: float = 0.0


# Angles of hues in OKLab: red 29°, orange 58°, yellow 110°, green 142°, cyan 195°, blue 264°, magenta 328°.
NAMED_PALETTES: Mapping[str, Chroma] = {
    "warm": Chroma(0.055, 0.080, 0.050, 0.022, 50),
    "cool": Chroma(-0.035, -0.075, 0.042, 0.020, 250),
    "mono": Chroma(0.0, 0.0, 0.0, 0.0),
    "sepia": Chroma(0.018, 0.048, 0.012, 0.006, 70),
    "pastel": Chroma(0.010, 0.005, 0.032, 0.032),
    "neon": Chroma(0.030, -0.030, 0.150, 0.120, 300),
    "earth": Chroma(0.014, 0.045, 0.034, 0.016, 80),
    "ocean": Chroma(-0.055, -0.030, 0.050, 0.022, 230),
    "autumn": Chroma(0.070, 0.090, 0.065, 0.035, 60),
    "violet": Chroma(0.050, -0.080, 0.070, 0.030, 310),
}
PALETTES = (NONE, SOURCE, *NAMED_PALETTES)
"""What the setting `palette` takes besides an image."""
