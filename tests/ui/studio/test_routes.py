"""What the page's own scripts are told of jobs and results, and what they may do, without a browser."""

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from renders import tiny

from dreamvid.image.io import write_image
from dreamvid.settings import Recipe, write_recipe
from dreamvid.ui.studio.queue import RenderQueue

if TYPE_CHECKING:
    from conftest import Opened

pytestmark = pytest.mark.extra("gradio")


def test_a_job_has_its_progress_its_last_frame_and_its_partial_film(opened: "Opened") -> None:
    queue = RenderQueue(opened.workspace)
    job = queue.add("run", "sources/a.png", tiny(), preset="plants")
    results = opened.workspace.root / "results"
    lines = [
        {"stage": "scan", "message": "", "frame": 10, "total": 10},
        {"stage": "dream", "message": "a note", "frame": 5, "total": 20, "fps": 2.5, "seconds_left": 6.0},
    ]
    log = queue.path(job, ".log")
    log.write_text("".join(json.dumps({**line, "bottleneck": "dream"}) + "\n" for line in lines) + '{"stage": "dre')
    write_image(results / "a-plants.partial.png", np.zeros((40, 60, 3), np.uint8))
    (results / "a-plants.partial.mp4").write_bytes(b"film so far")
    queue.set(job.id, state="running")
    try:
        (told,) = opened.client.get("/studio/queue").json()["jobs"]
        assert (told["state"], told["source"], told["preset"]) == ("running", "sources/a.png", "plants")
        assert (told["stage"], told["share"], told["frame"], told["total"]) == ("dream", 0.25, 5, 20)
        assert (told["fps"], told["seconds_left"], told["bottleneck"]) == (2.5, 6.0, "dream")
        assert told["still"] and told["partial"]  # when they were written  # noqa: PT018
        still = opened.client.get(f"/studio/queue/{job.id}/still")
        assert (still.status_code, still.headers["content-type"]) == (200, "image/png")
        assert opened.client.get(f"/studio/queue/{job.id}/partial").content == b"film so far"
        assert opened.client.get(f"/studio/queue/{job.id}/log").status_code == 404
        assert opened.client.post("/studio/delete/sources/a.png").status_code == 404  # the job needs it
    finally:
        queue.set(job.id, state="failed")
    assert opened.client.post(f"/studio/queue/{job.id}/forget").status_code == 200
    assert opened.client.get("/studio/queue").json() == {"jobs": []}
    assert list(results.iterdir()) == []


def test_results_tell_what_they_show_and_go_with_all_that_belongs_to_them(opened: "Opened") -> None:
    results = opened.workspace.root / "results"
    (results / "a.mp4").write_bytes(b"film")
    origin = {"source": "sources/a.png", "output": "results/a.mp4"}
    write_recipe(Recipe(tiny(frames="3:"), "run", origin), results / "a.mp4.toml")
    (results / "a.score.json").write_text('{"strength": 4.5, "flashes": [1, 2]}')
    write_image(results / "a.score.png", np.zeros((40, 60, 3), np.uint8))
    (told,) = opened.client.get("/studio/results").json()["results"]
    assert (told["name"], told["source"], told["kind"]) == ("results/a.mp4", "sources/a.png", "run")
    assert (told["first_frame"], told["recipe"], told["plot"]) == (3, "results/a.mp4.toml", "results/a.score.png")
    assert told["score"] == {"strength": 4.5}
    assert b"[provenance]" in opened.client.get("/studio/file/results/a.mp4.toml").content
    assert opened.client.post("/studio/delete/results/a.mp4").status_code == 200
    assert list(results.iterdir()) == []


def test_the_page_has_a_title_and_an_icon(opened: "Opened") -> None:
    page = opened.client.get("/").text
    assert "dreamvid studio" in page  # its title, which the browser test sees too
    assert "/studio/static/favicon.svg" in page
    icon = opened.client.get("/studio/static/favicon.svg")
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")
    for name in ("studio.css", "core.js", "stage.js"):
        assert opened.client.get(f"/studio/static/{name}").status_code == 200


@pytest.mark.parametrize(
    "name", ["sources/a.png", "results/none.mp4", "sources/../secret.png", "recipes/x.toml", "queue/x"]
)
def test_only_videos_of_the_workspace_are_copied(opened: "Opened", name: str) -> None:
    assert opened.client.get(f"/studio/playable/{name}").status_code == 404
