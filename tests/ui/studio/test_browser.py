"""A person in a browser: drop a film, tune, compare, queue, watch, score, copy the command and run it.

With DREAMVID_SCREENSHOTS=FOLDER what has a picture is done with a larger film and the default settings, and the
pictures are written there: those of the documentation.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from renders import frames_of
from studio_page import (
    PATIENCE,
    PICTURES,
    QUICK,
    Server,
    change,
    choose,
    command,
    command_has,
    dreamed,
    drop,
    environment,
    jobs,
    make_footage,
    open_tab,
    picture,
    pixels,
    redreamed,
    set_number,
    stage,
    toast,
    until,
)

from dreamvid.image.io import write_image
from dreamvid.video.ffmpeg import run_ffmpeg

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.extra("gradio"), pytest.mark.browser]
draws_nothing = pytest.mark.skipif(bool(PICTURES), reason="has no picture")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("browser") / "studio")
    yield running
    running.close()


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator["Page"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE)
        yield opened
        browser.close()


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_footage(tmp_path_factory.mktemp("footage") / "Road at dusk.mp4")


def test_a_film_is_dropped_scrubbed_and_tuned(page: "Page", server: Server, footage: Path) -> None:
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if not _is_own(request.url, server.url) else None)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server.url)
    page.get_by_text("Drop a video or an image here").wait_for()
    assert page.title() == "dreamvid studio"
    drop(page, footage, footage.name)
    page.locator(".dv-card[data-name='sources/Road at dusk.mp4']").wait_for()
    number = dreamed(page)
    if not PICTURES:
        page.locator("#dv-run-objective textarea").fill(QUICK["objective"])
        for label, value in QUICK.items():
            if label != "objective":
                set_number(page, {"dream height": "dream height [px]"}.get(label, label), value)
        for label, value in QUICK.items():  # they arrive in more than one event
            command_has(page, f"--{label.replace(' ', '-')}={value}")
        number = dreamed(page)

    # scrub: another moment is another picture; the shot is marked
    before = pixels(page, "#dv-stage-run .dv-wipe")
    page.locator("#dv-stage-run .dv-shot").first.wait_for()  # the facts of a film come after its first picture
    assert page.locator("#dv-stage-run .dv-shot").count() == 1
    bar = page.locator("#dv-stage-run .dv-scrub")
    box = bar.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 10)
    number = redreamed(page, number)
    assert pixels(page, "#dv-stage-run .dv-wipe") != before
    bar.focus()
    page.keyboard.press("ArrowRight")
    number = redreamed(page, number)

    # presets are dreamed on this frame
    until(lambda: page.locator("#dv-stage-run .dv-preset img[src]").count() >= 4, "the presets' thumbnails")
    picture(page, "tune")
    before = pixels(page, "#dv-stage-run .dv-wipe")

    # a knob moves: a new picture, first coarse, then fine
    set_number(page, "step size", "0.03")
    number = redreamed(page, number)
    assert pixels(page, "#dv-stage-run .dv-wipe") != before
    command_has(page, "--step-size=0.03", "run")

    # the keyboard moves the slider between source and dream
    handle = page.locator("#dv-stage-run .dv-handle")
    handle.focus()
    page.keyboard.press("Home")
    assert handle.get_attribute("aria-valuenow") == "0"
    page.keyboard.press("2")
    assert handle.get_attribute("aria-valuenow") == "50"
    assert foreign == []
    assert problems == []


def _is_own(url: str, own: str) -> bool:
    return url.startswith((own, "data:", "blob:"))


def test_two_settings_are_compared_and_taken_back(page: "Page") -> None:
    number = stage(page)["number"]
    page.get_by_role("button", name="Keep as A").click()
    page.locator("#dv-stage-run .dv-preset[data-preset=plants]").click()
    number = redreamed(page, number)
    command_has(page, "--preset plants", "run")
    page.get_by_role("button", name="Keep as B").click()
    assert page.locator("#dv-stage-run .dv-side.left").inner_text() == "A"
    picture(page, "compare", first="#dv-stage-run .dv-frame", last="#dv-stage-run .dv-tools")
    sides = page.locator("#dv-stage-run .dv-wipe > img, #dv-stage-run .dv-above > img")
    until(lambda: all(src.startswith("blob:") for src in _sources(sides)), "pictures that stay")
    assert len(set(_sources(sides))) == 2
    assert change(page, 0.0, 1.0) > 2  # of A to B
    page.get_by_role("button", name="A | B").click()
    assert page.locator("#dv-stage-run .dv-side.left").inner_text() == "source"
    page.get_by_role("button", name="Use A").click()
    number = redreamed(page, number)
    command_has(page, "--step-size=0.03", "run")
    page.get_by_role("button", name="Use B").click()
    number = redreamed(page, number)
    command_has(page, "--preset plants", "run")
    page.get_by_role("button", name="Use A").click()
    redreamed(page, number)
    command_has(page, "--step-size=0.03", "run")


def _sources(images: Any) -> list[str]:
    found: list[str] = images.evaluate_all("images => images.map((image) => image.src)")
    return found


@draws_nothing
def test_settings_are_saved_as_a_preset_and_a_recipe_is_loaded(page: "Page", server: Server, tmp_path: Path) -> None:
    number = stage(page)["number"]
    page.get_by_role("button", name="Save as preset").first.click()
    page.locator("#dv-name-run input, #dv-name-run textarea").first.fill("my look")
    page.locator("#dv-save-run").click()
    command_has(page, "--preset 'recipes/my look.toml'")
    assert "step_size = 0.03" in (server.folder / "recipes" / "my look.toml").read_text()
    assert "--step-size" not in command(page)
    page.locator("#dv-stage-run .dv-preset[data-preset='recipes/my look.toml']").wait_for()

    # somebody else's recipe is dropped onto the page; one that names other files is not taken
    (tmp_path / "calm.toml").write_text('[dream]\nobjective = "blocks.1.0"\ndream_height = 120\niterations = 2\n')
    drop(page, tmp_path / "calm.toml", "calm.toml")
    number = redreamed(page, number)
    command_has(page, "--preset recipes/calm.toml")
    (tmp_path / "evil.toml").write_text('[dream]\nmask = "/etc/passwd"\n')
    drop(page, tmp_path / "evil.toml", "evil.toml")
    toast(page, "mask")
    drop(page, tmp_path / "calm.toml", "calm.exe")
    toast(page, "cannot be uploaded")
    assert not (server.folder / "recipes" / "evil.toml").exists()
    page.locator("#dv-stage-run .dv-preset[data-preset='recipes/my look.toml']").click()
    redreamed(page, number)
    command_has(page, "--preset 'recipes/my look.toml'")


def test_a_wrong_objective_is_told_under_its_field_and_layers_are_completed(page: "Page", server: Server) -> None:
    field = page.locator("#dv-run-objective textarea")
    good = field.input_value()
    field.fill("blocks.9.9")
    page.locator("#dv-objective-run .dv-error").filter(has_text="blocks.9.9").wait_for()
    page.locator("#dv-enqueue-run").click()  # and such a film is not queued
    toast(page, "blocks.9.9")
    assert not list((server.folder / "queue").glob("*.toml"))
    field.fill("")
    field.press_sequentially("blocks.3.")
    option = page.locator(".dv-option").filter(has_text="blocks.3.2").first
    option.wait_for()
    option.dispatch_event("pointerdown")
    assert field.input_value().startswith("blocks.3.2")
    command_has(page, "blocks.3.2")
    field.fill(good)
    page.locator("#dv-objective-run .dv-error").wait_for(state="hidden")
    until(lambda: " -o " in command(page) and "blocks.3.2" not in command(page), "the objective of before")
    dreamed(page)


def test_a_channel_is_picked_from_its_picture(page: "Page") -> None:
    number = stage(page)["number"]
    field = page.locator("#dv-run-objective textarea")
    good = field.input_value()
    page.get_by_text("Layers and channels").first.click()
    page.locator("#dv-objective-run select").select_option("blocks.1.0")
    channel = page.locator("#dv-objective-run .dv-channel").nth(1)
    channel.wait_for()
    channel.click()
    until(lambda: field.input_value() == f"{good} + blocks.1.0:1", "the term")
    number = redreamed(page, number)
    field.fill(good)
    redreamed(page, number)
    page.get_by_text("Layers and channels").first.click()


def test_motion_is_previewed_in_a_loop(page: "Page") -> None:
    page.get_by_role("button", name="Motion").first.click()
    video = page.locator("#dv-stage-run video.dv-motion")
    video.wait_for(state="visible")
    until(lambda: video.evaluate("video => video.currentTime") > 0, "the motion preview")
    assert video.evaluate("video => video.loop")
    number = stage(page)["number"]
    set_number(page, "step size", "0.02")  # it would show other settings
    video.wait_for(state="hidden")
    number = redreamed(page, number)
    set_number(page, "step size", "0.03")
    redreamed(page, number)


@draws_nothing
def test_a_mask_is_painted_or_uploaded(page: "Page", server: Server, tmp_path: Path) -> None:
    number = stage(page)["number"]
    page.locator("#dv-stage-run").get_by_role("button", name="Mask").click()
    canvas = page.locator("#dv-stage-run .dv-paint")
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Use mask").click()
    number = redreamed(page, number)
    command_has(page, "--mask=sources/mask.png", "run")
    assert (server.folder / "sources" / "mask.png").is_file()
    assert change(page, 0.6, 1.0) < 0.2 * change(page, 0.0, 0.3)

    # another one is uploaded, and then taken away
    write_image(tmp_path / "lower.png", np.repeat([[[0] * 3]] * 30 + [[[255] * 3]] * 30, 80, axis=1).astype(np.uint8))
    page.locator("#dv-stage-run").get_by_role("button", name="Mask").click()
    page.locator("#dv-stage-run .dv-paintbar input[type=file]").set_input_files(tmp_path / "lower.png")
    number = redreamed(page, number)
    command_has(page, "--mask=sources/lower.png", "run")
    assert change(page, 0.0, 0.4) < 0.2 * change(page, 0.6, 1.0)
    page.locator("#dv-stage-run").get_by_role("button", name="Mask").click()
    page.get_by_role("button", name="No mask").click()
    redreamed(page, number)
    until(lambda: "--mask" not in command(page), "no mask")


def test_a_curve_is_drawn_and_is_the_same_as_its_text(page: "Page") -> None:
    open_tab(page, "Schedules")
    text = page.locator("#dv-schedule-text textarea, #dv-schedule-text input").first
    canvas = page.locator("#dv-curve canvas")
    canvas.wait_for()
    until(lambda: text.input_value(), "the text")
    text.fill("0s: 0.01, 1.5s: 0.03 ease-in-out")
    text.press("Enter")
    until(lambda: page.evaluate("document.querySelector('.dv-curve').dataset.points") == "2", "the curve of the text")
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.dblclick(box["x"] + 0.3 * box["width"], box["y"] + 0.15 * box["height"])
    until(lambda: text.input_value().count(":") == 3, "a third point")
    assert re.fullmatch(r"0s: 0.01, [\d.]+s: 0.0[\d]+, 1.5s: 0.03 ease-in-out", text.input_value())
    picture(page, "schedules")

    # a point is dragged to a shot, where it snaps; its easing is chosen; the keyboard moves and deletes it
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.15 * box["height"])
    page.mouse.down()
    page.mouse.move(_place(box, 1.005), box["y"] + 0.4 * box["height"], steps=4)
    page.mouse.up()
    until(lambda: re.search(r", 1s: 0.0\d+,", text.input_value()), "the dragged point")
    page.get_by_label("Easing to this point").select_option("sine")
    until(lambda: re.search(r", 1s: 0.0\d+ sine,", text.input_value()), "its easing")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    until(lambda: ", 1.04s: " in text.input_value(), "the moved point")
    page.keyboard.press("Delete")
    until(lambda: text.input_value() == "0s: 0.01, 1.5s: 0.03 ease-in-out", "two points again")

    # an expression is drawn, and follows the film's sound
    text.fill("0.01 + 0.02*beat")
    text.press("Enter")
    until(lambda: page.evaluate("document.querySelector('.dv-curve').dataset.points") == "0", "the expression")
    page.get_by_role("button", name="Constant").click()
    until(lambda: re.fullmatch(r"0.0\d+", text.input_value()), "a number")
    text.fill("0s: 0.01, 1.5s: 0.03 ease-in-out")
    text.press("Enter")
    until(lambda: page.evaluate("document.querySelector('.dv-curve').dataset.points") == "2", "the curve again")
    text.fill("nonsense(")
    text.press("Enter")
    page.locator("#dv-schedule-error .dv-error").wait_for()
    open_tab(page, "Tune")
    command_has(page, "ease-in-out", "run")
    command_has(page, "--audio=source", "run")


def _place(box: Any, seconds: float, duration: float = 2.0) -> float:
    """Return where on the curve's canvas a time is."""
    return float(box["x"] + 56 + seconds / duration * (box["width"] - 70))


