"""`dreamvid studio`: a web page where one sees the dream while one tunes it, and queues the videos."""

import getpass
import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli.flags import MAIN
from dreamvid.errors import InputError

_GIB = 1 << 30


def studio(
    folder: Annotated[
        str | None,
        Parameter(
            group=MAIN,
            show_default="a folder of its own in your data directory",
            help="Workspace: the folder with sources, results, recipes and the queue. It is made if it is missing.",
        ),
    ] = None,
    /,
    *,
    port: Annotated[
        int | None, Parameter(group=MAIN, show_default="7870, or the next free one", help="Port of the page.")
    ] = None,
    listen: Annotated[
        str,
        Parameter(
            group=MAIN,
            metavar="ADDRESS",
            help="Address to listen on. Any other than that of this machine alone needs --auth.",
        ),
    ] = "127.0.0.1",
    auth: Annotated[
        str | None,
        Parameter(
            group=MAIN, metavar="USER", help="Ask for a login: this name and a password, which is asked for now."
        ),
    ] = None,
    password_file: Annotated[
        str | None,
        Parameter(group=MAIN, metavar="PATH", help="Read the password of --auth from the first line of a file."),
    ] = None,
    upload_limit: Annotated[
        float, Parameter(group=MAIN, metavar="GIB", help="Largest file that can be uploaded, in GiB.")
    ] = 4.0,
    browser: Annotated[bool, Parameter(group=MAIN, help="Open the page in the browser.")] = True,
) -> None:
    """Open a web page where you see the dream while you tune it, and queue videos.

    Renders are processes of their own: they go on when the page is closed, and are continued after a crash.
    """
    if port is not None and not 0 <= port <= 65535:
        raise InputError(f"`port` got {port}: allowed is from 0 to 65535.")
    if not 0 < upload_limit <= 1024:
        raise InputError(f"`upload_limit` got {upload_limit}: allowed is above 0 up to 1024 GiB.")
    if auth is None and password_file is not None:
        raise InputError("`password_file` is for `auth`, the name of the user. Give both.")
    from dreamvid.ui.studio.server.guard import Login, check_address
    from dreamvid.ui.studio.studio import Studio
    from dreamvid.ui.studio.workspace import Workspace

    login = None if auth is None else Login(auth, _password(password_file))
    check_address(listen, login)
    if not importlib.util.find_spec("gradio"):
        raise InputError("the studio needs Gradio, which is not installed: pip install 'dreamvid[studio]'")
    workspace = Workspace.open(default_folder() if folder is None else folder)
    with Studio(workspace, upload_limit=int(upload_limit * _GIB)) as opened:
        from dreamvid.ui.studio.server.app import run_studio  # Gradio, while PyTorch is loaded in the other process

        run_studio(opened, address=listen, port=port, login=login, open_browser=browser)


def default_folder() -> Path:
    """Return the workspace in the user's data directory, where the system has it."""
    if sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "dreamvid" / "studio"


def _password(file: str | None) -> str:
    """Ask for the password, or read it. Raises InputError for an empty one."""
    if file is not None:
        try:
            lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the password cannot be read from {file}: {error}.") from None
        password = lines[0].strip() if lines else ""
    elif sys.stdin is None or not sys.stdin.isatty():
        raise InputError("there is no terminal to ask for the password on. Give it in a file: `password_file='PATH'`.")
    else:
        password = getpass.getpass("Password: ")
    if not password:
        raise InputError("the password is empty. Choose one of at least one letter.")
    return password
