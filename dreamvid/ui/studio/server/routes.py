"""Answer the page's own scripts: files of the workspace, thumbnails, previews, the queue, results, uploads.

Every name that arrives here goes through the workspace's door. Gradio's own routes for files are closed.
"""

import asyncio
import json
import mimetypes
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dreamvid.errors import DreamvidError
from dreamvid.ui.studio.film import film_facts, strip_path, thumbnail
from dreamvid.ui.studio.playable import playable_copy
from dreamvid.ui.studio.queue import QueuedRender
from dreamvid.ui.studio.runner import read_progress
from dreamvid.ui.studio.scoring import first_frame_of, kind_of, source_of
from dreamvid.ui.studio.studio import Studio
from dreamvid.ui.studio.uploads import UploadError, receive
from dreamvid.ui.studio.workspace import (
    IMAGE_SUFFIXES,
    RECIPES,
    RESULTS,
    SOUND_SUFFIXES,
    SOURCES,
    VIDEO_SUFFIXES,
    WorkspaceError,
    is_plain_name,
)

STATIC = Path(__file__).parent.parent / "page" / "static"
_SHOWN = {*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, *SOUND_SUFFIXES}
_THUMBNAIL_HEIGHTS = (72, 120, 180, 720, 1080)
_SAFE_TYPES = ("image/", "video/", "audio/")
Handler = Callable[[Studio, Request], Awaitable[Response]]


def routes(studio: Studio) -> list[Route]:
    """List the routes below /studio/."""

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        async def answer(request: Request) -> Response:
            try:
                return await handler(studio, request)
            except WorkspaceError as error:
                return JSONResponse({"error": str(error)}, 404)
            except DreamvidError as error:
                return JSONResponse({"error": str(error)}, 400)

        return Route(f"/studio/{path}", answer, methods=[method])

    return [
        route("static/{name}", _static),
        route("file/{folder}/{name}", _file),
        route("thumbnail/{folder}/{name}", _thumbnail),
        route("playable/{folder}/{name}", _playable),
        route("film/{folder}/{name}", _film),
        route("strip/{folder}/{name}", _strip),
        route("events/{session}", _events),
        route("picture/{session}/{key}", _picture),
        route("cache/{name}", _cached),
        route("atlas/{folder}/{name}", _atlas),
        route("sources", _sources),
        route("queue", _queue),
        route("queue/{id}/{action}", _act, "POST"),
        route("queue/{id}/{what}", _of_job),
        route("results", _results),
        route("score/{folder}/{name}", _score, "POST"),
        route("delete/{folder}/{name}", _delete, "POST"),
        route("upload", _upload, "PUT"),
    ]


async def _static(studio: Studio, request: Request) -> Response:
    name = request.path_params["name"]
    path = STATIC / name
    if not is_plain_name(name) or not path.is_file():
        raise WorkspaceError("there is no such file.")
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png"}
    return FileResponse(path, media_type=kinds.get(path.suffix, "application/octet-stream"), headers=_NO_STORE)


_NO_STORE = {"cache-control": "no-cache"}  # of a name that another file may get
_KEEP = {"cache-control": "private, max-age=3600"}


def _name(request: Request) -> str:
    return f"{request.path_params['folder']}/{request.path_params['name']}"


async def _file(studio: Studio, request: Request) -> Response:
    path = studio.workspace.file(_name(request), SOURCES, RESULTS, RECIPES)
    if path.suffix == ".toml":
        return Response(path.read_bytes(), media_type="text/plain; charset=utf-8")
    return _media(path)


def _media(path: Path) -> Response:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix.lower() not in _SHOWN or not kind.startswith(_SAFE_TYPES):
        raise WorkspaceError("only videos, images and sounds can be shown.")
    return FileResponse(path, media_type=kind, headers=_NO_STORE)