@draws_nothing
def test_an_objective_changes_over_time(page: "Page") -> None:
    open_tab(page, "Schedules")
    choose(page, "what changes", "objective")
    text = page.locator("#dv-schedule-text textarea, #dv-schedule-text input").first
    until(lambda: text.input_value() == "blocks.1.0", "the objective")
    canvas = page.locator("#dv-curve canvas")
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.dblclick(_place(box, 1.2), box["y"] + 0.4 * box["height"])
    until(lambda: text.input_value() == "blocks.1.0 | blocks.1.0 @ 1.2s", "a second objective")
    page.get_by_label("Value", exact=True).fill("blocks.2.1:3")
    page.get_by_label("Value", exact=True).press("Enter")
    until(lambda: text.input_value() == "blocks.1.0 | blocks.2.1:3 @ 1.2s", "another objective")
    page.get_by_label("Value", exact=True).fill("blocks.9.9")
    page.get_by_label("Value", exact=True).press("Enter")
    open_tab(page, "Tune")
    page.locator("#dv-objective-run .dv-error").filter(has_text="blocks.9.9").wait_for()
    open_tab(page, "Schedules")
    until(lambda: text.input_value() == "blocks.1.0 | blocks.9.9 @ 1.2s", "the wrong objective in the text")
    typed = "blocks.1.0 | blocks.2.1:3 @ 0.5s ease-in"
    text.fill(typed)
    open_tab(page, "Tune")
    with page.expect_response("**/gradio_api/**"):
        open_tab(page, "Schedules")
    page.wait_for_timeout(500)  # the answer is shown by now
    assert text.input_value() == typed  # it is not lost, although Enter was not pressed yet
    text.press("Enter")
    until(lambda: page.evaluate("document.querySelector('.dv-curve').dataset.points") == "2", "the curve of the text")
    open_tab(page, "Tune")
    command_has(page, "'--objective=blocks.1.0 | blocks.2.1:3 @ 0.5s ease-in'")
    open_tab(page, "Schedules")
    page.get_by_role("button", name="Constant").click()
    until(lambda: text.input_value() == "blocks.1.0", "one objective")
    open_tab(page, "Tune")


