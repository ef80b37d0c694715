"""Objectives: their text, their values, their densities."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from dreamvid.dream.objectives.layers import IgnoreTerm, LayerTerm, Selection, SelectionTerm
from dreamvid.dream.objectives.objective import Objective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.objectives.terms.class_ import ClassTerm
from dreamvid.errors import NetworkError, ObjectiveError
from dreamvid.networks.network import Network, load_network


class Tiny(nn.Module):
    """Layers `a` (6 channels, stride 1), `b` (4 channels, stride 3) and logits `fc` of a thousand classes."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.b = nn.Conv2d(6, 4, 3, stride=3)
        self.fc = nn.Linear(4, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.a(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def tiny() -> Network:
    torch.manual_seed(0)
    return Network("tiny", Tiny())


def activations(network: Network, text: str, size: tuple[int, int] = (11, 17)) -> dict[str, Tensor]:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    return network.truncate(parse_objective(text).resolve(network.table).layers)(x)


names = st.from_regex(r"[A-Za-z0-9_/]+(\.[A-Za-z0-9_/]+)*", fullmatch=True).filter(lambda name: name != "class")
channels = st.none() | st.sets(st.integers(0, 300), min_size=1).map(lambda them: tuple(sorted(them)))
class_names = st.from_regex(r"[A-Za-z0-9_']+( [A-Za-z0-9_'-]+)*", fullmatch=True)
modes = st.sampled_from(["strongest", "weakest", "average"])
shares = st.integers(1, 10_000).map(lambda hundredths: hundredths / 100)
selections = st.builds(Selection, modes, st.integers(1, 65535).map(float)) | st.builds(
    Selection, modes, shares, st.just(True)
)
atoms = (
    st.builds(LayerTerm, names, channels)
    | st.builds(ClassTerm, class_names)
    | st.builds(SelectionTerm, names, selections)
    | st.builds(IgnoreTerm, names, channels.filter(bool))
)
weights = st.floats(allow_nan=False, allow_infinity=False)
objectives = st.lists(st.tuples(weights, atoms), min_size=1, max_size=5).map(lambda them: Objective(tuple(them)))


@given(objectives)
def test_text_reads_back_as_the_same_objective(objective: Objective) -> None:
    assert parse_objective(str(objective)) == objective


@given(st.text(alphabet='ab4.:,-+*() "0clas\n', max_size=12))
def test_any_text_is_read_or_refused_with_a_message(text: str) -> None:
    try:
        objective = parse_objective(text)
    except ObjectiveError:
        return
    assert parse_objective(str(objective)) == objective


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (" blocks.4.1 ", "blocks.4.1"),
        ("mixed4d:65+mixed4d:139", "mixed4d:65 + mixed4d:139"),
        ("0.5*mixed3 - .20*mixed5", "0.5*mixed3 - 0.2*mixed5"),
        ("0.5*(a + 2*(b - c:7))", "0.5*a + b - c:7"),
        ("a:3,1,2,2,9-11", "a:1-3,9-11"),
        ("-(a - b)", "-a + b"),
        ('class:"golden retriever" + class:"peacock"', 'class:"golden retriever" + class:peacock'),
        ("features.20:3 + 20", "features.20:3 + 20"),
        ("a:strongest( 8 ) - 2*b:weakest(12.50 %)", "a:strongest(8) - 2*b:weakest(12.5%)"),
        ("a: average(3)+a:ignore( 9,2-4,3 )", "a:average(3) + a:ignore(2-4,9)"),
    ],
)
def test_text_in_its_plainest_form(text: str, same: str) -> None:
    assert str(parse_objective(text)) == same