async def _thumbnail(studio: Studio, request: Request) -> Response:
    path = studio.workspace.file(_name(request), SOURCES, RESULTS)
    height = _number(request, "height", 180)
    if height not in _THUMBNAIL_HEIGHTS or path.suffix.lower() in SOUND_SUFFIXES:
        raise WorkspaceError("there is no thumbnail of this.")
    seconds = min(max(0.0, _number(request, "seconds", 0.0)), 1e6)
    kept = await asyncio.to_thread(thumbnail, path, studio.workspace.cache, int(height), seconds)
    return FileResponse(kept, media_type="image/jpeg", headers=_NO_STORE)


async def _playable(studio: Studio, request: Request) -> Response:
    path = studio.workspace.file(_name(request), SOURCES, RESULTS)
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise WorkspaceError("only a video can be played.")
    kept = await asyncio.to_thread(playable_copy, path, studio.workspace.cache)
    return FileResponse(kept, media_type="video/mp4", headers=_NO_STORE)


def _number(request: Request, name: str, default: float) -> float:
    try:
        number = float(request.query_params.get(name, default))
    except ValueError:
        return default
    return number if number == number else default


async def _film(studio: Studio, request: Request) -> Response:
    path = studio.workspace.file(_name(request), SOURCES, RESULTS)
    facts = await asyncio.to_thread(film_facts, path, studio.workspace.cache)
    return JSONResponse({**vars(facts), "name": studio.workspace.name(path)})


async def _strip(studio: Studio, request: Request) -> Response:
    path = studio.workspace.file(_name(request), SOURCES, RESULTS)
    await asyncio.to_thread(film_facts, path, studio.workspace.cache)
    return FileResponse(strip_path(path, studio.workspace.cache), media_type="image/jpeg", headers=_NO_STORE)


async def _events(studio: Studio, request: Request) -> Response:
    session = request.path_params["session"]
    if not session.isalnum() or len(session) > 40:
        raise WorkspaceError("this is not a session.")

    async def lines() -> AsyncIterator[bytes]:
        async for event in studio.dreams.events(session):
            if await request.is_disconnected():
                return
            yield f"data: {json.dumps(event)}\n\n".encode()

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _picture(studio: Studio, request: Request) -> Response:
    data = studio.dreams.listener(request.path_params["session"]).pictures.get(request.path_params["key"])
    if data is None:
        raise WorkspaceError("there is no such picture any more.")
    return Response(data, media_type="image/jpeg", headers=_KEEP)


async def _cached(studio: Studio, request: Request) -> Response:
    name = request.path_params["name"]
    path = studio.workspace.cache / name
    if not is_plain_name(name) or path.suffix != ".mp4" or path.is_symlink() or not path.is_file():
        raise WorkspaceError("there is no such file.")
    return FileResponse(path, media_type="video/mp4", headers=_KEEP)


async def _atlas(studio: Studio, request: Request) -> Response:
    folder, name = request.path_params["folder"], request.path_params["name"]
    path = studio.workspace.cache / folder / name
    if not (is_plain_name(folder) and folder.startswith("atlas-") and is_plain_name(name) and path.is_file()):
        raise WorkspaceError("there is no such image.")
    return FileResponse(path, media_type="image/jpeg", headers=_KEEP)


async def _sources(studio: Studio, request: Request) -> Response:
    workspace = studio.workspace
    found = []
    for path in workspace.files(SOURCES):
        suffix = path.suffix.lower()
        kind = next((name for name, ends in _KINDS if suffix in ends), None)
        if kind is not None:
            found.append({"name": workspace.name(path), "kind": kind, "bytes": path.stat().st_size})
    recipes = [workspace.name(path) for path in workspace.files(RECIPES, ".toml")]
    return JSONResponse({"sources": found, "recipes": recipes})


_KINDS = (("video", VIDEO_SUFFIXES), ("image", IMAGE_SUFFIXES), ("sound", SOUND_SUFFIXES))


async def _queue(studio: Studio, request: Request) -> Response:
    jobs = await asyncio.to_thread(lambda: [_job(studio, job) for job in studio.queue.jobs()])
    return JSONResponse({"jobs": jobs})


