"""Send the dream to an address that ffmpeg takes: H.264 with as little delay as it allows."""

import contextlib
import re
import threading

from dreamvid.errors import OutputError
from dreamvid.render.live.sink import FrameSink, LiveSinkOptions
from dreamvid.render.live.slot import LiveFrame
from dreamvid.video.encoders import check_encoder
from dreamvid.video.ffmpeg import Ffmpeg

# The format in which an address takes a stream, by its scheme.
_FORMATS = {
    "udp": "mpegts",
    "tcp": "mpegts",
    "srt": "mpegts",
    "rist": "mpegts",
    "http": "mpegts",
    "https": "mpegts",
    "rtp": "rtp_mpegts",
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
}
_ADDRESS = re.compile(r"([a-z]+)://\S+", re.IGNORECASE)
_ENCODER = "libx264"
_KEY_SECONDS = 1.0  # from one frame at which a viewer can begin to the next


class StreamSink(FrameSink):
    """One ffmpeg that encodes and sends; started again when it has ended."""

    def __init__(self, text: str, options: LiveSinkOptions) -> None:
        super().__init__(text, options.say)
        scheme = text.partition("://")[0].lower()
        if scheme not in _FORMATS:
            raise OutputError(
                f"Streams are not sent to {scheme}://. Allowed: {', '.join(f'{s}://' for s in _FORMATS)}."
            )
        check_encoder(_ENCODER)
        self._format, self._fps = _FORMATS[scheme], options.fps
        self._process: Ffmpeg | None = None
        self._lock = threading.Lock()

    def open(self, frame: LiveFrame) -> None:
        """Start ffmpeg."""
        height, width = frame.pixels.shape[:2]
        args = [
            *("-use_wallclock_as_timestamps", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"),
            *("-i", "pipe:0", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2,format=yuv420p", "-c:v", _ENCODER),
            *("-preset", "veryfast", "-tune", "zerolatency", "-g", str(max(1, round(self._fps * _KEY_SECONDS)))),
            *("-fps_mode", "cfr", "-r", f"{self._fps:g}", "-f", self._format, "-flush_packets", "1", self.name),
        ]
        with self._lock:
            self._process = Ffmpeg(args, stdin=True)

    def write(self, frame: LiveFrame) -> None:
        """Send a frame."""
        process = self._process
        assert process is not None
        try:
            process.stdin.write(frame.pixels.data.cast("B"))
            process.stdin.flush()
        except (OSError, ValueError) as error:
            raise process.failure(f"sending to {self.name}") from error

    def shut(self) -> None:
        """Let ffmpeg send what it has, and end."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        try:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()
        finally:
            process.close()

    def abort(self) -> None:
        """Kill ffmpeg."""
        process = self._process
        if process is not None and process.process.poll() is None:
            process.process.kill()


class _Stream:
    form = "ADDRESS (udp tcp srt rtmp rtp rtsp http)"

    def claims(self, text: str) -> bool:
        return _ADDRESS.fullmatch(text) is not None

    def open(self, text: str, options: LiveSinkOptions) -> StreamSink:
        return StreamSink(text, options)


PLUGIN = _Stream()
