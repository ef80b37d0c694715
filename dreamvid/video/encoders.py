"""List the video encoders that can be chosen, with their options, and check that they work."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from dreamvid.errors import FfmpegError, OutputError, nearest
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import UnusableFfmpegError, run_ffmpeg

_USUAL_SIZE = Size(256, 256)


@dataclass(frozen=True)
class Encoder:
    """Describe how one of ffmpeg's encoders is run.

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
        """Tell if it stores RGB itself, so that frames come back bit for bit."""
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

HARDWARE = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")


@dataclass(frozen=True)
class Encoding:
    """An encoder and its constant quality (`crf`; None: the encoder's default): what segments are encoded with."""

    encoder: Encoder
    crf: int | None = None

    @property
    def codec(self) -> str:
        """ffmpeg's name of the encoder."""
        return self.encoder.name

    @property
    def segment_suffix(self) -> str:
        """The suffix that segment files must have."""
        return self.encoder.segment_suffix

    def args(self, bit_depth: int, hdr: bool = False) -> list[str]:
        """List codec, options, quality and pixel format for frames of this depth, as ffmpeg's arguments."""
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


LOSSLESS = Encoding(ENCODERS["ffv1"])
"""For what is converted at the end: RGB that comes back bit for bit, up to 16 bits deep."""


def choose_encoding(suffix: str, encoders: Sequence[str], codec: str | None, crf: int | None) -> Encoding:
    """Choose an encoder by name among those that a container takes; None is the first one.

    suffix: the container's, for messages. Raises OutputError for an encoder that it does not take and for a crf that is
    out of range or that the encoder does not have.
    """
    name = codec or encoders[0]
    if name not in encoders:
        raise OutputError(
            f"{suffix} is not written with the encoder {name!r}. Allowed: {', '.join(encoders)}."
            + nearest(name, encoders)
        )
    encoding = Encoding(ENCODERS[name], crf)
    if crf is None:
        return encoding
    if encoding.encoder.quality is None:
        raise OutputError(f"the encoder {name} has no crf; leave out {crf}")
    low, high = encoding.encoder.crf_range
    if not low <= crf <= high:
        raise OutputError(f"crf is {crf}. Allowed for {name}: {low} (best) to {high}.")
    return encoding


def refuse_choices(suffix: str, codec: str | None, crf: int | None) -> None:
    """Raise OutputError if an encoder or a quality is chosen for an output that has neither."""
    if codec is not None:
        raise OutputError(f"a {suffix} output has one encoding only; leave out the codec {codec!r}")
    if crf is not None:
        raise OutputError(f"a {suffix} output has no crf; leave out {crf}")


def check_encoder(name: str, peers: Sequence[str] = (), size: Size = _USUAL_SIZE) -> None:
    """Encode one gray frame: an encoder may be listed although its driver is missing, or not take this size.

    peers: the encoders to suggest instead, if they work; all if empty. size: in pixels. Raises OutputError
    if it fails.
    """
    failure = _encoder_failure(name, size)
    if failure is None:
        return
    others = [peer for peer in peers or ENCODERS if peer != name and _encoder_failure(peer, size) is None]
    where = "here" if size == _USUAL_SIZE else f"at {size.width}x{size.height} pixels"
    advice = f"These do: {', '.join(others)}." if others else "Give another size (`size`)."
    raise OutputError(f"the encoder {name!r} does not work {where} ({failure}). {advice}")


@functools.cache
def _encoder_failure(name: str, size: Size) -> str | None:
    encoder = ENCODERS.get(name)
    options = () if encoder is None else (*encoder.options, "-pix_fmt", encoder.pixel_format)
    graph = f"color=s={size.width}x{size.height}:r=10:d=0.1"
    look = ["-f", "lavfi", "-i", graph, "-frames:v", "1", "-c:v", name, *options]
    try:
        run_ffmpeg([*look, "-f", "null", "-"], f"trying the encoder {name}")
    except UnusableFfmpegError:
        raise
    except FfmpegError as error:
        return str(error).partition("): ")[2] or str(error)
    return None
