"""The studio's whole server, asked without a browser."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamvid.image.io import write_image
from dreamvid.ui.studio.workspace import Workspace

OWN = "127.0.0.1:7870"
SECRET = b"SESAME"


@dataclass
class Opened:
    """A server that listens nowhere. client: asks as the studio's own page does. temp: Gradio's folder."""

    client: Any
    workspace: Workspace
    room: Any
    temp: Path


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    from starlette.testclient import TestClient

    from dreamvid.ui.studio.server.app import build_app
    from dreamvid.ui.studio.server.live_room import LiveRoom
    from dreamvid.ui.studio.studio import Studio

    folder = tmp_path_factory.mktemp("guarded")
    (folder / "secret.png").write_bytes(SECRET)
    workspace = Workspace.open(folder / "studio")
    write_image(workspace.root / "sources" / "a.png", np.zeros((40, 60, 3), np.uint8))
    (workspace.root / "sources" / "link.png").symlink_to(folder / "secret.png")
    (workspace.root / "sources" / "page.html").write_text("<script>")
    studio = Studio(workspace, upload_limit=1 << 20)
    temp = folder / "gradio"
    temp.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(temp))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        room = LiveRoom(workspace)
        app = build_app(studio, room, "127.0.0.1", 7870, None)
        with TestClient(app, base_url=f"http://{OWN}", follow_redirects=False) as client:
            client.headers["x-dreamvid-studio"] = "1"
            yield Opened(client, workspace, room, temp)
    room.stop()
    studio.runner._thread = type(studio.runner._thread)()  # it was never started
    studio.dreams.close()


@pytest.fixture
def client(opened: Opened) -> Any:
    return opened.client