def _job(studio: Studio, job: QueuedRender) -> dict[str, Any]:
    """Describe a job for the page."""
    values: dict[str, Any] = {
        "id": job.id,
        "kind": job.kind,
        "source": job.source,
        "output": job.output,
        "preset": job.preset,
        "state": job.status.state,
        "message": job.status.message,
        "seconds": job.status.seconds,
    }
    if job.status.state in ("running", "paused", "cancelled", "failed"):
        progress = read_progress(studio.queue.path(job, ".log"))
        values |= {
            "stage": progress.stage,
            "share": round(progress.share, 4),
            "frame": progress.frame,
            "total": progress.total,
            "fps": round(progress.fps, 2),
            "seconds_left": progress.seconds_left,
            "bottleneck": progress.bottleneck,
        }
    for name in ("still", "partial"):
        path = _beside(studio, job, name)
        values[name] = path.stat().st_mtime_ns // 1_000_000 if path is not None else None
    return values


def _beside(studio: Studio, job: QueuedRender, what: str) -> Path | None:
    """Find the newest frame or the partial video of a job."""
    path = studio.workspace.root / job.output
    suffix = ".png" if what == "still" else path.suffix
    found = path.with_name(f"{path.stem}.partial{suffix}")
    return found if found.is_file() and not found.is_symlink() else None


async def _of_job(studio: Studio, request: Request) -> Response:
    job, what = studio.queue.get(request.path_params["id"]), request.path_params["what"]
    path = _beside(studio, job, what) if what in ("still", "partial") else None
    if path is None:
        raise WorkspaceError("nothing of this job can be shown yet.")
    return _media(path)


async def _act(studio: Studio, request: Request) -> Response:
    id, action = request.path_params["id"], request.path_params["action"]
    actions: dict[str, Callable[[], object]] = {
        "pause": lambda: studio.runner.pause(id),
        "cancel": lambda: studio.runner.cancel(id),
        "retry": lambda: studio.queue.retry(id),
        "up": lambda: studio.queue.move(id, -1),
        "down": lambda: studio.queue.move(id, 1),
        "first": lambda: studio.queue.move(id, -1000),
        "forget": lambda: studio.queue.forget(id),
    }
    if action not in actions:
        raise WorkspaceError(f"there is no action {action!r}.")
    await asyncio.to_thread(actions[action])
    studio.runner.wake()
    return JSONResponse({})


async def _results(studio: Studio, request: Request) -> Response:
    return JSONResponse({"results": await asyncio.to_thread(_describe_results, studio)})


def _describe_results(studio: Studio) -> list[dict[str, Any]]:
    workspace = studio.workspace
    found = []
    for path in workspace.results():
        recipe = path.with_name(f"{path.name}.toml")
        plot = path.with_name(f"{path.stem}.score.png")
        found.append(
            {
                "name": workspace.name(path),
                "bytes": path.stat().st_size,
                "age_seconds": round(time.time() - path.stat().st_mtime),
                "source": source_of(path, workspace),
                "recipe": workspace.name(recipe) if recipe.is_file() else None,
                "kind": kind_of(path),
                "first_frame": first_frame_of(path),
                "plot": workspace.name(plot) if plot.is_file() else None,
                **studio.scoring.state(path),
            }
        )
    return found


async def _score(studio: Studio, request: Request) -> Response:
    studio.scoring.start(_name(request))
    return JSONResponse({})


async def _delete(studio: Studio, request: Request) -> Response:
    name = _name(request)
    busy = [job.id for job in studio.queue.jobs() if job.source == name and job.status.state in ("waiting", "running")]
    if busy:
        raise WorkspaceError(f"a job of the queue needs it: {busy[0]}.")
    await asyncio.to_thread(studio.workspace.delete, name)
    return JSONResponse({})


async def _upload(studio: Studio, request: Request) -> Response:
    name, purpose = request.query_params.get("name", ""), request.query_params.get("purpose", "")
    length = request.headers.get("content-length", "0")
    if int(length) > studio.upload_limit:
        raise UploadError("the file is larger than the limit; `dreamvid studio --upload-limit` raises it.")
    kept = await receive(
        request.stream(), name, studio.workspace, limit=studio.upload_limit, recipe=purpose == "recipe"
    )
    return JSONResponse({"name": kept})
