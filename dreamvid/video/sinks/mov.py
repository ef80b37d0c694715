"""Write .mov files: ProRes by default."""

from dreamvid.video.containers import Container

PLUGIN = Container(
    suffix=".mov",
    muxer="mov",
    encoders=("prores_ks", "libx264", "libx265", "h264_nvenc", "hevc_nvenc"),
    audio=frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"}),
    audio_encoder=("pcm_s24le",),
    subtitles=frozenset({"mov_text"}),
    subtitle_encoder="mov_text",
)