def test_objectives_are_values() -> None:
    a, b = parse_objective("a"), parse_objective("b:3")
    assert a + 2 * b == parse_objective("a + 2*b:3")
    assert a - b * 0.5 == parse_objective("a - 0.5*b:3")
    assert -a == parse_objective("-a")
    assert [str(term) for _, term in (a + b + a + parse_objective("class:207")).terms] == ["a", "b:3", "a", "class:207"]
    with pytest.raises(ObjectiveError, match="finite"):
        float("inf") * a


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 0, "a layer's name"),
        ("a +", 3, "a layer's name"),
        ("a b", 2, r"'\+', '-' or the end, not 'b'"),
        ("a*2", 1, "a weight goes in front: 0.5"),
        ("(a + b", 6, r"'\)' to close"),
        ("a)", 1, r"not '\)'"),
        ("a:x", 2, "a channel's number, a range such as 0-19"),
        ("a:5-2", 2, "from the lower to the higher channel, not 5-2"),
        ("a:70000", 2, "at most 65535"),
        ("a:99999999999999999999", 2, "at most 65535"),
        ("class", 5, "':' and what class is to show, such as class:NAME"),
        ('a + class:"', 10, "a class: its number"),
        ("1e999*a", 0, "a finite weight"),
        ("a:strong(8)", 2, r"strongest\(8\), weakest\(8\)"),
        ("a:strongest(0)", 12, r"strongest\(10%\)"),
        ("a:weakest(101%)", 10, "up to 100%"),
        ("a:average(2.5)", 10, "a whole number of channels"),
        ("a:average(2", 11, r"'\)' after"),
        ("a:ignore()", 9, "a channel's number"),
        ("(" * 60 + "a" + ")" * 60, 51, "at most 50 parentheses"),
    ],
)
def test_errors_show_the_place(text: str, column: int, expected: str) -> None:
    with pytest.raises(ObjectiveError, match=expected) as caught:
        parse_objective(text)
    lines = str(caught.value).splitlines()
    assert lines[1] == f"  {text}"
    assert lines[2] == " " * (2 + column) + "^"
    assert "For example: " in lines[3]


def test_values(tiny: Network) -> None:
    text = "a + a:2 + a:1-3 + b:0,3 + class:207"
    layers = activations(tiny, text)
    a, b, logits = layers["a"], layers["b"], layers["fc"]
    for term, expected in {
        "a": a.square().mean((1, 2, 3)),
        "a:2": a[:, 2].mean((1, 2)),
        "a:1-3": a[:, 1:4].mean((1, 2, 3)),
        "b:0,3": b[:, [0, 3]].mean((1, 2, 3)),
        'class:"golden retriever"': logits[:, 207],
        "0.5*a - 2*b:1": 0.5 * a.square().mean((1, 2, 3)) - 2 * b[:, 1].mean((1, 2)),
        "2*fc": 2 * logits.square().mean(1),
        "a:ignore(1,4-5)": a[:, [0, 2, 3]].square().mean((1, 2, 3)),
    }.items():
        torch.testing.assert_close(parse_objective(term).resolve(tiny.table)(layers), expected)


def test_what_counts_of_activations(tiny: Network) -> None:
    layers = activations(tiny, "a + class:207")
    a, logits = layers["a"], layers["fc"]
    for term, chosen in {
        "a": a,
        "a:2": a[:, 2:3],
        "a:0,4-5": a[:, [0, 4, 5]],
        "a:ignore(3)": a[:, [0, 1, 2, 4, 5]],
    }.items():
        objective = parse_objective(term)
        torch.testing.assert_close(objective.resolve(tiny.table, reduction="mean")(layers), chosen.mean((1, 2, 3)))
        torch.testing.assert_close(
            objective.resolve(tiny.table, reduction="l2")(layers), chosen.square().mean((1, 2, 3))
        )
    for measure in ("mean", "l2"):
        torch.testing.assert_close(
            parse_objective("class:207").resolve(tiny.table, reduction=measure)(layers), logits[:, 207]
        )


@pytest.mark.parametrize("mode", ["strongest", "weakest", "average"])
@pytest.mark.parametrize(("amount", "count"), [("1", 1), ("3", 3), ("6", 6), ("1%", 1), ("50%", 3), ("100%", 6)])
def test_channels_are_selected_by_their_mean(tiny: Network, mode: str, amount: str, count: int) -> None:
    """Each image's own channels, by a search that knows nothing of tensors; and no slope for the others."""
    text = f"a:{mode}({amount})"
    a = activations(tiny, text)["a"].requires_grad_()
    bound = parse_objective(text).resolve(tiny.table)
    expected, used = [], []
    for image in a.detach().double():
        means = [float(channel.mean()) for channel in image]
        middle = sum(means) / len(means)
        keys = {"strongest": [-m for m in means], "weakest": means, "average": [abs(m - middle) for m in means]}[mode]
        chosen = sorted(range(6), key=keys.__getitem__)[:count]
        expected.append(float(image[chosen].square().mean()))
        used.append(set(chosen))
    value = bound({"a": a})
    assert value.tolist() == pytest.approx(expected, rel=1e-5)
    (slope,) = torch.autograd.grad(value.sum(), a)
    assert [set(one.abs().sum((1, 2)).nonzero()[:, 0].tolist()) for one in slope] == used


