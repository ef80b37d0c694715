"""Flags of what controls a live session from outside: the page, OSC and MIDI."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.ui.live.host import LiveHost
    from dreamvid.ui.live.remote import Remote

REMOTE = Group("Control from outside", sort_key=3)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RemoteFlags:
    """The flags of the page, OSC and MIDI."""

    port: Annotated[
        int,
        Parameter(group=REMOTE, metavar="PORT", help="Port of the page, and of OSC unless --osc-port says another."),
    ] = 8765
    listen: Annotated[
        str,
        Parameter(
            group=REMOTE,
            metavar="ADDRESS",
            help="Address that the page and OSC are opened on. With any other than 127.0.0.1, such as 0.0.0.0 for all "
            "of this machine's, a token is made, which whoever uses them needs.",
        ),
    ] = "127.0.0.1"
    osc: Annotated[
        bool | None,
        Parameter(group=REMOTE, show_default="on where python-osc is installed", help="Listen to OSC."),
    ] = None
    osc_port: Annotated[
        int | None, Parameter(group=REMOTE, metavar="PORT", show_default="that of the page", help="UDP port of OSC.")
    ] = None
    midi: Annotated[
        tuple[str, ...] | None,
        Parameter(
            group=REMOTE,
            negative=(),
            metavar="NAME",
            show_default="all that are connected, where mido is installed",
            help="MIDI input to listen to; none for no MIDI. Give the flag several times for several inputs.",
        ),
    ] = None


NO_REMOTE_FLAGS = RemoteFlags()


def words_of(flags: RemoteFlags, own: Mapping[str, object], command: Callable[..., object]) -> list[str]:
    """Write the flags of a session that are no settings and differ from their defaults, as words of a command line.

    own: what was given for parameters of the command, by their names. command: the function that has their defaults.
    """
    given = {name: (value, inspect.signature(command).parameters[name].default) for name, value in own.items()}
    given |= {name: (value, getattr(NO_REMOTE_FLAGS, name)) for name, value in asdict(flags).items()}
    words: list[str] = []
    for name, (value, default) in given.items():
        flag = f"--{name.replace('_', '-')}"
        if value == default:
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            words += [word for one in (value if isinstance(value, tuple) else (value,)) for word in (flag, str(one))]
    return words


def open_remote(host: "LiveHost", flags: RemoteFlags, *, page: bool, say: Callable[[str], None]) -> "Remote":
    """Open the page, OSC and MIDI as the flags say, and say where they are. Raises InputError."""
    from dreamvid.ui.live.remote import Remote

    midi = () if flags.midi == ("none",) else flags.midi
    remote = Remote(
        host,
        listen=flags.listen,
        port=flags.port,
        page=page,
        osc=flags.osc,
        osc_port=flags.osc_port,
        midi=midi,
        report=say,
    )
    if remote.token is not None:
        say = console.say  # also where little is to be said: it is shown nowhere else
    if page:
        say(f"Page: {remote.url}")
        say(f"The picture alone: {remote.output_url}")
    if remote.osc is not None:
        token = "" if remote.token is None else f", after /dreamvid/token {remote.token}"
        say(f"OSC: UDP port {remote.osc.port}{token}")
    return remote