def press(page: "Page", id: str, action: str) -> None:
    page.locator(f".dv-job[data-id='{id}'] [data-action={action}]").click()


def test_films_are_queued_ordered_stopped_and_finish_while_the_page_is_away(
    page: "Page", server: Server, footage: Path
) -> None:
    open_tab(page, "Tune")
    if not PICTURES:
        page.locator("#dv-run-objective textarea").fill("blocks.2.1")  # slow enough to be stopped before it is done
        command_has(page, "--objective=blocks.2.1")
    number = dreamed(page)
    page.locator("#dv-enqueue-run").click()
    page.get_by_text("1 added to the queue").first.wait_for()
    drop(page, footage, "Beach.mp4")  # a second film, and both with its settings
    redreamed(page, number)
    page.get_by_role("button", name="Queue more films").click()
    page.locator("#dv-others input").click()
    page.get_by_role("option", name="sources/Road at dusk.mp4").click()
    page.locator("#dv-enqueue-run").click()
    page.get_by_text("2 added to the queue").first.wait_for()
    open_tab(page, "Queue")
    until(lambda: len(jobs(page)) == 3, "three jobs")
    until(lambda: "running" in jobs(page).values(), "a render")
    first, second, third = jobs(page)
    until(lambda: "frame" in page.locator(f".dv-job[data-id='{first}']").inner_text(), "progress")
    picture(page, "queue")
    if not PICTURES:
        press(page, third, "up")
        until(lambda: list(jobs(page)) == [first, third, second], "another order")
        press(page, third, "pause")
        until(lambda: jobs(page)[third] == "paused", "a job that is held")
        press(page, first, "pause")
        until(lambda: jobs(page)[first] == "paused" and jobs(page)[second] == "running", "the next one's turn")
        press(page, third, "retry")
        press(page, first, "retry")
        until(lambda: list(jobs(page).values()) == ["running", "waiting", "waiting"], "both wait again")
    press(page, third, "cancel")
    until(lambda: jobs(page)[third] == "cancelled", "the cancelled job")
    page.reload()
    open_tab(page, "Queue")
    until(lambda: {"running", "done"} & set(jobs(page).values()), "the render after a reload")
    server.kill()  # the studio dies; the render does not
    server.start()
    page.goto(server.url)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_tab(page, "Queue")
    until(lambda: list(jobs(page).values()).count("done") == 2, "both renders")
    assert jobs(page)[third] == "cancelled"
    press(page, third, "forget")
    until(lambda: third not in jobs(page), "the removed job")
    left = [path.name for path in (server.folder / "results").iterdir() if "partial" in path.name or path.is_dir()]
    assert left == []


