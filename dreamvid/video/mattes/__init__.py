"""Masks that are computed from the frames: of the subject, of the background, of what moves."""

from collections.abc import Mapping
from types import MappingProxyType

MATTES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "subject": ("subject", "SubjectMatte"),
        "background": ("subject", "BackgroundMatte"),
        "motion": ("motion", "MotionMatte"),
    }
)
"""The names of mattes, with the module and the class of each: loading one reads a network."""
