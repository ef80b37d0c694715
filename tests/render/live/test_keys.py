"""Keys of the window and the page."""

import pytest

from dreamvid.render.live.controls import ACTIONS, Controls
from dreamvid.render.live.keys import KEYS, key_name, key_of, press_key
from dreamvid.settings import load_settings


def test_every_action_has_a_key() -> None:
    assert [action for action in ACTIONS if not key_of(action)] == []
    assert set(KEYS.values()) == {*ACTIONS, "full screen", "quit"}


@pytest.mark.parametrize(
    ("code", "name"),
    [(32, "space"), (27, "escape"), (ord("n"), "n"), (ord("N"), "n"), (ord("3"), "3"), (0x100000 | ord("r"), "r")]
    + [(code, "") for code in (-1, 255, 65361, 0x1001B5, 9, 13)],
)
def test_codes_of_the_window_have_names(code: int, name: str) -> None:
    assert key_name(code) == name


def test_keys_do_what_the_table_says() -> None:
    controls = Controls(load_settings())
    assert [press_key(controls, name) for name in ("space", "r", "x", "", "f", "escape", "q", "0", "9")] == [
        *("", "", "", ""),
        *("full screen", "quit", "quit", "", ""),
    ]
    assert [action.name for action in controls.take()] == ["freeze", "record"]
    press_key(controls, "2")
    assert controls.preset_name == controls.presets()[1].name
