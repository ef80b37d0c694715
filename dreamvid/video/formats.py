"""What can be written: containers by suffix, encoders by ffmpeg's names, and the options each one gets."""

import functools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from dreamvid.errors import FfmpegError, OutputError, nearest
from dreamvid.video.ffmpeg import run_ffmpeg


@dataclass(frozen=True)
class Encoder:
    """How one of ffmpeg's encoders is run.

    `pixel_format` and `deep_pixel_format`: for 8-bit and for deeper images. `quality`: the option that
    takes the constant quality, None where there is none; `crf` its default and `crf_range` its bounds
    (lower is better). `segment_suffix`: the container whose segments join without any shift in time.
    """

    name: str
    options: tuple[str, ...]
    pixel_format: str
    deep_pixel_format: str
    quality: str | None = None
    crf: int = 0
    crf_range: tuple[int, int] = (0, 51)
    segment_suffix: str = ".mp4"

    @property
    def is_rgb(self) -> bool:
        """Whether it stores RGB itself, so that images come back bit for bit."""
        return self.pixel_format == "bgr0"


_FFV1 = Encoder(
    "ffv1",
    ("-level", "3", "-g", "1", "-slices", "4", "-slicecrc", "1"),
    "bgr0",
    "gbrp16le",
    segment_suffix=".mov",
)
_NVENC = ("-preset", "p5", "-rc", "vbr", "-b:v", "0")

ENCODERS = {
    encoder.name: encoder
    for encoder in (
        Encoder("libx264", ("-preset", "medium"), "yuv420p", "yuv420p", "-crf", 18),
        Encoder(
            "libx265",
            ("-preset", "medium", "-x265-params", "log-level=error", "-tag:v", "hvc1"),
            "yuv420p",
            "yuv420p10le",
            "-crf",
            20,
        ),
        Encoder(
            "libvpx-vp9",
            ("-b:v", "0", "-deadline", "good", "-cpu-used", "4", "-row-mt", "1"),
            "yuv420p",
            "yuv420p10le",
            "-crf",
            24,
            (0, 63),
        ),
        Encoder("libsvtav1", ("-preset", "8"), "yuv420p", "yuv420p10le", "-crf", 24, (0, 63)),
        Encoder(
            "prores_ks",
            ("-profile:v", "3", "-vendor", "apl0"),
            "yuv422p10le",
            "yuv422p10le",
            segment_suffix=".mov",
        ),
        _FFV1,
        Encoder("h264_nvenc", _NVENC, "yuv420p", "yuv420p", "-cq", 19),
        Encoder("hevc_nvenc", (*_NVENC, "-tag:v", "hvc1"), "yuv420p", "p010le", "-cq", 21),
        Encoder("av1_nvenc", _NVENC, "yuv420p", "p010le", "-cq", 26, (0, 63)),
    )
}

