"""Receive a stream from any address that ffmpeg takes, with as little delay as it allows."""

import re

from dreamvid.render.live.capture.source import FfmpegInput

_SCHEMES = ("rtsp", "rtsps", "rtp", "srt", "rtmp", "rtmps", "rtmpt", "udp", "tcp", "http", "https", "rist")
_ADDRESS = re.compile(rf"({'|'.join(_SCHEMES)})://\S+", re.IGNORECASE)
# What a playlist or a session description may open in turn: connections, but no files of this machine.
_PROTOCOLS = "rtsp,rtp,rtcp,srtp,srt,rtmp,rtmps,rtmpt,rtmpe,udp,tcp,tls,http,https,httpproxy,crypto,data,rist"
# Measured over UDP: the first frame comes 0.6 s after opening, and then without delay.
_LOW_DELAY = ("-fflags", "nobuffer", "-flags", "low_delay", "-probesize", "32768", "-analyzeduration", "200000")


class _Address:
    form = "ADDRESS (rtsp rtp srt rtmp udp tcp http)"

    def claims(self, text: str) -> bool:
        return _ADDRESS.fullmatch(text) is not None

    def open(self, text: str) -> FfmpegInput:
        return FfmpegInput(
            text=text,
            input_args=(*_LOW_DELAY, "-protocol_whitelist", _PROTOCOLS, "-i", text),
            kind="address",
            has_sound=None,
            advice="Is the sender running, and is the address right?",
        )

    def devices(self) -> list[tuple[str, str]]:
        return []


PLUGIN = _Address()