def test_a_result_plays_is_scored_and_its_command_gives_the_same_frames(page: "Page", server: Server) -> None:
    open_tab(page, "Results")
    page.locator("#dv-results .dv-card").first.wait_for()
    page.locator("#dv-results .dv-card").last.click()
    dream = "document.querySelector('#dv-results .dv-above video')"
    until(lambda: page.evaluate(f"{dream}.currentTime > 0.2"), "playing")
    source = "document.querySelector('#dv-results .dv-wipe > video')"
    assert abs(page.evaluate(f"{dream}.currentTime - {source}.currentTime")) < 0.3
    page.locator("#dv-results").get_by_role("button", name="Side by side").click()
    page.locator("#dv-results").get_by_role("button", name="Slider").click()
    box = page.locator("#dv-results .dv-wipe").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 50, steps=3)
    page.mouse.up()
    cut = "getComputedStyle(document.querySelector('#dv-results .dv-above')).clipPath"
    assert page.evaluate(cut).startswith("inset(0px 0px 0px 25")
    page.locator("#dv-results .dv-handle").press("ArrowRight")
    assert page.evaluate(cut).startswith("inset(0px 0px 0px 27")
    assert not page.evaluate(f"{dream}.paused")
    page.locator("#dv-results").get_by_role("button", name="Score").click()
    page.locator("#dv-results .dv-number").first.wait_for()
    page.locator("#dv-results .dv-plot").wait_for()
    picture(page, "results")
    name = page.locator("#dv-results .dv-card[aria-selected=true]").get_attribute("data-name")
    assert name is not None
    page.locator("#dv-results").get_by_role("button", name="Recipe").click()
    recipe = page.locator("#dv-results pre")
    until(lambda: "[provenance]" in recipe.inner_text(), "the recipe")
    page.locator("#dv-results").get_by_role("button", name="Re-tune").click()
    page.locator("#dv-stage-run .dv-wipe").wait_for()
    command_has(page, f"{name}.toml")
    if PICTURES:
        return
    page.get_by_role("button", name="Copy as command").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    again = server.folder / "results" / "again.mp4"
    words = shlex.split(copied.split("&& ")[1])
    words[words.index("-o") + 1] = "results/again.mp4"
    subprocess.run([sys.executable, "-m", *words], cwd=server.folder, check=True, env=environment())
    assert (frames_of(again) == frames_of(server.folder / name)).all()


