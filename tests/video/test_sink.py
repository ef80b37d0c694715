from fractions import Fraction
from pathlib import Path

import pytest

from dreamvid.errors import OutputError
from dreamvid.video.encode import StreamSpec
from dreamvid.video.encoders import check_encoder
from dreamvid.video.mux import EncodedSink
from dreamvid.video.sink import FileSequence, open_sink


@pytest.mark.parametrize(
    ("path", "container", "codec", "segment"),
    [
        ("a.mp4", "mp4", "libx264", ".mp4"),
        ("a.MKV", "matroska", "libx264", ".mp4"),
        ("a.webm", "webm", "libvpx-vp9", ".mp4"),
        ("a.mov", "mov", "prores_ks", ".mov"),
        ("a.gif", "gif", "ffv1", ".mov"),
        ("a.webp", "webp", "ffv1", ".mov"),
        ("a_%06d.png", "image2", "ffv1", ".mov"),
        ("frames/", "image2", "ffv1", ".mov"),
    ],
)
def test_the_suffix_chooses(path: str, container: str, codec: str, segment: str) -> None:
    sink = open_sink(path)
    assert isinstance(sink, EncodedSink)
    assert (sink.muxer, sink.encoding.codec, sink.segment_suffix) == (container, codec, segment)


def test_what_cannot_be_written_is_refused() -> None:
    for path, codec, crf, words in (
        ("a.avi", None, None, r"Allowed: .*\.mp4"),
        ("a", None, None, r"suffix '\(none\)'"),
        ("a.png", None, None, r"write name_%06d\.png"),
        ("a.mp4", "libx256", None, r"Did you mean 'libx26[45]'"),
        ("a.webm", "libx264", None, "Allowed: libvpx-vp9, libsvtav1"),
        ("a.mp4", None, 52, r"0 \(best\) to 51"),
        ("a.mov", None, 18, "has no crf"),
        ("a.gif", "libx264", None, "leave out the codec"),
        ("a.gif", None, 20, "has no crf"),
    ):
        with pytest.raises(OutputError, match=words):
            open_sink(path, codec, crf)


def test_an_encoder_that_does_not_run_names_those_that_do() -> None:
    check_encoder("libx264")
    with pytest.raises(OutputError, match=r"'h264_nosuch' does not work here.*libx264"):
        check_encoder("h264_nosuch")


@pytest.mark.parametrize(
    ("pattern", "number", "name"),
    [
        ("f_%04d.png", 7, "f_0007.png"),
        ("f_%d.png", 12345, "f_12345.png"),
        ("f_%3d.png", 7, "f_007.png"),
        ("50%%_%02d.png", 123, "50%_123.png"),
        ("100% %d.PNG", 0, "100% 0.PNG"),
    ],
)
def test_names_of_a_sequence(tmp_path: Path, pattern: str, number: int, name: str) -> None:
    sequence = FileSequence.from_name(pattern)
    assert sequence is not None
    assert sequence.name(number) == name
    for other in (name, "f_07.png", "f_00007.png", "x" + name, name + "x", "50%_01.png", "f_٧.png"):
        (tmp_path / other).touch()
    listed = dict(sequence.files(tmp_path))
    assert listed[number] == tmp_path / name
    assert all(sequence.name(found) == path.name for found, path in listed.items())
    assert sequence.folder(tmp_path / pattern) == tmp_path
    assert sequence.folder(tmp_path) == tmp_path


def test_a_name_has_one_number() -> None:
    assert FileSequence.from_name("frame.png") is None
    assert FileSequence.from_name("100%%d.png") is None
    with pytest.raises(OutputError, match="2 numbers"):
        open_sink("a_%d_%04d.png")


@pytest.mark.parametrize(
    ("output", "size", "words"),
    [
        ("a.webp", (16384, 20), "at most 16383"),
        ("a.webp", (20, 20000), "20x20000"),
        ("a.gif", (65536, 20), "at most 65535"),
        ("a.mp4", (16400, 64), "libx264"),
    ],
)
def test_a_size_that_cannot_be_written_is_refused_before_the_work(
    output: str, size: tuple[int, int], words: str
) -> None:
    sink = open_sink(output)
    spec = StreamSpec(*size, Fraction(25), Fraction(1, 25))
    with pytest.raises(OutputError, match=words):
        sink.check(spec)
    for usual in ((320, 240), (2, 2), (17, 1001)):
        sink.check(StreamSpec(*usual, Fraction(25), Fraction(1, 25)))
