"""`dreamvid live`: dream on a camera, a stream or a video while it plays."""

from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import Overwrite, Quiet
from dreamvid.cli.options import preset as preset_flag
from dreamvid.cli.remote import NO_REMOTE_FLAGS, RemoteFlags, open_remote, words_of
from dreamvid.errors import InputError, SettingsError
from dreamvid.settings import DEFAULT_PRESET, DEFAULT_ZOOM_PRESET, load_settings, reject_zoom_preset
from dreamvid.settings.rate import parse_rate
from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.render.live.slot import LatestFrame

LIVE = Group("Live", sort_key=2)
_GROUPS = ("network", "dream", "coherence", "camera", "video", "render")
_WITHOUT = ("frames", "bars", "draft", "fps", "input_fps", "stream", "hwaccel", "audio", "cadence", "loop")
_HEIGHTS = range(64, 4321)


@with_settings(_GROUPS, main=("objective",), without=_WITHOUT)
def live(
    source: Annotated[
        str | None,
        Parameter(
            group=MAIN,
            help="What to dream on: camera:N, screen, an address (rtsp rtp srt rtmp udp tcp http), a video file or "
            "lavfi:GRAPH in its own time, browser (a browser's camera), or noise or an image for an animation without "
            "an end.",
        ),
    ] = None,
    /,
    *,
    to: Annotated[
        list[str] | None,
        Parameter(
            group=MAIN,
            negative=(),
            metavar="SINK",
            allow_leading_hyphen=True,
            show_default="page",
            help="Where the dream goes: page (in the browser), window or window:MONITOR (full screen), an address "
            "(udp tcp srt rtmp rtp rtsp http), a video file to record to, - (y4m on stdout), virtualcam. Give the flag "
            "several times for several sinks.",
        ),
    ] = None,
    preset: Annotated[str | None, preset_flag(f"{DEFAULT_PRESET}, or {DEFAULT_ZOOM_PRESET} for an image")] = None,
    list_devices: Annotated[
        bool, Parameter(name="--list", group=MAIN, negative=(), help="List the cameras and screens, and end.")
    ] = False,
    fps: Annotated[
        str | None,
        Parameter(
            group=LIVE,
            metavar="RATE",
            help="Frames per second to hold, and the most that are dreamed. Without it the quality is lowered until 13 "
            "frames per second are dreamed, and up to 30 are where there is time.",
        ),
    ] = None,
    max_height: Annotated[
        int, Parameter(group=LIVE, metavar="PX", help="Largest height of the frames; larger ones are reduced.")
    ] = 720,
    latency: Annotated[
        float | None,
        Parameter(group=LIVE, metavar="MS", help="Longest time that a frame may take, in milliseconds."),
    ] = None,
    interpolate: Annotated[
        bool,
        Parameter(
            group=LIVE,
            negative=(),
            show_default=False,
            help="Where there is only time to dream every second or third frame, interpolate those in between, one "
            "frame behind, instead of carrying the dream to them.",
        ),
    ] = False,
    audio_in: Annotated[
        str | None,
        Parameter(
            group=LIVE,
            metavar="DEVICE",
            help="Sound that drives schedules (rms, bass, mid, treble, onset, beat): default or the name of a sound "
            "device, source for the source's own sound, a sound file, or an address.",
        ),
    ] = None,
    record_source: Annotated[
        bool,
        Parameter(
            group=LIVE,
            negative=(),
            show_default=False,
            help="Record the source too, as NAME.source.mp4, so that dreamvid run can repeat the session on it.",
        ),
    ] = False,
    remote: RemoteFlags = NO_REMOTE_FLAGS,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    **overrides: str | None,
) -> int:
    """Dream on a camera, a stream or a video while it plays, and turn the knobs meanwhile. Ctrl-C ends it.

    dreamvid live camera:0 opens a page with the dream and its controls. dreamvid live film.mp4 --to window, dreamvid
    live udp://127.0.0.1:5000 --to rtmp://… --to recording.mp4, dreamvid live noise --audio-in default.
    """
    if list_devices:
        return _list_devices()
    if source is None:
        raise InputError(
            "A live dream needs a source: camera:0, screen, an address, a video file, browser or noise. "
            "List the cameras: dreamvid live --list"
        )
    from dreamvid.render.live.capture.source import StartInput, open_live_source
    from dreamvid.render.live.controls import Controls
    from dreamvid.render.live.keys import key_name, press_key
    from dreamvid.render.live.session import LiveOptions, LiveSession
    from dreamvid.render.live.sink import LiveSinkOptions, open_live_sink
    from dreamvid.runtime.interrupt import StopRequest

    opened = open_live_source(source)
    is_animation = isinstance(opened, StartInput)
    if not is_animation:
        reject_zoom_preset(preset)
    settings = load_settings(preset or (DEFAULT_ZOOM_PRESET if is_animation else DEFAULT_PRESET), **overrides)
    names = to or ["page"]
    files = [name for name in names if _is_file(name)]
    if len(files) > 1:
        raise InputError(f"One file is recorded at a time, and there are {len(files)}: {', '.join(files)}.")
    say = (lambda text: None) if quiet else console.say
    own = {"fps": fps, "max_height": max_height, "latency": latency, "interpolate": interpolate}
    words = words_of(remote, {**own, "audio_in": audio_in, "record_source": record_source}, live)
    options = LiveOptions(
        fps=None if fps is None else float(_rate(fps)),
        max_height=_checked_height(max_height),
        latency_seconds=None if latency is None else _seconds(latency),
        interpolate=interpolate,
        record_to=files[0] if files else None,
        record_source=record_source,
        overwrite=overwrite,
        audio_in=audio_in,
        say=say,
        command=("dreamvid", "live", source, *(word for name in names for word in ("--to", name)), *words),
    )
    controls = Controls(settings, "zoom" if is_animation else "run")
    sessions: list[LiveSession] = []

    def serve(frames: "LatestFrame") -> AbstractContextManager[object]:
        return open_remote(sessions[0], remote, page=True, say=say)

    sink_options = LiveSinkOptions(
        fps=options.output_fps, serve_page=serve, on_key=lambda code: press_key(controls, key_name(code)), say=say
    )
    sinks = [open_live_sink(name, sink_options) for name in names if name not in files]
    session = LiveSession(opened, sinks, controls, settings, options)
    sessions.append(session)
    with ExitStack() as stack:
        if "page" not in names:
            stack.enter_context(open_remote(session, remote, page=False, say=say))
        stop = stack.enter_context(StopRequest(session.stop))
        stop.gently = True
        session.watch_stop(lambda: stop.asked)
        session.run()
    return 0


def _list_devices() -> int:
    from dreamvid.render.live.capture.source import list_devices

    devices = list_devices()
    if not devices:
        console.say("There is no camera and no screen here.")
        return 0
    console.print_table((("source", "left"), ("what it is", "left")), devices)
    return 0


def _is_file(name: str) -> bool:
    """Tell a video file to record to from the other sinks."""
    from pathlib import Path

    from dreamvid.runtime.plugins import SINKS

    return "://" not in name and Path(name).suffix.removeprefix(".").lower() in SINKS.names()


def _rate(text: str) -> Fraction:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise SettingsError(f"`fps` got {text!r}: {error}.") from None


def _checked_height(pixels: int) -> int:
    if pixels not in _HEIGHTS:
        raise SettingsError(f"`max_height` got {pixels}: allowed is from {_HEIGHTS[0]} up to {_HEIGHTS[-1]} pixels.")
    return pixels


def _seconds(milliseconds: float) -> float:
    if not 1 <= milliseconds <= 10_000:
        raise SettingsError(f"`latency` got {milliseconds:g}: allowed is from 1 up to 10000 milliseconds.")
    return milliseconds / 1000
