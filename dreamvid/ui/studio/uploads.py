"""Receive files from a browser: streamed to the disk, of limited size, and kept only if they are what they claim."""

import asyncio
import contextlib
import os
import secrets
import shutil
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

from dreamvid.errors import DreamvidError, InputError
from dreamvid.ui.studio.workspace import (
    IMAGE_SUFFIXES,
    RECIPES,
    SOUND_SUFFIXES,
    SOURCES,
    VIDEO_SUFFIXES,
    Workspace,
    plain_name,
    shown,
)

GIB = 1 << 30
_LARGEST_RECIPE = 1 << 20
LEFT_FREE = GIB // 2  # of the disk: a full one would stop renders


class UploadError(InputError):
    """An upload is too large, or is not a video, an image, a sound or a recipe."""


async def receive(
    chunks: AsyncIterator[bytes],
    name: str,
    workspace: Workspace,
    *,
    limit: int,
    recipe: bool = False,
    left_free: int = LEFT_FREE,
) -> str:
    """Write an upload into sources/, or a recipe into recipes/, and check it; return its name in the workspace.

    limit: the most bytes; left_free: bytes of the disk that stay free. Nothing of a refused or broken upload stays.
    Raises UploadError.
    """
    plain = plain_name(name)
    allowed = (".toml",) if recipe else (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, *SOUND_SUFFIXES)
    suffix = Path(plain).suffix.lower()
    if suffix not in allowed:
        raise UploadError(f"{shown(name)} cannot be uploaded. Allowed: {', '.join(allowed)}.")
    folder = workspace.root / (RECIPES if recipe else SOURCES)
    limit = min(limit, _LARGEST_RECIPE) if recipe else limit
    part = folder / f".upload-{secrets.token_hex(8)}{suffix}"
    try:
        size = 0
        with part.open("xb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise UploadError(f"{shown(name)} is larger than the limit of {_in_words(limit)}.")
                if shutil.disk_usage(folder).free < left_free:
                    raise UploadError(f"the disk of the workspace is nearly full; {shown(name)} is not kept.")
                await asyncio.to_thread(file.write, chunk)
            file.flush()
            os.fsync(file.fileno())
        await asyncio.to_thread(check_recipe if recipe else check_media, part, workspace)
        path = workspace.unused(folder.name, plain)
        part.replace(path)
        return workspace.name(path)
    except DreamvidError as error:
        text = str(error).replace(str(part), plain).replace(part.name, plain)
        raise UploadError(text) from None
    except OSError as error:
        raise UploadError(f"{shown(name)} cannot be written: {error.strerror or error}.") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def clean_up(workspace: Workspace) -> None:
    """Remove what uploads left that were cut off with the machine."""
    for folder in (SOURCES, RECIPES):
        for part in (workspace.root / folder).glob(".upload-*"):
            part.unlink(missing_ok=True)


def check_media(path: Path, workspace: Workspace | None = None) -> None:
    """Raise DreamvidError for a file that is no video, image or sound that can be read, whatever its name says."""
    from dreamvid.audio.decode import decode_source_audio
    from dreamvid.video.probe import probe
    from dreamvid.video.source import FILE_KINDS, open_source
    from dreamvid.video.sources.file import FileSource

    if path.suffix.lower() in SOUND_SUFFIXES:
        decode_source_audio(FileSource(text=str(path), paths=(path,)), seconds=1.0)
    else:
        probe(open_source(path, kinds=FILE_KINDS))


def check_recipe(path: Path, workspace: Workspace) -> None:
    """Raise DreamvidError for a recipe that is not valid, or names files that are not the workspace's."""
    from dreamvid.settings import load_settings
    from dreamvid.ui.studio.doors import check_settings

    check_settings(load_settings(path), workspace)
    tomllib.loads(path.read_text(encoding="utf-8-sig"))


def _in_words(size: int) -> str:
    return f"{size / GIB:.3g} GiB" if size >= GIB else f"{size / (1 << 20):.3g} MiB"
