"""Write .mkv files (Matroska), which take almost every kind of sound, subtitles and attachments."""

from dreamvid.video.containers import Container
from dreamvid.video.encoders import HARDWARE

PLUGIN = Container(
    suffix=".mkv",
    muxer="matroska",
    encoders=("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks", *HARDWARE),
    audio=None,
    audio_encoder=("flac",),
    subtitles=None,
    subtitle_encoder="srt",
    attachments=True,
    covers="attachments",
    stereo_mode=True,
)
