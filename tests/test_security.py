"""What a file from elsewhere, or a name, tries to make the program do."""

import http.server
import json
import os
import pickle
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from renders import frames_of, names, tiny

from dreamvid import Dreamer
from dreamvid.audio.decode import decode_audio
from dreamvid.errors import DreamvidError, NetworkError, OutputError, SettingsError, SourceError
from dreamvid.networks.weights import read_checkpoint
from dreamvid.render.engine import render_video
from dreamvid.settings import load_settings
from dreamvid.video.decode import FrameReader
from dreamvid.video.encode import StreamSpec
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe, scan
from dreamvid.video.sink import Recording, open_sink
from dreamvid.video.source import open_source

PLAIN = tiny(iterations=0, octaves=1, dream_height=16, half_life_seconds=0, frames="0:3")


def make_film(path: Path, size: str = "64x48") -> Path:
    image = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=5:duration=1"]
    run_ffmpeg([*image, "-f", "lavfi", "-i", "sine=d=1", f"file:{path}"], "making a film")
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An address, and what has been asked for there."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}", asked
        one.shutdown()
        thread.join()


def tree(*folders: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with its size and time."""
    found = {}
    for folder in folders:
        for place, folders_there, files in os.walk(folder):  # passes over a folder that is removed meanwhile
            for path in (Path(place, name) for name in (*folders_there, *files)):
                with suppress(FileNotFoundError):  # a file that is renamed meanwhile is found by its other name
                    status = path.lstat()
                    found[str(path)] = (-1, 0) if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
    return found


# --- data that would be code


class RunsCode:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".toml"])
@pytest.mark.parametrize("form", ["pickle", "zip", "legacy", "nested"])
def test_weights_that_would_run_a_command_do_not(tmp_path: Path, suffix: str, form: str) -> None:
    mark, file = tmp_path / "ran", tmp_path / f"weights{suffix}"
    evil = RunsCode(mark)
    if form == "pickle":
        file.write_bytes(pickle.dumps(evil))
    elif form == "nested":
        torch.save({"state_dict": {"a": torch.ones(1), "b": evil}}, file)
    else:
        torch.save(evil, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(NetworkError):
        read_checkpoint(file)
    assert not mark.exists()


def test_a_preset_can_name_weights_but_not_make_them_run(tmp_path: Path) -> None:
    mark, weights, preset = tmp_path / "ran", tmp_path / "weights.pth", tmp_path / "preset.toml"
    weights.write_bytes(pickle.dumps(RunsCode(mark)))
    preset.write_text(f"[network]\nweights = '{weights}'\n")
    with pytest.raises(NetworkError, match="would run code"):
        Dreamer(load_settings(preset))
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch ran')",
        "exp.__globals__",
        "$(touch ran)",
        "{open('ran','w')}",
    ],
)
def test_no_text_of_a_preset_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    preset = tmp_path / "preset.toml"
    for table in ("[dream]\nobjective", "[dream]\nstep", "[schedules]\nstep", "[video]\nfps", "[render]\ndevice"):
        preset.write_text(f'{table} = "{text}"\n')
        with pytest.raises(DreamvidError):
            Dreamer(load_settings(preset))
    preset.write_text(f'[video]\ncodec = "{text}"\n')
    with pytest.raises(OutputError):
        render_video("lavfi:testsrc2=d=1", tmp_path / "dream.mp4", load_settings(preset))
    assert names(tmp_path) == ["preset.toml"]


@pytest.mark.parametrize("codec", ["-i", "libx264 -f null", "copy", "libx264;touch ran", "libx264\n"])
def test_a_codec_is_one_of_the_known(film: Path, tmp_path: Path, codec: str) -> None:
    before = tree(tmp_path)
    with pytest.raises(DreamvidError, match="not written with the encoder"):
        render_video(film, tmp_path / "dream.mp4", tiny(codec=codec))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("graph", ["movie={film}", "testsrc2=d=1,metadata=print:file={mark}"])
def test_a_mask_in_a_preset_is_no_graph(film: Path, tmp_path: Path, graph: str) -> None:
    mark, preset = tmp_path / "written", tmp_path / "preset.toml"
    preset.write_text(f'[dream]\nmask = "lavfi:{graph.format(film=film, mark=mark)}"\n')
    with pytest.raises(SettingsError, match="cannot be masks"):
        render_video(film, tmp_path / "dream.mp4", load_settings(preset, device="cpu"))
    with pytest.raises(SettingsError, match="cannot be masks"):
        Dreamer(load_settings(preset, device="cpu")).dream(np.zeros((16, 16, 3), np.uint8))
    assert names(tmp_path) == ["preset.toml"]


# --- names

STRANGE = [
    "-i",
    "-y.mp4",
    "pipe:1",
    "concat:a.mp4|b.mp4",
    "subfile,,start,0,end,9,,:x.mp4",
    "http:x.mp4",
    "file:x.mp4",
    "$(touch ran)`touch ran`;touch ran.mp4",
    "a|b&c>d'u\"o.mp4",
    "line\nfile 'film.mp4'\n.mp4",
    "%d%%s.mp4",
    "tee:[f=mp4]x.mp4",
]


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_name_is_a_name(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As a source and as an output, with nothing in front of it, in a folder of that name."""
    folder = tmp_path / ("in " + name)
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path(name).write_bytes(film.read_bytes())
    source, output = open_source(name), Path(name).with_suffix(".mkv")
    info = probe(source)
    seen = scan(source, info)
    spec, sink = StreamSpec.from_source(info, seen), open_sink(output)
    part = Path(name).with_suffix(f".part{sink.segment_suffix}")
    writer = sink.open_segment(part, spec)
    with FrameReader(source, info) as reader:
        for frame in reader:
            writer.write(frame.pixels, frame.pts)
    writer.close()
    sink.join(Recording([part], spec, [seen.pts], source=source, info=info), output)
    part.unlink()
    assert frames_of(output).shape == (5, 48, 64, 3)
    assert decode_audio(name)[0].size > 0
    assert names(folder) == sorted([name, output.name])
    assert names(tmp_path) == [folder.name]


def test_a_render_in_a_folder_with_a_line_break(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "line\nfile 'film.mp4'\n"
    folder.mkdir()
    render_video(film, folder / "-i\n.mp4", PLAIN)
    assert names(folder) == ["-i\n.mp4", "-i\n.mp4.toml"]


@pytest.mark.parametrize(
    "name",
    ["concat:{0}|{0}", "subfile,,start,0,end,0,,:{0}", "file:{0}", "pipe:0", "cache:{0}", "crypto:{0}", "{url}/x.mp4"],
)
def test_protocols_are_no_sources(film: Path, server: tuple[str, list[str]], name: str) -> None:
    url, asked = server
    with pytest.raises(SourceError, match=r"no such file|addresses are not read"):
        open_source(name.format(film, url=url))
    with pytest.raises(SourceError, match="not there"):
        decode_audio(name.format(film, url=url))
    assert not asked


@pytest.mark.parametrize("name", ["{url}/x.mp4", "tcp://127.0.0.1:9/x.mp4", "pipe:1.mp4/", "tee:a.mp4|b.mp4"])
def test_protocols_are_no_outputs(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: tuple[str, list[str]], name: str
) -> None:
    url, asked = server
    monkeypatch.chdir(tmp_path)
    try:
        render_video(film, name.format(url=url), PLAIN)
    except OutputError:
        assert names(tmp_path) == []
    else:
        assert all(name.startswith(one.removesuffix(".toml")) for one in names(tmp_path))
    assert not asked


# --- films that are lists of others


def playlists(film: Path, url: str) -> dict[str, str]:
    def hls(entry: str) -> str:
        return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{entry}\n#EXT-X-ENDLIST\n"

    dash = (
        '<?xml version="1.0"?>'
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1" width="64" height="48">'
        "<BaseURL>{}</BaseURL><SegmentBase/></Representation></AdaptationSet></Period></MPD>"
    )
    return {
        "local.m3u8": hls(film.name),
        "absolute.m3u8": hls(f"file://{film}"),
        "remote.m3u8": hls(f"{url}/a.ts"),
        "hidden.mp4": hls(film.name),
        "local.ffconcat": f"ffconcat version 1.0\nfile {film.name}\n",
        "absolute.ffconcat": f"ffconcat version 1.0\nfile '{film}'\n",
        "remote.ffconcat": f"ffconcat version 1.0\nfile '{url}/a.mp4'\n",
        "hidden.mkv": f"ffconcat version 1.0\nfile {film.name}\n",
        "local.mpd": dash.format(film.name),
        "remote.mpd": dash.format(f"{url}/a.mp4"),
        "remote.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
    }


def test_a_playlist_opens_neither_a_file_nor_a_connection(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    url, asked = server
    film = make_film(tmp_path / "secret.ts")
    for name in ("local.m3u8", "local.ffconcat"):  # ffmpeg by itself does follow them
        (tmp_path / name).write_text(playlists(film, url)[name])
        run_ffmpeg(["-i", f"file:{tmp_path / name}", "-f", "null", "-"], "following a list")
    for name, text in playlists(film, url).items():
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(SourceError, match="playlist"):
            probe(open_source(path))
        with pytest.raises(SourceError, match="playlist"):
            decode_audio(path)
    assert not asked


def test_a_film_whose_samples_are_in_another_file_does_not_show_them(tmp_path: Path) -> None:
    """An mp4's `dref` may name another file in place of itself."""
    whole = make_film(tmp_path / "secret.mov")
    data = bytearray(whole.read_bytes())
    start = data.index(b"dref") - 4
    at = start + 16  # the first entry: size, kind, version and flags
    assert data[at + 4 : at + 8] in (b"url ", b"alis")
    # Apple's alias: 10 bytes, volume, 12 bytes, name, 16 bytes, how many folders up and down, 16 bytes, the path.
    path = str(whole).encode()
    path += b"\0" * (len(path) % 2)
    alias = bytes(10) + b"\x01x" + bytes(26 + 12) + b"\x0asecret.mov" + bytes(53 + 16)
    alias += b"\0\x01\0\x01" + bytes(16) + b"\0\x02" + len(path).to_bytes(2, "big") + path + b"\xff\xff\0\0"
    entry = (12 + len(alias)).to_bytes(4, "big") + b"alis" + bytes(4) + alias  # flags 0: not in this file
    grown = len(entry) - int.from_bytes(data[at : at + 4], "big")
    data[at : at + int.from_bytes(data[at : at + 4], "big")] = entry
    # Every box around it has become longer.
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = data.rindex(kind, 0, at) - 4
        data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") + grown).to_bytes(4, "big")
    moov, mdat = data.index(b"moov") - 4, data.index(b"mdat") - 4
    assert mdat < moov, "the offsets of the samples have not moved"
    outer = tmp_path / "outer.mov"
    data[mdat + 8 : moov] = bytes(moov - mdat - 8)  # nothing of the samples is in here
    outer.write_bytes(bytes(data))
    allowed = ["-enable_drefs", "1", "-i", f"file:{outer}", "-map", "0:v", "-f", "null", "-"]
    run_ffmpeg(["-xerror", *allowed], "following the reference")  # so there is one to be followed
    with pytest.raises(DreamvidError):
        render_video(outer, tmp_path / "dream.mp4", PLAIN)
    assert not (tmp_path / "dream.mp4").exists()


# --- where it writes


def test_nothing_is_written_beside_the_output_and_its_job(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {name: tmp_path / name for name in ("home", "temp", "here", "source", "output")}
    for place in places.values():
        place.mkdir()
    monkeypatch.setenv("HOME", str(places["home"]))
    monkeypatch.setenv("TMPDIR", str(places["temp"]))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(places["here"])
    source = places["source"] / "film.mp4"
    source.write_bytes(film.read_bytes())
    before = tree(*places.values())
    during: set[str] = set()

    def look(progress: object) -> None:
        during.update(set(tree(*places.values())) - set(before))

    render_video(source, places["output"] / "dream.mp4", PLAIN, on_progress=look, preview_every_seconds=0.001)
    after = tree(*places.values())
    made = {Path(path).relative_to(tmp_path).as_posix() for path in after.keys() - before.keys()}
    assert made == {"output/dream.mp4", "output/dream.mp4.toml"}
    assert {path: after[path] for path in before if path in after} == before
    own = (str(places["output"]), str(places["temp"] / "dreamvid-"))
    assert all(path.startswith(own) for path in during)
    beside = {Path(path).name for path in during if Path(path).parent == places["output"]}
    assert {".dream.mp4.job"} <= beside
    assert all(name.startswith((".dream.", "dream.partial.")) for name in beside)


def test_what_a_jobs_folder_claims_is_removed_only_beside_the_output(film: Path, tmp_path: Path) -> None:
    """A job's folder may come from elsewhere, with a shared folder."""
    folder = tmp_path / "a" / "b"
    job = folder / ".dream.mp4.job"
    job.mkdir(parents=True)
    kept = [tmp_path / "escaped.partial.mp4", folder / "film.mp4"]
    for path in kept:
        path.write_text("kept")
    claimed = ["../../escaped.partial.mp4", str(kept[0]), "film.mp4", "..", "", "x.partial/../film.mp4"]
    (job / "beside.json").write_text(json.dumps(claimed))
    render_video(film, folder / "dream.mp4", PLAIN, restart=True)
    assert all(path.read_text() == "kept" for path in kept)


def test_links_are_not_followed_out_of_the_jobs_folder(film: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    job = tmp_path / ".dream.mp4.job"
    job.mkdir()
    (job / "result").symlink_to(kept)
    (job / "000000.mp4").symlink_to(kept / "file")
    render_video(film, tmp_path / "dream.mp4", PLAIN, restart=True)
    assert (kept / "file").read_text() == "kept"
