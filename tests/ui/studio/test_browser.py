"""A person in a browser: drop a film, tune, compare, queue, watch, score, copy the command and run it.

With DREAMVID_SCREENSHOTS=FOLDER the same is done with a larger film and the default settings, and its pictures are
written there: those of the documentation.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from renders import frames_of

from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.source import FfmpegSource, open_source

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.extra("gradio"), pytest.mark.browser]

PICTURES = os.environ.get("DREAMVID_SCREENSHOTS")
PATIENCE = 240_000 if PICTURES else 60_000  # milliseconds
QUICK = {"objective": "blocks.1.0", "dream height": "120", "iterations": "3", "octaves": "2"}


def make_footage(path: Path) -> Path:
    """Two shots with a drum: the landscape of `demo`, then the same mirrored and in other colors."""
    source = open_source("demo")
    assert isinstance(source, FfmpegSource)
    scale, rate = ("1", 8) if PICTURES else ("1/2", 12)
    seconds = 1
    graph = f"[0:v]scale=iw*{scale}:-2,fps={rate},split[a][b];[a]trim=0:{seconds},setpts=PTS-STARTPTS[c];"
    graph += f"[b]trim=0:{seconds},setpts=PTS-STARTPTS,hflip,hue=h=140:s=0.9[d];[c][d]concat,format=yuv420p[v]"
    drum = f"aevalsrc='sin(880*t)*exp(-9*mod(t,0.5))':d={2 * seconds}"
    codecs = ["-c:v", "libx264", "-crf", "16", "-c:a", "aac"]
    inputs = [*source.input_args(), "-f", "lavfi", "-i", drum]
    run_ffmpeg(
        [*inputs, "-filter_complex", graph, "-map", "[v]", "-map", "1:a", *codecs, f"file:{path}"], "making footage"
    )
    return path


class Server:
    """A studio in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "dreamvid", "studio", str(self.folder), "--port", "0", "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.url = re.search(r"http://\S+", line)[0]  # type: ignore[index]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


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


def picture(page: "Page", name: str, *, element: str | None = None) -> None:
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        page.mouse.move(2, 2)
        target: Any = page.locator(element) if element else page
        target.screenshot(path=str(Path(PICTURES) / f"studio-{name}.png"))


def until(true: Callable[[], Any], what: str = "it") -> Any:
    deadline = time.monotonic() + PATIENCE / 1000
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} does not happen"
        time.sleep(0.1)
    return found


def open_tab(page: "Page", name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def stage(page: "Page", kind: str = "run") -> dict[str, str]:
    found: dict[str, str] = page.evaluate(f"({{...document.querySelector('#dv-stage-{kind} .dv-stage').dataset}})")
    return found


def dreamed(page: "Page", kind: str = "run") -> str:
    """Wait for the finished preview; return its number."""
    until(lambda: stage(page, kind).get("stage") == "fine", "a preview")
    return stage(page, kind)["number"]


def redreamed(page: "Page", before: str, kind: str = "run") -> str:
    until(lambda: stage(page, kind).get("number") not in (None, before), "a new preview")
    return dreamed(page, kind)


def command_has(page: "Page", text: str, kind: str = "run") -> None:
    """Wait until the command has a text: pictures and Gradio's answers come on two ways, in any order."""
    command = page.locator(f"#dv-code-{kind} [data-kind=command]")
    until(lambda: text in command.inner_text(), f"{text} in the command")


def pixels(page: "Page", selector: str) -> bytes:
    return bytes(page.locator(selector).screenshot())


def set_number(page: "Page", label: str, value: str, kind: str = "run") -> None:
    field = page.locator(f"#dv-knobs-{kind}").get_by_label(f"number input for {label}", exact=True)
    field.fill(value)
    field.press("Enter")


def jobs(page: "Page") -> dict[str, str]:
    found: dict[str, str] = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.dv-job')].map(({dataset}) => [dataset.id, dataset.state]))"
    )
    return found


def test_a_film_is_dropped_scrubbed_and_tuned(page: "Page", server: Server, footage: Path) -> None:
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if not _is_own(request.url, server.url) else None)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server.url)
    page.get_by_text("Drop a video or an image here").wait_for()
    assert page.title() == "dreamvid studio"
    page.locator("#dv-stage-run input[type=file]").set_input_files(footage)
    page.locator(".dv-card[data-name='sources/Road at dusk.mp4']").wait_for()
    number = dreamed(page)
    if not PICTURES:
        page.locator("#dv-run-objective textarea").fill(QUICK["objective"])
        for label, value in QUICK.items():
            if label != "objective":
                set_number(page, {"dream height": "dream height [px]"}.get(label, label), value)
        number = redreamed(page, number)

    # scrub: another moment is another picture; the shot is marked
    before = pixels(page, "#dv-stage-run .dv-wipe")
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
    picture(page, "compare", element="#dv-stage-run")
    page.get_by_role("button", name="A | B").click()
    page.get_by_role("button", name="Use A").click()
    redreamed(page, number)
    command_has(page, "--step-size=0.03", "run")