_HARDWARE = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")
# Suffix -> ffmpeg's muxer, and the encoders it takes; the first is the default.
_VIDEO = {
    ".mp4": ("mp4", ("libx264", "libx265", "libsvtav1", *_HARDWARE)),
    ".mkv": ("matroska", ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks", *_HARDWARE)),
    ".webm": ("webm", ("libvpx-vp9", "libsvtav1", "av1_nvenc")),
    ".mov": ("mov", ("prores_ks", "libx264", "libx265", "h264_nvenc", "hevc_nvenc")),
}
# Made from lossless segments at the end: they cannot be joined, or are no film at all.
_CONVERTED = {".gif": "gif", ".webp": "webp"}
_SEQUENCE_NAME = "frame_%06d.png"
_ALLOWED = ".mp4, .mkv, .webm, .mov (ProRes), .gif, .webp, name_%06d.png, or a folder of PNGs (ends in '/')"


@dataclass(frozen=True)
class OutputFormat:
    """What an output is made of.

    `container`: ffmpeg's muxer of the result (`image2` for a PNG sequence). `encoder`: what the segments are
    encoded with; `converted` says that the result is then made from these (lossless) segments and has no
    sound. `file_pattern`: the names of a PNG sequence's images, from 0, None for everything else.
    """

    container: str
    encoder: Encoder
    crf: int | None = None
    converted: bool = False
    file_pattern: str | None = field(default=None)

    @property
    def codec(self) -> str:
        """ffmpeg's name of the encoder of the segments."""
        return self.encoder.name

    @property
    def segment_suffix(self) -> str:
        """The suffix that segment files must have."""
        return self.encoder.segment_suffix

    def encoder_args(self, bit_depth: int, hdr: bool = False) -> list[str]:
        """Codec, options, quality and pixel format of a segment for images of this depth."""
        encoder = self.encoder
        args = ["-c:v", encoder.name, *encoder.options]
        if encoder.quality is not None:
            args += [encoder.quality, str(encoder.crf if self.crf is None else self.crf)]
        return [*args, "-pix_fmt", self.pixel_format(bit_depth, hdr)]

    def pixel_format(self, bit_depth: int, hdr: bool = False) -> str:
        """ffmpeg's name of the stored pixel format."""
        if hdr and self.encoder.name == "libx264":
            return "yuv420p10le"  # 8 bits of PQ or HLG show bands
        return self.encoder.pixel_format if bit_depth <= 8 else self.encoder.deep_pixel_format


def output_format(path: str | Path, codec: str | None = None, crf: int | None = None) -> OutputFormat:
    """Choose container and encoder by the output's suffix.

    Args:
        path: the output; a text that ends in a slash, or an existing folder, is a folder of PNGs.
        codec: ffmpeg's name of an encoder; None for the suffix's own.
        crf: constant quality, lower is better; None for the encoder's own.

    Raises:
        OutputError: an unknown suffix, an encoder that the container does not take, a crf out of range or
            where there is none. Whether the encoder runs here is for `check_encoder` to say.
    """
    text = str(path)
    path = Path(path)
    suffix = path.suffix.lower()
    folder = text.endswith(("/", os.sep)) or os.path.isdir(path)  # noqa: PTH112 - Path's raises for long names
    if folder or (suffix == ".png" and re.search(r"%0?\d*d", path.name)):
        what = "a PNG sequence"
        chosen = OutputFormat("image2", _FFV1, None, True, _SEQUENCE_NAME if folder else path.name)
    elif suffix in _CONVERTED:
        what = f"a {suffix} output"
        chosen = OutputFormat(_CONVERTED[suffix], _FFV1, None, True)
    elif suffix in _VIDEO:
        container, names = _VIDEO[suffix]
        name = codec or names[0]
        if name not in names:
            raise OutputError(
                f"{suffix} is not written with the encoder {name!r}. Allowed: {', '.join(names)}."
                + nearest(name, names)
            )
        chosen, what = OutputFormat(container, ENCODERS[name], crf), f"the encoder {name}"
        codec = None
    else:
        hint = " A single PNG is not a film: write name_%06d.png." if suffix == ".png" else ""
        raise OutputError(
            f"cannot write a video with the suffix {suffix or '(none)'!r}: {text}. Allowed: {_ALLOWED}.{hint}"
        )
    if codec is not None:
        raise OutputError(f"{what} has one encoding only; leave out the codec {codec!r}")
    if crf is not None:
        low, high = chosen.encoder.crf_range
        if chosen.encoder.quality is None:
            raise OutputError(f"{what} has no crf; leave out {crf}")
        if not low <= crf <= high:
            raise OutputError(f"crf is {crf}. Allowed for {chosen.codec}: {low} (best) to {high}.")
    return chosen


def check_encoder(name: str) -> None:
    """Encode one gray image: that an encoder is listed does not mean that its driver is there.

    Raises:
        OutputError: it does not run here; names those for the same containers that do.
    """
    failure = _encoder_failure(name)
    if failure is None:
        return
    peers = {peer for _, names in _VIDEO.values() if name in names for peer in names if peer != name}
    working = [peer for peer in ENCODERS if peer in peers and _encoder_failure(peer) is None]
    raise OutputError(
        f"the encoder {name!r} does not run here ({failure}). "
        f"These do: {', '.join(working or [peer for peer in ENCODERS if _encoder_failure(peer) is None])}."
    )


@functools.cache
def _encoder_failure(name: str) -> str | None:
    options = ENCODERS[name].options if name in ENCODERS else ()
    look = ["-f", "lavfi", "-i", "color=s=256x256:r=10:d=0.1", "-frames:v", "1", "-c:v", name, *options]
    try:
        run_ffmpeg([*look, "-f", "null", "-"], f"trying the encoder {name}")
    except FfmpegError as error:
        return str(error).partition("): ")[2] or str(error)
    return None
