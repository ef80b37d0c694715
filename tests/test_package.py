"""What the package says of itself: its version, its license, that it is typed."""

import json
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

import dreamvid

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "dreamvid/__init__.py"


def test_the_installed_version_is_the_packages() -> None:
    installed = distribution("dreamvid")
    origin = json.loads(installed.read_text("direct_url.json") or '{"url": ""}')["url"]
    if Path(unquote(urlparse(origin).path)) != ROOT:
        pytest.skip("the dreamvid that is installed here is not this checkout")
    assert installed.version == dreamvid.__version__, "pip install -e . has to be run again"


def test_the_changelog_begins_with_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = next(line for line in changelog.splitlines() if line.startswith("## "))
    assert first.startswith(f"## {dreamvid.__version__} ")


def test_it_is_typed_and_licensed() -> None:
    assert (ROOT / "dreamvid" / "py.typed").is_file()
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    for name in PYPROJECT["project"]["license-files"]:
        assert (ROOT / name).is_file()
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_changelog_has_every_renamed_setting() -> None:
    from dreamvid.settings.renamed import RENAMED
    from dreamvid.settings.schema import flag_name

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    missing = [old for old, new in RENAMED.items() if f"| `{flag_name(old)}` | `{flag_name(new)}` |" not in changelog]
    assert missing == []
