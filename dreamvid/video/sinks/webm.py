"""Write .webm files: VP9 by default."""

from dreamvid.video.containers import Container

PLUGIN = Container(
    suffix=".webm",
    muxer="webm",
    encoders=("libvpx-vp9", "libsvtav1", "av1_nvenc"),
    audio=frozenset({"opus", "vorbis"}),
    audio_encoder=("libopus", "-b:a", "160k"),
    subtitles=frozenset({"webvtt"}),
    subtitle_encoder="webvtt",
    stereo_mode=True,
)
