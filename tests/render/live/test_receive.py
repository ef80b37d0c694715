"""Live sources over real ffmpeg loopbacks: frames, losses, stalls, changes of size, and what cannot be opened."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from live_sessions import children, free_port, sender, wait_for

from dreamvid.errors import SourceError
from dreamvid.render.live.capture.receive import Receiver
from dreamvid.render.live.capture.source import FfmpegInput, PushedInput, StartInput, list_devices, open_live_source
from dreamvid.render.live.slot import LiveFrame
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import run_ffmpeg


@dataclass
class Received:
    """What came in. receiver: while the context is open."""

    receiver: Receiver
    frames: list[LiveFrame] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    sound: list[np.ndarray] = field(default_factory=list)

    def wait(self, count: int) -> None:
        """Wait for more frames."""
        wanted = len(self.frames) + count
        wait_for(lambda: len(self.frames) >= wanted)


@contextmanager
def receiving(text: str, *, max_height: int = 720, size: Size | None = None) -> Iterator[Received]:
    source = open_live_source(text)
    assert isinstance(source, FfmpegInput)
    received: Received | None = None

    def put(frame: LiveFrame) -> None:
        assert received is not None
        received.frames.append(frame)
        del received.frames[:-200]

    receiver = Receiver(
        source,
        put,
        max_height=max_height,
        size=size,
        sound=lambda samples, now: received.sound.append(samples) if received else None,
        say=lambda text: received.said.append(text) if received else None,
    )
    received = Received(receiver)
    with receiver:
        yield received


def test_a_graph_plays_in_its_own_time_and_begins_again() -> None:
    before = children()
    with receiving("lavfi:testsrc2=s=64x48:r=10:d=0.5") as received:
        received.wait(1)
        start = time.monotonic()
        received.wait(12)
        took = time.monotonic() - start
        assert took > 0.9
        assert received.receiver.state().status == "connected"
        assert received.receiver.state().reconnections == 0
        assert not received.said
    assert children() == before


def test_frames_are_the_picture_in_order(tmp_path: Path) -> None:
    """Red, then blue, in the size of the file; a file is played again after its end, with its sound."""
    clip = tmp_path / "clip.mkv"
    graph = "color=red:s=64x48:r=10:d=0.4[a];color=blue:s=64x48:r=10:d=0.4[b];[a][b]concat[v]"
    sound = ["-f", "lavfi", "-i", "sine=f=440:d=0.8"]
    run_ffmpeg([*sound, "-filter_complex", graph, "-map", "[v]", "-map", "0:a", "-c:v", "ffv1", str(clip)], "a clip")
    with receiving(str(clip)) as received:
        wait_for(lambda: len(received.frames) >= 14)
        wait_for(lambda: received.sound)
    colors = ["red" if frame.pixels[20, 20, 0] > 200 else "blue" for frame in received.frames[:14]]
    assert {frame.pixels.shape for frame in received.frames} == {(48, 64, 3)}
    assert [frame.number for frame in received.frames[:14]] == list(range(14))
    assert colors[:4] == ["red"] * 4
    assert colors[4:8] == ["blue"] * 4
    assert "red" in colors[8:14]
    heard = np.concatenate(received.sound)
    assert heard.shape[1] == 2
    assert float(np.abs(heard).max()) > 0.05


@pytest.mark.parametrize(("size", "shape"), [(None, (120, 160, 3)), (Size(100, 100), (100, 100, 3))])
def test_large_frames_are_reduced_and_fitted(size: Size | None, shape: tuple[int, ...]) -> None:
    with receiving("lavfi:color=white:s=640x480:r=10", max_height=120, size=size) as received:
        received.wait(1)
    pixels = received.frames[-1].pixels
    assert pixels.shape == shape
    if size is not None:  # bars above and below
        assert pixels[:10].max() == 0
        assert pixels[50].min() > 250


def test_pixels_that_are_not_square_are_made_so() -> None:
    with receiving("lavfi:color=white:s=64x48:r=10,setsar=2") as received:
        received.wait(1)
    assert received.frames[-1].pixels.shape == (48, 128, 3)


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_a_stream_over_the_network(scheme: str) -> None:
    port = free_port()
    listening = "?listen" if scheme == "tcp" else ""
    address = f"{scheme}://127.0.0.1:{port}"
    with receiving(f"{address}{listening}") as received:
        time.sleep(0.2)
        with sender(address):
            received.wait(5)
    assert received.frames[-1].pixels.shape == (64, 96, 3)


def test_a_sender_that_is_killed_and_started_again_is_back_within_3_seconds() -> None:
    port = free_port()
    address = f"udp://127.0.0.1:{port}"
    with receiving(address) as received:
        for _ in range(3):
            with sender(address):
                started = time.monotonic()
                received.wait(3)
                back = time.monotonic() - started
            assert back < 3 + 3 * _slowness()
        wait_for(lambda: received.receiver.state().status == "stalled")
        assert "goes on" in received.receiver.state().message


def _slowness() -> float:
    """How much more than the cores of this machine there is to do now."""
    return max(0.0, os.getloadavg()[0] / (os.cpu_count() or 1) - 1)


def test_a_source_that_goes_away_is_opened_again_and_says_so() -> None:
    with receiving("lavfi:testsrc2=s=64x48:r=10") as received:
        received.wait(2)
        process = received.receiver._process
        assert process is not None
        source = received.receiver._source
        object.__setattr__(source, "kind", "device")  # a device has no end, so this is a loss
        os.kill(process.process.pid, signal.SIGKILL)
        wait_for(lambda: received.receiver.state().reconnections == 1)
        received.wait(2)
        assert received.receiver.state().status == "connected"
    assert any(text.startswith("lost lavfi:") for text in received.said)
    assert any("is back" in text for text in received.said)


def test_a_picture_that_changes_its_size_is_fitted_into_the_first_one() -> None:
    port = free_port()
    address = f"udp://127.0.0.1:{port}"
    with receiving(address) as received:
        with sender(address, "color=white:s=96x64:r=15"):
            received.wait(3)
        with sender(address, "color=white:s=64x96:r=15"):
            wait_for(lambda: received.frames[-1].pixels[:, 0].max() < 50)  # bars at the sides
            received.wait(3)
    assert {frame.pixels.shape for frame in received.frames} == {(64, 96, 3)}
    assert received.frames[-1].pixels[32, 48].min() > 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("camera:7", "There is no camera"),
        ("camera:nobody", "There is no camera"),
        ("missing.mp4", "There is no source"),
        ("-", "does not read stdin"),
        ("gopher://example.org", "There is no source"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_starts(text: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_live_source(text)


def test_a_file_without_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    run_ffmpeg(["-f", "lavfi", "-i", "sine=d=0.2", str(path)], "making a sound")
    with pytest.raises(SourceError):
        open_live_source(str(path))


def test_an_address_where_nobody_listens_fails_at_once_with_advice() -> None:
    with receiving(f"tcp://127.0.0.1:{free_port()}") as received:
        wait_for(lambda: received.receiver.failure)
    assert "Connection refused" in str(received.receiver.failure)
    assert "Is the sender running" in str(received.receiver.failure)


def test_what_is_an_animation_and_what_a_browser_sends() -> None:
    assert isinstance(open_live_source("noise"), StartInput)
    assert isinstance(open_live_source("browser"), PushedInput)
    assert ("browser", "the camera of a browser that opens the page") in list_devices()


def test_a_stream_is_opened_again_for_its_sound_when_somebody_wants_it() -> None:
    address = f"udp://127.0.0.1:{free_port()}"
    graph = "testsrc2=s=96x64:r=15[out0];sine=f=500:r=48000[out1]"
    with receiving(address) as received, sender(address, graph, more=("-c:a", "aac")):
        received.wait(10)
        assert not received.sound
        assert received.receiver.may_have_sound
        received.receiver.want_sound()
        wait_for(lambda: len(received.sound) > 5)
        received.wait(5)
    assert received.receiver.state().reconnections == 0
    assert float(np.abs(np.concatenate(received.sound)).max()) > 0.05


def test_srt_in_both_directions() -> None:
    port = free_port()
    with (
        receiving(f"srt://127.0.0.1:{port}?mode=listener") as received,
        sender(f"srt://127.0.0.1:{port}?mode=caller"),
    ):
        received.wait(5)
    assert received.frames[-1].pixels.shape == (64, 96, 3)
