"""Words for ImageNet's classes: names, groups, patterns, lists."""

import numpy as np
import pytest
import torch
from torch import nn

from dreamvid import dream_image
from dreamvid.dream.objectives.binding import resolve_objective
from dreamvid.dream.objectives.class_groups import group, group_names
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.objectives.terms.class_ import CLASSES, class_indices, class_name
from dreamvid.errors import ObjectiveError
from dreamvid.networks.class_map import find_class_map
from dreamvid.networks.network import Network, load_network
from dreamvid.settings import load_settings


def names(words: str) -> set[str]:
    return {class_name(index) for index in class_indices(words)[0]}


def test_a_word_stands_for_a_group() -> None:
    assert len(class_indices("dog")[0]) == 118
    assert {"golden retriever", "pug", "Chihuahua"} <= names("dogs")
    assert {"macaw", "peacock", "king penguin"} <= names("bird")
    assert names("shark") == {"great white shark", "tiger shark", "hammerhead"}


def test_a_class_is_meant_before_a_group() -> None:
    assert class_indices("mushroom")[0] == (947,)
    assert class_indices("goldfish")[0] == (1,)


def test_patterns() -> None:
    assert names("*retriever*") == {class_name(index) for index in range(205, 210)}
    assert 94 in class_indices("*bird*")[0]
    assert set(class_indices("hum?ingbird")[0]) == {94}


def test_lists_and_what_is_kept_away() -> None:
    wanted, unwanted = class_indices("poodle, tabby, not toy poodle")
    assert set(wanted) == {266, 267, 281}
    assert unwanted == (265,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("pecock", r"No ImageNet class or group is called 'pecock'.*Did you mean 'peacock'.*such as \*peco\*"),
        ("*unicorn*", r"No ImageNet class is like '\*unicorn\*'.*\*bird\* finds"),
        ("not dog", r"wants nothing.*in front of `not`"),
        ("1000", "numbered 0 to 999"),
    ],
)
def test_mistakes(words: str, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        class_indices(words)


def test_groups_are_classes_and_each_word_is_found() -> None:
    for word in group_names():
        found = group(word)
        assert found
        assert len(set(found)) == len(found)
        assert 0 <= min(found) <= max(found) < CLASSES


def test_text_round_trip() -> None:
    text = 'class:"*bird*, not owl" - 0.2*class:dog'
    assert str(parse_objective(text)) == text


class Small(nn.Module):
    """A classifier that reads the mean of its last map."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, 12, 5, 4, 2)
        self.act = nn.ReLU()
        self.head = nn.Linear(12, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.features(x)).mean((2, 3)))


class Deep(Small):
    """A classifier that computes more behind the pooling."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.features(x).mean((2, 3))))


def test_the_map_of_classes_has_the_logits_for_its_mean() -> None:
    found = find_class_map(Network("small", Small(), input_size=32))
    assert found is not None
    assert found.layer == "act"
    assert found.window == 7  # 32 pixels are 8 positions
    assert find_class_map(Network("deep", Deep(), input_size=32)) is None


def test_each_position_sees_what_is_in_the_window_around_it() -> None:
    network = Network("small", Small(), input_size=32)
    head = network.module.head
    image = torch.rand(1, 3, 40, 48)
    for text, unwanted in (('class:"poodle, not pug"', 254), ("class:poodle", None)):
        bound = resolve_objective(parse_objective(text), network)
        activations = network.truncate(bound.layers)(image)
        act = activations["act"]
        density = bound.density(activations)
        assert density.shape == (1, 1, 10, 12)
        for y, x in ((0, 0), (4, 5), (9, 3)):
            window = act[0, :, max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].mean((1, 2))
            share = (window @ head.weight.T + head.bias).softmax(0)
            expected = share[265:268].sum().log()
            if unwanted is not None:
                expected = (expected + (share[265:268].sum() / share[unwanted]).log()) / 2
            torch.testing.assert_close(density[0, 0, y, x], expected)


def test_without_a_map_the_logits_count() -> None:
    network = Network("deep", Deep(), input_size=32)
    bound = resolve_objective(parse_objective("class:poodle"), network)
    activations = network.truncate(bound.layers)(torch.rand(2, 3, 24, 32))
    expected = activations["head"][:, 265:268].exp().mean(1).log()
    torch.testing.assert_close(bound(activations), expected)


@pytest.mark.parametrize("word", ["goldfish", "peacock"])
def test_a_dream_of_noise_is_seen_as_its_class(word: str) -> None:
    """The whole dream goes through the classifier, at a size and a place that the ascent did not use."""
    frame = np.random.default_rng(0).normal(128, 25, (128, 128, 3)).clip(0, 255).astype(np.uint8)
    settings = load_settings("aviary", objective=f"class:{word}", octaves=3, iterations=10)
    dream = dream_image(frame, settings)
    network = load_network()
    image = torch.from_numpy(dream[6:-3, 5:-8].copy()).permute(2, 0, 1)[None].float() / 255
    image = torch.nn.functional.interpolate(image, (200, 190), mode="bilinear", antialias=True)
    classify = network.truncate([network.table.logits_layer or ""])
    with torch.no_grad():
        before, after = (next(iter(classify(x).values())).softmax(1)[0] for x in (torch.rand_like(image), image))
    index = class_indices(word)[0][0]
    assert before[index] < 0.1
    assert after.argmax() == index
