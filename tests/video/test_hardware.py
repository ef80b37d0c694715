"""Decoding and encoding by hardware, as far as a machine without it tells."""

import numpy as np
import pytest
from clips import make

from dreamvid.errors import DreamvidError, OutputError, SettingsError
from dreamvid.runtime.device import resolve_device
from dreamvid.video.decode import FrameReader, check_hwaccel
from dreamvid.video.encoders import HARDWARE, check_encoder, choose_encoding
from dreamvid.video.ffmpeg import hwaccels
from dreamvid.video.probe import VideoInfo, probe
from dreamvid.video.source import Source, open_source


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, VideoInfo]:
    path = make(tmp_path_factory.mktemp("hardware") / "clip.mp4", frames=4)
    source = open_source(path)
    return source, probe(source)


def has_nvdec(clip: tuple[Source, VideoInfo]) -> bool:
    try:
        check_hwaccel("cuda", *clip)
    except SettingsError:
        return False
    return True


def resolvable(device: str) -> bool:
    try:
        resolve_device(device)
    except DreamvidError:
        return False
    return True


def test_the_cpu_decodes_without_a_check(clip: tuple[Source, VideoInfo]) -> None:
    check_hwaccel(None, *clip)


def test_a_name_that_ffmpeg_does_not_know_is_refused_with_those_that_it_knows(clip: tuple[Source, VideoInfo]) -> None:
    with pytest.raises(SettingsError, match=r"'cudda'.*Allowed: .*Leave it out to decode on the CPU") as caught:
        check_hwaccel("cudda", *clip)
    assert all(name in str(caught.value) for name in hwaccels())


def test_hardware_that_is_missing_is_said_with_what_to_do(clip: tuple[Source, VideoInfo]) -> None:
    if "cuda" not in hwaccels() or has_nvdec(clip):
        pytest.skip("this machine decodes with CUDA, or its ffmpeg never does")
    with pytest.raises(SettingsError, match=r"`hwaccel=cuda` does not work here \(.*cuda.*\)\. Leave it out"):
        check_hwaccel("cuda", *clip)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", HARDWARE)
def test_nvenc_gets_a_constant_quality_and_a_format_that_it_takes(suffix: str, codec: str) -> None:
    encoding = choose_encoding(suffix, ("libx264", *HARDWARE), codec, 23)
    args = encoding.args(8)
    assert args[:2] == ["-c:v", codec]
    assert args[args.index("-cq") + 1] == "23"
    assert args[args.index("-b:v") + 1] == "0", "otherwise the rate is bound, and -cq is not heard"
    assert args[-2:] == ["-pix_fmt", "yuv420p"]
    assert encoding.args(10)[-1] == ("yuv420p" if codec == "h264_nvenc" else "p010le")


def test_an_encoder_without_its_driver_is_refused_with_those_that_work() -> None:
    if not resolvable("cuda"):
        with pytest.raises(OutputError, match=r"'h264_nvenc' does not work here .*libx264"):
            check_encoder("h264_nvenc")


@pytest.mark.gpu
def test_nvdec_gives_the_frames_of_the_cpu(clip: tuple[Source, VideoInfo]) -> None:
    if not resolvable("cuda"):
        pytest.skip("no CUDA device")
    with FrameReader(*clip) as one, FrameReader(*clip, hwaccel="cuda") as other:
        for cpu, gpu in zip(one, other, strict=True):
            assert np.abs(cpu.pixels.astype(int) - gpu.pixels).mean() < 1
            assert cpu.pts == gpu.pts


@pytest.mark.gpu
@pytest.mark.parametrize("codec", HARDWARE[:2])
def test_nvenc_encodes_on_a_gpu(codec: str) -> None:
    if not resolvable("cuda"):
        pytest.skip("no CUDA device")
    try:
        check_encoder(codec)
    except OutputError as error:
        if "driver" in str(error).lower() or "No capable devices" in str(error):
            pytest.skip(f"this GPU or its driver does not encode: {error}")
        raise