def test_of_equal_channels_the_first_are_selected(tiny: Network) -> None:
    same = torch.ones(1, 6, 2, 2, requires_grad=True)
    for mode in ("strongest", "weakest", "average"):
        value = parse_objective(f"a:{mode}(2)").resolve(tiny.table)({"a": same})
        (slope,) = torch.autograd.grad(value.sum(), same)
        assert slope.sum((0, 2, 3)).nonzero()[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    "text",
    ["a", "b:1", "a - 0.5*b", "a:1-2 + b:0,3 - 0.1*class:5", "class:207", "b + fc:3", "a:weakest(2) + fc:strongest(9)"],
)
@pytest.mark.parametrize("size", [(11, 17), (3, 3), (6, 31)])
def test_mean_of_the_density_is_the_value(tiny: Network, text: str, size: tuple[int, int]) -> None:
    layers = activations(tiny, text, size)
    bound = parse_objective(text).resolve(tiny.table)
    density = bound.density(layers)
    finest = max((layer.shape[2:] if layer.ndim == 4 else (1, 1)) for layer in layers.values())
    assert density.shape == (2, 1, *finest)
    torch.testing.assert_close(density.mean((1, 2, 3)), bound(layers), rtol=1e-4, atol=1e-6)


def test_density_is_where_the_activations_are() -> None:
    bound = parse_objective("0:0").resolve(Network("one", nn.Sequential(nn.Conv2d(3, 2, 1))).table)
    activation = torch.zeros(1, 2, 4, 5)
    activation[0, 0, 1, 3] = 7
    assert bound.density({"0": activation})[0, 0].nonzero().tolist() == [[1, 3]]


def test_half_precision_does_not_overflow(tiny: Network) -> None:
    layers = {"a": torch.full((1, 6, 4, 4), 1000.0, dtype=torch.float16)}
    assert parse_objective("a").resolve(tiny.table)(layers).item() == pytest.approx(1e6)


def test_binding_checks_names(tiny: Network) -> None:
    with pytest.raises(ObjectiveError, match=r"no channel 6: its 6 channels are numbered 0 to 5"):
        parse_objective("a:2-6").resolve(tiny.table)
    with pytest.raises(ObjectiveError, match=r"no channel 6"):
        parse_objective("a:ignore(6)").resolve(tiny.table)
    with pytest.raises(ObjectiveError, match=r"all of its 6 channels are ignored"):
        parse_objective("a:ignore(0-5)").resolve(tiny.table)
    with pytest.raises(ObjectiveError, match=r"has 6 channels, too few for strongest\(7\)"):
        parse_objective("a:strongest(7)").resolve(tiny.table)
    with pytest.raises(NetworkError, match=r"no layer 'aa'.*`dreamvid layers tiny`"):
        parse_objective("b + aa").resolve(tiny.table)
    with pytest.raises(ObjectiveError, match=r"'goldn retriever'.*'golden retriever'"):
        parse_objective('class:"goldn retriever"').resolve(tiny.table)
    two = Network("two", nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(ObjectiveError, match=r"has 2 classes.*2:0-1"):
        parse_objective("class:1").resolve(two.table)
    with pytest.raises(NetworkError, match="no layer of class logits"):
        parse_objective("class:1").resolve(Network("none", nn.Sequential(nn.Conv2d(3, 2, 1))).table)


def test_binding_resolves_aliases() -> None:
    bound = parse_objective("mixed4c:139 + class:peacock").resolve(load_network("googlenet", "random").table)
    assert bound.layers == ("inception4c", "fc")
