"""Words for ImageNet's classes: names, groups, patterns, lists."""

import pytest
import torch
from torch import nn

from dreamvid.dream.objectives.binding import resolve_objective
from dreamvid.dream.objectives.class_groups import group, group_names
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.objectives.terms.class_ import CLASSES, class_indices, class_name
from dreamvid.errors import ObjectiveError
from dreamvid.networks.class_map import find_class_map
from dreamvid.networks.network import Network


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
    assert find_class_map(Network("deep", Deep(), input_size=32)) is None


def test_each_position_becomes_the_class_that_is_nearest() -> None:
    network = Network("small", Small(), input_size=32)
    bound = resolve_objective(parse_objective('class:"poodle, not pug"'), network)
    image = torch.rand(1, 3, 24, 32)
    activations = network.truncate(bound.layers)(image)
    head = network.module.head
    maps = torch.einsum("kc,nchw->nkhw", head.weight, activations["act"]) + head.bias[:, None, None]
    expected = maps[:, 265:268].exp().mean(1, keepdim=True).log() - maps[:, 254:255]
    torch.testing.assert_close(bound.density(activations), expected)


def test_without_a_map_the_logits_count() -> None:
    network = Network("deep", Deep(), input_size=32)
    bound = resolve_objective(parse_objective("class:poodle"), network)
    activations = network.truncate(bound.layers)(torch.rand(2, 3, 24, 32))
    expected = activations["head"][:, 265:268].exp().mean(1).log()
    torch.testing.assert_close(bound(activations), expected)