def test_a_result_is_deleted(page: "Page", server: Server) -> None:
    def shown() -> set[str]:
        return set(page.locator("#dv-results .dv-card").evaluate_all("cards => cards.map(card => card.dataset.name)"))

    open_tab(page, "Results")
    before = until(shown)
    page.locator("#dv-results").get_by_role("button", name="Delete").click()
    page.locator("#dv-results").get_by_role("button", name="Delete for good?").click()
    until(lambda: before - shown(), "the deletion")


def test_an_animation_has_its_own_tab_and_music(page: "Page", tmp_path: Path) -> None:
    open_tab(page, "Animations")
    page.locator("#dv-stage-zoom .dv-card[data-name=noise]").wait_for()
    number = dreamed(page, "zoom")
    if not PICTURES:
        page.locator("#dv-zoom-objective textarea").fill("blocks.1.0")
        number = redreamed(page, number, "zoom")
    set_number(page, "rotate [degrees per s]", "20", "zoom")
    redreamed(page, number, "zoom")
    command_has(page, "--rotate=20", "zoom")
    if PICTURES:
        until(lambda: page.locator("#dv-stage-zoom .dv-preset img[src]").count() >= 9, "the presets' thumbnails")
    picture(page, "animations")
    if PICTURES:
        return
    drum = "aevalsrc='sin(880*t)*exp(-9*mod(t,0.5))':d=2"
    run_ffmpeg(["-f", "lavfi", "-i", drum, f"file:{tmp_path / 'drum.wav'}"], "making a drum")
    drop(page, tmp_path / "drum.wav", "drum.wav", "#dv-stage-zoom .dv-frame")
    command_has(page, "--audio=sources/drum.wav", "zoom")
    page.locator("#dv-knobs-zoom").get_by_text("Dream", exact=True).click()
    for label, value in {"dream height [px]": "120", "iterations": "3", "octaves": "2"}.items():
        set_number(page, label, value, "zoom")
        command_has(page, f"--{label.split(' [')[0].replace(' ', '-')}={value}", "zoom")
    page.locator("#dv-stage-zoom").get_by_role("button", name="Motion").click()
    video = page.locator("#dv-stage-zoom video.dv-motion")
    video.wait_for(state="visible")
    until(lambda: video.evaluate("video => video.currentTime > 0.2"), "the loop")
    assert video.evaluate("video => [video.loop, video.muted, video.videoWidth]") == [True, False, 384]
    assert video.evaluate("video => video.webkitAudioDecodedByteCount") > 0


