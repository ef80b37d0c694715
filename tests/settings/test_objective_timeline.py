import pytest

from dreamvid.errors import SettingsError
from dreamvid.settings.objective_timeline import ObjectiveKeyframe, ObjectiveTimeline, parse_timeline

JOURNEY = ["blocks.3.2", "0.5*blocks.4.1 + blocks.5.0:7 @ 5s", "class:peacock @ 10s"]


def test_one_objective_is_one_keyframe() -> None:
    timeline = parse_timeline("blocks.4.1 - 0.2*blocks.3.2")
    assert timeline.keyframes == (ObjectiveKeyframe("blocks.4.1 - 0.2*blocks.3.2", 0.0),)
    assert timeline.at(3.0) == [("blocks.4.1 - 0.2*blocks.3.2", 1.0)]


@pytest.mark.parametrize("separator", [" | ", ";", "|"])
def test_lists_and_text_say_the_same(separator: str) -> None:
    assert parse_timeline(separator.join(JOURNEY)) == parse_timeline(JOURNEY)


def test_weights_sum_to_1_and_each_station_is_reached_alone() -> None:
    timeline = parse_timeline(JOURNEY)
    for tenth in range(-10, 150):
        weights = timeline.at(tenth / 10)
        assert sum(weight for _, weight in weights) == pytest.approx(1)
        assert all(weight > 0 for _, weight in weights)
    assert timeline.at(-1) == timeline.at(0) == [("blocks.3.2", 1.0)]
    assert timeline.at(5) == [("0.5*blocks.4.1 + blocks.5.0:7", 1.0)]
    assert timeline.at(10) == timeline.at(99) == [("class:peacock", 1.0)]
    assert dict(timeline.at(7.5)) == pytest.approx({"0.5*blocks.4.1 + blocks.5.0:7": 0.5, "class:peacock": 0.5})


def test_a_keyframe_may_begin_late_and_say_how_it_is_reached() -> None:
    timeline = parse_timeline("a @ 2s | b @ 4s hold | c @ 6s linear")
    assert timeline.at(3.9) == [("a", 1.0)]
    assert timeline.at(4.5) == [("b", 0.75), ("c", 0.25)]


def test_the_same_objective_twice_is_a_stay() -> None:
    timeline = parse_timeline("a | a @ 2s | b @ 4s")
    assert timeline.at(1) == [("a", 1.0)]
    assert timeline.objectives == ("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a @ 1s",
        "a | b @ 2.5s | c @ 1000000.125s hold",
        'class:"x | y; z" | guide("f.jpg")@inception3b @ 3s',
    ],
)
def test_text_reads_back(text: str) -> None:
    timeline = parse_timeline(text)
    assert parse_timeline(str(timeline)) == timeline
    assert str(timeline) == text


def test_a_guide_is_no_time_and_quotes_hold_separators() -> None:
    timeline = parse_timeline('guide("a|b.jpg")@inception3b | class:"golden retriever" @ 4 s')
    assert timeline == ObjectiveTimeline(
        (ObjectiveKeyframe('guide("a|b.jpg")@inception3b', 0.0), ObjectiveKeyframe('class:"golden retriever"', 4.0))
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a | b", r"Objective 2 \('b'\) needs its time: 'b @ 5s'"),
        ("a @ 5s; b @ 4s", "'b' at 4s comes after 'a' at 5s"),
        ("a; ; b @ 4s", "Objective 2 .* empty"),
        ("", "Objective 1 .* empty"),
        ([], "at least one"),
        ("a @ 5", "seconds"),
        ("a | b @ 5m", "seconds"),
        ("a | b @ 5s hodl", "'hold'"),
        (["a", 3], "Objective 2 .* text"),
    ],
)
def test_bad_stations_are_named(source: object, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_timeline(source)  # type: ignore[arg-type]
