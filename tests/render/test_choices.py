"""The settings that say how the ascent goes, on their way to the image."""

import pytest
import torch
from torch import Tensor

from dreamvid.coherence.frame_dreamer import FrameDreamer, MotionField
from dreamvid.metrics.score import ObjectiveMeter
from dreamvid.settings import Settings, load_settings


def settings(**overrides: object) -> Settings:
    tiny = {"octaves": 2, "iterations": 2, "dream_height": 48, "device": "cpu", "objective": "blocks.1.0"}
    return load_settings(**{**tiny, **overrides})


def frame(seed: int = 1) -> Tensor:
    return 0.2 + 0.6 * torch.rand(1, 3, 48, 52, generator=torch.Generator().manual_seed(seed))


def dream(**overrides: object) -> Tensor:
    dreamer = FrameDreamer(settings(**overrides))
    return dreamer.dream(dreamer.frame(frame()), None, index=0, elapsed_seconds=0)


def test_every_choice_changes_the_dream() -> None:
    plain = dream()
    for choice in (
        {"optimizer": "adam"},
        {"total_variation": 0.5},
        {"reduction": "mean"},
        {"objective": "blocks.1.0:strongest(3)"},
    ):
        dreamed = dream(**choice)
        assert (dreamed - plain).abs().mean() > 1e-4, choice
        assert dreamed.min() >= 0
        assert dreamed.max() <= 1


def test_measures_are_those_of_the_layer() -> None:
    """A layer's mean is that of all its channels, and so are its squares."""
    for measure, named in (("mean", "auto"), ("l2", "l2")):
        layer = ObjectiveMeter.from_settings(settings(reduction=measure))
        channels = ObjectiveMeter.from_settings(settings(reduction=named, objective="blocks.1.0:0-23"))
        assert layer.value(frame()) == pytest.approx(channels.value(frame()), rel=1e-4)


def test_a_schedule_can_turn_the_weight_of_variation() -> None:
    dreamer = FrameDreamer(settings(total_variation="0s: 0, 1s: 0.5"))

    def at(seconds: float) -> Tensor:
        dreamer.reset()
        return dreamer.dream(dreamer.frame(frame()), None, index=0, elapsed_seconds=0, time_seconds=seconds)

    assert torch.equal(at(0), dream())
    assert torch.equal(at(1), dream(total_variation=0.5))


def test_adam_carries_nothing_from_frame_to_frame() -> None:
    """What is stored between frames is all there is: a render goes on in the same frames after a stop."""
    size = (48, 52)
    still = MotionField(torch.zeros(1, 2, *size), torch.ones(1, 1, *size), torch.zeros(1, 1, *size))
    first = FrameDreamer(settings(optimizer="adam", total_variation=0.1))
    first.dream(first.frame(frame()), None, index=0, elapsed_seconds=0)
    second = FrameDreamer(settings(optimizer="adam", total_variation=0.1))
    second.load_state(first.state())
    going_on, anew = (one.dream(one.frame(frame(2)), still, index=1, elapsed_seconds=0.04) for one in (first, second))
    assert torch.equal(going_on, anew)