def test_a_live_dream_runs_in_the_same_process(page: "Page", server: Server) -> None:
    open_tab(page, "Live")
    live = page.frame_locator("#dv-live iframe")
    live.get_by_text("Nothing is live").wait_for()
    choose(page, "live source", "noise (an animation)")
    page.locator("#dv-live-start").click()
    live.get_by_role("button", name="Blackout").wait_for()
    state = "fetch('/live/api/state').then((answer) => answer.json()).then((values) => values.state)"
    until(lambda: page.evaluate(state), "the first frame")
    before = page.evaluate(state)
    until(lambda: page.evaluate(state) != before, "further frames")
    stream = live.locator("img, canvas").first
    until(lambda: stream.evaluate("one => (one.naturalWidth || one.width) > 300"), "the picture")
    if PICTURES:
        page.wait_for_timeout(20_000)
    picture(page, "live")
    assert "libtorch" in Path(f"/proc/{server.process.pid}/maps").read_text()  # the dream is in the studio's process
    page.locator("#dv-live-stop").click()
    live.get_by_text("Nothing is live").wait_for()


@draws_nothing
def test_the_server_has_left_no_files(page: "Page", server: Server) -> None:
    """Its folder is empty, which is Gradio's for files too: none of the page's parts has made one there."""
    folder = Path(f"/proc/{server.process.pid}/cwd").resolve()
    assert folder.name.startswith("dreamvid-studio-")
    assert not [path for path in folder.rglob("*") if path.is_file()]
    server.close()
    assert not folder.exists()
    assert b"Traceback" not in server.errors()
    server.start()
    page.goto(server.url)
    page.locator("#dv-stage-run .dv-wipe").wait_for()  # it shows what the last page showed


@draws_nothing
def test_a_login_is_asked_for(page: "Page", tmp_path: Path) -> None:
    """The password is typed into the terminal, then into the browser."""
    import pty

    from playwright.sync_api import Error

    browser = page.context.browser
    assert browser is not None
    terminal, other = pty.openpty()
    words = ["studio", str(tmp_path / "studio"), "--auth", "anna", "--port", "0", "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamvid", *words],
        stdin=other,
        stdout=subprocess.PIPE,
        stderr=other,
        text=True,
        start_new_session=True,
        env=environment(),
    )
    os.close(other)
    try:
        asked = os.read(terminal, 1000)
        while b"Password" not in asked:
            asked += os.read(terminal, 1000)
        os.write(terminal, b"s3same, open\n")
        assert process.stdout is not None
        url = re.search(r"http://\S+", process.stdout.readline())[0]  # type: ignore[index]
        for password, status in ((None, 401), ("sesame", 401), ("s3same, open", 200)):
            login = {"username": "anna", "password": password} if password else None
            context = browser.new_context(http_credentials=login)  # type: ignore[arg-type]
            visitor = context.new_page()
            visitor.set_default_timeout(PATIENCE)
            try:
                answer = visitor.goto(url)
            except Error as error:  # the browser asks again, and nobody types
                assert "ERR_INVALID_AUTH_CREDENTIALS" in str(error)  # noqa: PT017
                assert status == 401
                answer = None
            assert answer is None or answer.status == status
            if status == 200:
                visitor.get_by_text("Drop a video or an image here").wait_for()
                drop(visitor, _small_image(tmp_path), "small.png")
                visitor.locator(".dv-card[data-name='sources/small.png']").wait_for()
                until(lambda: stage(visitor).get("stage") == "fine", "a preview")  # noqa: B023
            context.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        os.close(terminal)


def _small_image(folder: Path) -> Path:
    write_image(folder / "small.png", np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8))
    return folder / "small.png"


def test_it_fits_a_tablet(page: "Page") -> None:
    for width, height in ((1024, 768), (820, 1180)):
        page.set_viewport_size({"width": width, "height": height})
        for tab in ("Schedules", "Queue", "Results", "Animations", "Live", "Tune"):
            open_tab(page, tab)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
    dreamed(page)
    picture(page, "tablet")
    page.set_viewport_size({"width": 1440, "height": 1000})
