"""Pictures that commands write: refused before the work where they could not be written after it."""

from pathlib import Path

from dreamvid.errors import OutputError
from dreamvid.video.image import IMAGE_SUFFIXES


def check_picture(target: Path, overwrite: bool, source: Path | None = None) -> None:
    """Raise OutputError for a picture's path that cannot be written, is there already, or is the source's own."""
    if target.suffix.lower() not in IMAGE_SUFFIXES:
        raise OutputError(
            f"cannot write a picture with the suffix {target.suffix or '(none)'!r}: {target}. "
            f"Allowed: {', '.join(IMAGE_SUFFIXES)}."
        )
    if not target.parent.is_dir():
        raise OutputError(
            f"the folder for the picture does not exist: {target.parent}. Make it first: mkdir -p {target.parent}"
        )
    if target.is_dir():
        raise OutputError(f"the output {target} is a folder; give the name of a picture: {target / 'dream.png'}")
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise OutputError(f"the output is the source itself: {source}. Give another output with -o.")
    if target.exists() and not overwrite:
        raise OutputError(
            f"the output exists: {target}. Add --overwrite to replace it, or give another output with -o."
        )
