"""Write .mp4 files."""

from dreamvid.video.containers import Container
from dreamvid.video.encoders import HARDWARE

PLUGIN = Container(
    suffix=".mp4",
    muxer="mp4",
    encoders=("libx264", "libx265", "libsvtav1", *HARDWARE),
    # MP2 is taken too, but moves by tens of milliseconds in there.
    audio=frozenset({"aac", "mp3", "ac3", "eac3", "flac", "alac", "opus"}),
    audio_encoder=("aac", "-b:a", "256k"),
    subtitles=frozenset({"mov_text"}),
    subtitle_encoder="mov_text",
    covers="streams",
)
