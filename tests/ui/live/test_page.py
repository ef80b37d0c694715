"""The page in a real browser: a dream that moves, knobs, presets, keys, the camera, a phone."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from small_live import BITS, BLOCK, HEIGHT, WIDTH, SmallLive

from dreamvid.ui.live.page import LivePage
from dreamvid.ui.live.remote import Remote
from dreamvid.ui.live.server import LiveServer
from dreamvid.video.ffmpeg import run_ffmpeg

pytestmark = [pytest.mark.browser, pytest.mark.extra("playwright")]

# Reads the frame's number and the step size off the picture that is shown.
READ = f"""(image) => {{
  const canvas = new OffscreenCanvas({WIDTH}, {HEIGHT});
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, {WIDTH}, {HEIGHT});
  const at = (x, y) => context.getImageData(x, y, 1, 1).data;
  let number = 0;
  for (let bit = 0; bit < {BITS}; bit += 1) if (at((bit + 0.5) * {BLOCK}, {BLOCK // 2})[1] > 127) number += 2 ** bit;
  const [red] = at({WIDTH // 4}, {HEIGHT // 2});
  return {{ number, red, corner: [...at({WIDTH - 40}, {HEIGHT - 30})].slice(0, 3) }};
}}"""
# Moves a slider as a hand does, and counts the frames until the picture shows it.
FRAMES_UNTIL_SHOWN = f"""async ([slider, place]) => {{
  const read = {READ};
  const image = document.getElementById("picture");
  const knob = document.getElementById(slider);
  const before = read(image);
  knob.value = place;
  knob.dispatchEvent(new Event("input", {{ bubbles: true }}));
  for (let frame = 0; frame < 300; frame += 1) {{
    await new Promise(requestAnimationFrame);
    const now = read(image);
    if (Math.abs(now.red - before.red) > 20) return now.number - before.number;
  }}
  return -1;
}}"""


@pytest.fixture(scope="module")
def camera_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fake camera sees: green."""
    path = tmp_path_factory.mktemp("camera") / "green.y4m"
    run_ffmpeg(
        ["-f", "lavfi", "-i", "color=0x20C040:size=320x240:rate=15:duration=2", "-pix_fmt", "yuv420p", f"file:{path}"],
        "making a camera's picture",
    )
    return path


@pytest.fixture(scope="module")
def browser(chromium: str, camera_clip: Path) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-video-capture={camera_clip}",
            ],
        )
        yield started
        started.close()


@pytest.fixture
def session() -> Iterator[tuple[SmallLive, Remote]]:
    with SmallLive(fps=12) as host, Remote(host, port=0, osc=False, midi=()) as remote:
        yield host, remote


@pytest.fixture
def problems() -> list[str]:
    """What the browser complains of: errors of scripts, of the content security policy, requests to other hosts."""
    return []


@pytest.fixture
def visit(browser: Any, problems: list[str]) -> Iterator[Callable[..., Any]]:
    """Open a page, watched for problems."""
    contexts = []

    def visit(url: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        host = urlsplit(url).netloc

        def look(request: Any) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("blob", "data") and parts.netloc != host:
                problems.append(f"a request to {request.url}")

        page.on("request", look)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()


def keep(page: Any, name: str, **options: Any) -> None:
    """Keep a screenshot where the variable DREAMVID_SCREENSHOTS names a folder."""
    if folder := os.environ.get("DREAMVID_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"live-{name}.png", **options)


def shown(page: Any) -> dict[str, Any]:
    """Read what the picture shows: its number, the step size and the color of its corner."""
    read: dict[str, Any] = page.evaluate(f"({READ})(document.getElementById('picture'))")
    return read


def ready(page: Any) -> Any:
    page.wait_for_selector("body.ready")
    assert until(lambda: shown(page)["number"] > 0)
    return page


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def test_it_shows_a_moving_dream_and_asks_no_other_host(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    host, remote = session
    page = ready(visit(remote.url))
    numbers = []
    behind = []
    for _ in range(8):
        page.wait_for_timeout(100)
        number = shown(page)["number"]
        latest = host.output.latest()
        assert latest is not None
        numbers.append(number)
        behind.append(latest.number - number)
    assert numbers == sorted(numbers)
    assert numbers[-1] - numbers[0] >= 4
    assert np.median(behind) <= 2
    assert page.text_content("#fps") != "–"
    assert "camera:0" in page.text_content("#parts")
    keep(page, "page")
    assert problems == []


def test_a_knob_changes_the_picture_within_two_frames(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    host, remote = session
    page = ready(visit(remote.url))
    waits = [page.evaluate(FRAMES_UNTIL_SHOWN, ["setting-step_size", place]) for place in (900, 200, 800, 100, 900)]
    # The quickest, as on a busy machine the browser shows what it has got a few frames later.
    assert 0 < min(waits) <= 2, waits
    step = host.controls.control("step_size")
    assert host.controls.values()["step_size"] == pytest.approx(step.at(0.9), rel=0.01)
    assert problems == []


def test_every_control_has_a_row_with_its_help(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    host, remote = session
    page = ready(visit(remote.url))
    for control in host.controls.inventory():
        row = page.locator(f"[data-setting={control.name}]")
        assert row.count() == 1
        assert control.help in (row.locator(".help").text_content() or "")
    groups = dict.fromkeys(control.group.capitalize() for control in host.controls.inventory())
    assert page.locator("#groups h2").all_text_contents() == list(groups)
    assert problems == []


def test_values_expressions_and_mistakes(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    host, remote = session
    page = ready(visit(remote.url))
    field = page.locator("[data-setting=step_size] .value")
    field.fill("0.01 + 0.02*beat")
    field.press("Enter")
    assert until(lambda: host.controls.values()["step_size"] == "0.01 + 0.02*beat")
    page.wait_for_selector("[data-setting=step_size].expression")
    field.fill("7")
    field.press("Enter")
    error = page.locator("[data-setting=step_size] .error")
    error.wait_for()
    assert "above 0.0 up to 1.0" in error.text_content()
    keep(page, "mistake")
    objective = page.locator("[data-setting=objective] textarea")
    objective.fill('guide("/etc/passwd")@blocks.3.2')
    objective.press("Enter")
    page.wait_for_selector("[data-setting=objective] .error:has-text('may read a file')")
    objective.fill("blocks.3.2")
    objective.press("Enter")
    assert until(lambda: host.controls.values()["objective"] == "blocks.3.2")
    page.locator("[data-setting=keep_color] input").check()
    page.locator("[data-setting=optimizer] select").select_option("adam")
    assert until(lambda: (host.controls.values()["keep_color"], host.controls.values()["optimizer"]) == (True, "adam"))
    # What is changed elsewhere is shown.
    host.controls.set("octaves", 7)
    assert until(lambda: page.locator("[data-setting=octaves] .value").input_value() == "7")
    # Whatever the server refuses is written in the browser's log as well.
    assert [problem for problem in problems if "400" not in problem] == []


def test_presets_are_chosen_with_a_cross_fade(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    host, remote = session
    page = ready(visit(remote.url))
    names = [one.name for one in host.controls.presets()]
    assert page.locator(".preset").count() == len(names)
    page.locator("[data-preset=plants]").click()
    page.wait_for_selector("[data-preset=plants][aria-pressed=true]")
    assert host.controls.preset_name == "plants"
    assert host.controls.settings(0.0).dream.objective.startswith("blocks.4.1 @"), "it fades"
    page.keyboard.press("1")
    assert until(lambda: host.controls.preset_name == names[0])
    assert problems == []


def test_keys_and_buttons_do_the_actions(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    host, remote = session
    page = ready(visit(remote.url))
    page.keyboard.press("Space")
    page.wait_for_selector("[data-action=freeze][aria-pressed=true]")
    page.keyboard.press("Space")
    page.wait_for_selector("[data-action=freeze][aria-pressed=false]")
    for key, action in {"n": "reset", "s": "snapshot"}.items():
        page.keyboard.press(key)
        assert until(lambda action=action: action in host.done)  # type: ignore[misc]
    page.locator("[data-action=record]").click()
    page.wait_for_selector("[data-action=record][aria-pressed=true]")
    # A key in a field is text, and an arrow on a knob of whole numbers is one.
    before = list(host.done)
    page.locator("[data-setting=step_size] .value").focus()
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    page.locator("#setting-octaves").focus()
    page.keyboard.press("ArrowRight")
    assert until(lambda: host.controls.values()["octaves"] == 5)
    assert host.done == before
    # Everything can be reached with Tab.
    page.locator("[data-action=freeze]").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.action") == "blackout"
    assert problems == []


def test_the_camera_button_sends_the_browsers_camera(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    host, remote = session
    page = ready(visit(remote.url))
    page.locator("#camera").click()
    page.wait_for_selector("#camera[aria-pressed=true]")
    assert until(lambda: np.abs(np.subtract(shown(page)["corner"], (0x20, 0xC0, 0x40))).max() < 40)
    count = host.camera_frames
    assert until(lambda: host.camera_frames > count + 5), "it goes on"
    keep(page, "camera")
    page.locator("#camera").click()
    assert until(lambda: host.camera is None)
    assert problems == []


def test_output_is_the_picture_alone(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    _, remote = session
    page = visit(remote.output_url, viewport={"width": 1280, "height": 720})
    assert until(lambda: shown(page)["number"] > 0)
    assert page.locator("body *:visible").count() == 1
    box = page.locator("#picture").bounding_box()
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 1280, 720)
    keep(page, "output")
    assert problems == []


def test_the_session_as_a_command(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    host, remote = session
    page = ready(visit(remote.url))
    host.controls.set("half_life", 2.5)
    page.locator("#command").click()
    page.wait_for_selector("#command-dialog[open]")
    assert page.text_content("#command-text") == "dreamvid live camera:0 --to 'my stream.mp4' --half-life 2.5"
    keep(page, "command")
    page.locator("#command-copy").click()
    page.wait_for_selector("#command-copy:has-text('Copied')")
    page.keyboard.press("Escape")
    assert problems == []


def test_on_a_phone_nothing_is_cut_off(
    session: tuple[SmallLive, Remote], visit: Callable[..., Any], problems: list[str]
) -> None:
    host, remote = session
    page = ready(visit(remote.url, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.evaluate("scrollTo(0, 900)")
    page.wait_for_timeout(100)
    picture = page.locator("#picture").bounding_box()
    assert picture["y"] >= 0, "the picture stays while one scrolls to a knob"
    assert picture["width"] == 390
    keep(page, "phone")
    page.locator("[data-setting=keep_color] input").tap()
    assert until(lambda: host.controls.values()["keep_color"] is True)
    assert problems == []


def test_it_goes_on_when_the_session_is_back(visit: Callable[..., Any]) -> None:
    with SmallLive(fps=12) as host:
        first = LivePage(host)
        server = LiveServer(first, port=0)
        page = ready(visit(server.url))
        server.close()
        first.close()
        page.wait_for_selector("#notice:has-text('does not answer')")
        keep(page, "lost")
        second = LivePage(host)
        again = LiveServer(second, port=server.port)
        page.wait_for_selector("#notice", state="hidden", timeout=10_000)
        before = shown(page)["number"]
        assert until(lambda: shown(page)["number"] > before + 3)
        page.close()
        again.close()
        second.close()


def test_with_a_token_the_address_is_cleaned(visit: Callable[..., Any], problems: list[str]) -> None:
    with SmallLive(fps=12) as host, Remote(host, listen="0.0.0.0", port=0, osc=False, midi=()) as remote:
        page = ready(visit(f"http://127.0.0.1:{remote.server.port}/?token={remote.token}"))
        assert page.url == f"http://127.0.0.1:{remote.server.port}/"
        page.locator("[data-action=reset]").click()
        assert until(lambda: "reset" in host.done)
        assert problems == []
