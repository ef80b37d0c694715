"""Write video files: the encoded frames, and what else the source has, copied into a container."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dreamvid.errors import FfmpegError
from dreamvid.runtime.files import part_path
from dreamvid.video.encoders import choose_encoding
from dreamvid.video.ffmpeg import DiskFullError, Ffmpeg, level_and_text, run_ffmpeg
from dreamvid.video.mux import EncodedSink, joined_segments, write_file
from dreamvid.video.probe import VideoInfo
from dreamvid.video.sink import Recording
from dreamvid.video.source import FfmpegSource

_TEXT_SUBTITLES = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}
_BITMAP_SUBTITLES = {"dvdsub", "dvd_subtitle", "pgssub", "hdmv_pgs_subtitle", "dvbsub", "dvb_subtitle", "xsub"}
_KINDS = {"a": "sound", "s": "subtitle"}

# How ffmpeg describes stereoscopic video, and Matroska's names of the same.
_STEREO_MODES = {
    "side by side": "left_right",
    "side by side (inverted)": "right_left",
    "top and bottom": "top_bottom",
    "top and bottom (inverted)": "bottom_top",
}
_COVER = re.compile(r"^Stream #0:(\d+)\b.*: Video: (\w+).*\(attached pic\)")
_COVER_TYPES = {"mjpeg": "image/jpeg", "png": "image/png"}
_ATTACHMENT = re.compile(r"^Stream #0:\d+\b.*: Attachment: ")
_STEREO = re.compile(r"^(?:stereo3d: |stereo_mode\s*: )([^,]+)")


@dataclass(frozen=True)
class Container:
    """A format of video files; the plugin of its suffix.

    muxer: ffmpeg's name of it. encoders: of frames; the first is the default. audio, subtitles: codecs that are copied
    as they are (None: all but mp4's subtitles); others are encoded with `audio_encoder` and `subtitle_encoder`.
    attachments, stereo_mode: it keeps attached files, the layout of stereoscopic video. covers: how it keeps cover
    images, as streams or as attached files; None if it has none.
    """

    suffix: str
    muxer: str
    encoders: tuple[str, ...]
    audio: frozenset[str] | None
    audio_encoder: tuple[str, ...]
    subtitles: frozenset[str] | None
    subtitle_encoder: str
    attachments: bool = False
    covers: Literal["streams", "attachments"] | None = None
    stereo_mode: bool = False

    def open(self, output: str, codec: str | None = None, crf: int | None = None) -> "VideoFile":
        """Make the sink of an output. Raises OutputError for an encoder or a quality that it does not take."""
        return VideoFile(self.suffix, choose_encoding(self.suffix, self.encoders, codec, crf), self.muxer, self)


@dataclass(frozen=True)
class VideoFile(EncodedSink):
    """A sink that writes one video file with the source's sound, subtitles, tags, chapters and attachments."""

    container: Container

    @property
    def peers(self) -> tuple[str, ...]:
        """The encoders that the container takes."""
        return self.container.encoders

    def join(self, recording: Recording, output: Path) -> list[str]:
        """Copy the segments into a file; see `Sink.join`."""
        with joined_segments(recording) as images, tempfile.TemporaryDirectory(prefix="dreamvid-") as folder:
            return _Mux(self, images, recording, output, Path(folder)).write()


@dataclass(frozen=True)
class _Track:
    """One sound or subtitle stream of the source, and the ways to write it, from the best to the last.

    letter: ffmpeg's, "a" or "s". index: among those of its kind. name: of its codec. ways: each "copy", or an encoder
    and its options.
    """

    letter: str
    index: int
    name: str
    ways: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return f"{_KINDS[self.letter]} track {self.index + 1} ({self.name})"


@dataclass(frozen=True)
class _Extras:
    """What else a source has: stream numbers and codecs of cover images, attached files, a layout of stereo views."""

    covers: tuple[tuple[int, str], ...] = ()
    attachments: int = 0
    stereo_mode: str | None = None

    @classmethod
    def from_source(cls, source: FfmpegSource) -> "_Extras":
        with Ffmpeg([*source.input_args(), "-t", "0", "-f", "null", "-"], level="info") as process:
            process.wait()
            texts = [level_and_text(line)[1] for line in process.log]
        texts = texts[: next((n for n, text in enumerate(texts) if text.startswith("Output #")), len(texts))]
        return cls(
            tuple((int(match[1]), match[2]) for match in map(_COVER.match, texts) if match),
            sum(map(bool, map(_ATTACHMENT.match, texts))),
            next((match[1].strip() for match in map(_STEREO.match, texts) if match), None),
        )


class _Mux:
    """Writes one video file: with all tracks if that works, else with those that do."""

    def __init__(
        self, sink: VideoFile, images: Sequence[str], recording: Recording, output: Path, folder: Path
    ) -> None:
        self._folder = folder  # for temporary files
        self._sink, self._container, self._output = sink, sink.container, output
        self._images, self._recording = images, recording
        source, info = recording.source, recording.info
        self._source = source if isinstance(source, FfmpegSource) else None
        self._info = info if self._source is not None else None
        starts, self._end = recording.timeline()
        self._start = starts[0]
        self._warnings: list[str] = []

    def write(self) -> list[str]:
        """Write the file; return what could not be kept as it was. Raises OutputError and FfmpegError."""
        source, info = self._source, self._info
        begin = "0" if self._recording.trimmed or source is None else _decimal(float(self._start))
        frames = ["-itsoffset", begin, *self._images]
        if source is None or info is None:
            self._run([*frames, "-map", "0:v:0"], [])
            return []
        more = [] if source.endless or not source.has_clock else self._extras(_Extras.from_source(source))
        tags = [] if source.endless else ["-map_metadata", "1", *self._chapters(info)]
        tracks = self._tracks(info)
        if not tracks:
            tagged = [] if source.endless else source.input_args()
            self._run([*frames, *tagged, "-map", "0:v:0", *more, *tags], [])
            return self._warnings
        inputs = [*frames, *self._cut(), *source.input_args(), "-map", "0:v:0"]
        try:
            self._run([*inputs, *_maps(tracks, 1), *more, *tags], self._clock(1))
        except DiskFullError:
            raise
        except FfmpegError:
            tracks = [kept for track in tracks if (kept := self._what_works(track)) is not None]
            self._run([*inputs, *_maps(tracks, 1), *more, *tags], self._clock(1))
        for track in tracks:
            if track.ways[0] != ("copy",) and track.letter == "a":
                encoder = track.ways[0][0].removeprefix("lib")
                self._warnings.append(f"{track} cannot be copied to {self._sink.suffix}; it is encoded as {encoder}")
        return self._warnings

    def _run(self, args: Sequence[str], more_outputs: Sequence[str]) -> None:
        muxer = ["-c:v", "copy"]
        if self._container.muxer in ("mp4", "mov"):
            muxer += ["-video_track_timescale", str(self._recording.spec.timescale), "-movflags", "+faststart"]
            if self._sink.encoding.codec in ("libx265", "hevc_nvenc"):
                muxer += ["-tag:v:0", "hvc1"]  # the only tag that QuickTime plays
        muxer += ["-f", self._container.muxer]
        write_file([*args, *muxer], self._output, self._recording.count, more_outputs=more_outputs)

    def _cut(self) -> list[str]:
        assert self._source is not None
        if self._recording.trimmed:
            return ["-ss", _decimal(float(self._start)), "-t", _decimal(float(self._end - self._start))]
        # A graph's sound may have no end.
        return ["-t", _decimal(float(self._end))] if self._source.endless else []

    def _chapters(self, info: VideoInfo) -> list[str]:
        # Only an input that is cut gives chapters that fit the part.
        cut = not self._recording.trimmed or info.audio or info.subtitles
        return ["-map_chapters", "1"] if cut else []

    def _clock(self, number: int) -> list[str]:
        """Play the source's video into a second, discarded output: times then count from the source's start."""
        assert self._source is not None
        assert self._info is not None
        played = ["-map", f"{number}:{self._info.stream}", "-c", "copy", "-f", "null", "-"]
        return played if self._source.has_clock else []

    def _extras(self, extras: _Extras) -> list[str]:
        """Map cover images, attachments and the stereo mode, or note that they are lost."""
        container, suffix, args = self._container, self._sink.suffix, list[str]()
        if extras.attachments and container.attachments:
            args += ["-map", "1:t?", "-c:t", "copy"]
        elif extras.attachments:
            self._lose("attached files, such as fonts of subtitles, are")
        if container.covers == "streams":
            for number, (stream, _codec) in enumerate(extras.covers, 1):
                args += ["-map", f"1:{stream}", f"-disposition:v:{number}", "attached_pic"]
        elif container.covers == "attachments":
            for number, (stream, codec) in enumerate(extras.covers, extras.attachments):
                args += self._attach_cover(number, stream, codec)
        elif extras.covers:
            self._lose("the cover image is")
        if extras.stereo_mode is not None:
            mode = _STEREO_MODES.get(extras.stereo_mode, extras.stereo_mode)
            if container.stereo_mode and mode in _STEREO_MODES.values():
                args += ["-metadata:s:v:0", f"stereo_mode={mode}"]
            elif container.stereo_mode:
                self._warnings.append(f"the stereo mode of the video ({extras.stereo_mode}) is not kept in {suffix}")
            else:
                self._lose(f"the stereo mode of the video ({extras.stereo_mode}) is")
        return args

    def _attach_cover(self, number: int, stream: int, codec: str) -> list[str]:
        """Extract a cover image and attach it as the attachment of a number."""
        assert self._source is not None
        kind = _COVER_TYPES.get(codec)
        if kind is None:
            self._warnings.append(f"the cover image ({codec}) is not kept in {self._sink.suffix}")
            return []
        name = "cover" + {"image/jpeg": ".jpg", "image/png": ".png"}[kind]
        file = self._folder / f"{stream}{name}"
        copy = [*self._source.input_args(), "-map", f"0:{stream}", "-c", "copy", "-frames:v", "1", "-f", "image2"]
        run_ffmpeg([*copy, "-update", "1", f"file:{file}"], "copying the cover image")
        tags = [f"-metadata:s:t:{number}", f"mimetype={kind}", f"-metadata:s:t:{number}", f"filename={name}"]
        return ["-attach", f"file:{file}", *tags]

    def _lose(self, what: str) -> None:
        self._warnings.append(f"{what} not kept in {self._sink.suffix}, but would be in .mkv")

    def _tracks(self, info: VideoInfo) -> list[_Track]:
        """List the streams to write, by what the container is known to take."""
        container, copy = self._container, ("copy",)
        tracks = []
        for index, name in enumerate(info.audio):
            if not name:
                continue  # not wanted
            taken = container.audio is None or name in container.audio
            ways = (copy, container.audio_encoder) if taken else (container.audio_encoder, copy)
            tracks.append(_Track("a", index, name, ways))
        for index, name in enumerate(info.subtitles):
            encoder = (container.subtitle_encoder,)
            taken = name != "mov_text" if container.subtitles is None else name in container.subtitles
            if name in _BITMAP_SUBTITLES and not taken:
                self._warnings.append(
                    f"subtitle track {index + 1} ({name}) cannot be written to {self._sink.suffix} and is left out; "
                    ".mkv takes it"
                )
                continue
            # What is not known to be text is not taken for it.
            ways = (encoder, copy) if name in _TEXT_SUBTITLES and not taken else (copy, encoder)
            tracks.append(_Track("s", index, name, ways))
        return tracks

    def _what_works(self, track: _Track) -> _Track | None:
        """Try each way to write a track alone; without one, note why it is left out."""
        assert self._source is not None
        reason = ""
        for way in track.ways:
            kept = _Track(track.letter, track.index, track.name, (way,))
            part = part_path(self._output)
            args = [*self._cut(), *self._source.input_args(), *_maps([kept], 0), "-f", self._container.muxer]
            try:
                with Ffmpeg([*args, f"file:{part.absolute()}", *self._clock(0)]) as process:
                    process.finish("trying a track")
                return kept
            except DiskFullError:
                raise
            except FfmpegError as error:
                reason = reason or str(error).partition("): ")[2].partition(" / ")[0]
            finally:
                part.unlink(missing_ok=True)
        self._warnings.append(f"{track} cannot be written to {self._sink.suffix} and is left out ({reason})")
        return None


def _maps(tracks: Sequence[_Track], number: int) -> Iterator[str]:
    """Give ffmpeg's options that write tracks of input `number`, each in its first way."""
    counts = {"a": 0, "s": 0}
    for track in tracks:
        stream = f"{track.letter}:{counts[track.letter]}"
        counts[track.letter] += 1
        codec, *options = track.ways[0]
        yield from ("-map", f"{number}:{track.letter}:{track.index}", f"-c:{stream}", codec)
        yield from (f"{part}:{stream.partition(':')[2]}" if part.startswith("-") else part for part in options)


def _decimal(seconds: float) -> str:
    return f"{seconds:.6f}"
