import pytest

from dreamvid.errors import OutputError
from dreamvid.video.encoders import check_encoder
from dreamvid.video.mux import EncodedSink
from dreamvid.video.sink import open_sink


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