def test_a_wrong_objective_is_told_under_its_field_and_layers_are_completed(page: "Page") -> None:
    field = page.locator("#dv-run-objective textarea")
    good = field.input_value()
    number = stage(page)["number"]
    field.fill("blocks.9.9")
    page.locator("#dv-objective-run .dv-error").filter(has_text="blocks.9.9").wait_for()
    field.fill("")
    field.press_sequentially("blocks.3.")
    option = page.locator(".dv-option").filter(has_text="blocks.3.2").first
    option.wait_for()
    option.dispatch_event("pointerdown")
    assert field.input_value().startswith("blocks.3.2")
    field.fill(good)
    page.locator("#dv-objective-run .dv-error").wait_for(state="hidden")
    redreamed(page, number)


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
    page.locator("#dv-stage-run").get_by_role("button", name="Stop").click()


def test_a_mask_is_painted(page: "Page", server: Server) -> None:
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
    mask = page.locator("#dv-run-mask input")
    mask.fill("")
    mask.press("Enter")
    redreamed(page, number)


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
    text.fill("nonsense(")
    text.press("Enter")
    page.locator("#dv-schedule-error .dv-error").wait_for()
    open_tab(page, "Tune")
    command_has(page, "ease-in-out", "run")


def test_films_are_queued_cancelled_and_finish_while_the_page_is_away(
    page: "Page", server: Server, footage: Path
) -> None:
    open_tab(page, "Tune")
    page.locator("#dv-enqueue-run").click()
    page.locator("#dv-enqueue-run").click()
    page.locator("#dv-enqueue-run").click()
    open_tab(page, "Queue")
    until(lambda: len(jobs(page)) == 3, "three jobs")
    until(lambda: "running" in jobs(page).values(), "a render")
    first = next(id for id, state in jobs(page).items() if state == "running")
    third = list(jobs(page))[-1]
    page.locator(f".dv-job[data-id='{third}'] [data-action=cancel]").click()
    until(lambda: jobs(page)[third] == "cancelled", "the cancelled job")
    until(lambda: "frame" in page.locator(f".dv-job[data-id='{first}']").inner_text(), "progress")
    picture(page, "queue")
    page.reload()
    open_tab(page, "Queue")
    until(lambda: jobs(page).get(first) in ("running", "done"), "the same job after a reload")
    server.kill()  # the studio dies; the render does not
    server.start()
    page.goto(server.url)
    open_tab(page, "Queue")
    until(lambda: list(jobs(page).values()).count("done") == 2, "both renders")
    assert jobs(page)[third] == "cancelled"


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
    command = page.locator("#dv-code-run [data-kind=command]")
    until(lambda: f"{name}.toml" in command.inner_text(), "the recipe's command")
    if PICTURES:
        return
    page.get_by_role("button", name="Copy as command").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    again = server.folder / "results" / "again.mp4"
    words = shlex.split(copied.split("&& ")[1])
    words[words.index("-o") + 1] = "results/again.mp4"
    subprocess.run([sys.executable, "-m", *words], cwd=server.folder, check=True, env=_environment())
    assert (frames_of(again) == frames_of(server.folder / name)).all()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}


def test_a_result_is_deleted(page: "Page", server: Server) -> None:
    def shown() -> set[str]:
        return set(page.locator("#dv-results .dv-card").evaluate_all("cards => cards.map(card => card.dataset.name)"))

    open_tab(page, "Results")
    before = until(shown)
    page.locator("#dv-results").get_by_role("button", name="Delete").click()
    page.locator("#dv-results").get_by_role("button", name="Delete for good?").click()
    until(lambda: before - shown(), "the deletion")


def test_an_animation_has_its_own_tab(page: "Page") -> None:
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
    page.locator("#dv-stage-zoom").get_by_role("button", name="Motion").click()
    video = page.locator("#dv-stage-zoom video.dv-motion")
    video.wait_for(state="visible")


def test_it_fits_a_tablet(page: "Page") -> None:
    page.set_viewport_size({"width": 820, "height": 1180})
    open_tab(page, "Tune")
    dreamed(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    picture(page, "tablet")
    assert wide <= 820
    page.set_viewport_size({"width": 1440, "height": 1000})
