"""Black bars stay black in a render, and the picture inside is dreamed as if they were not there."""

from pathlib import Path

import numpy as np
from renders import frames_of, tiny

from dreamvid.image.io import write_image
from dreamvid.render.engine import render_video
from dreamvid.video.ffmpeg import run_ffmpeg

WIDTH, HEIGHT, TOP, BOTTOM, FRAMES = 96, 64, 20, 12, 9


def make_films(folder: Path) -> tuple[Path, Path]:
    """Store a picture, and the same between bars, without loss."""
    picture = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=10,format=gbrp,trim=end_frame={FRAMES},lutrgb=r=val/2+60"
    padded = f"{picture},pad={WIDTH}:{HEIGHT + TOP + BOTTOM}:0:{TOP}:black"
    paths = []
    for name, graph in (("picture", picture), ("padded", padded)):
        paths.append(folder / f"{name}.mkv")
        run_ffmpeg(["-f", "lavfi", "-i", graph, "-c:v", "ffv1", f"file:{paths[-1]}"], "making a film")
    return paths[0], paths[1]


def test_the_picture_is_dreamed_as_without_bars_and_bars_stay_black(tmp_path: Path) -> None:
    picture, padded = make_films(tmp_path)
    render_video(picture, tmp_path / "alone_%02d.png", tiny(seed=1))
    result = render_video(padded, tmp_path / "barred_%02d.png", tiny(seed=1))
    alone, barred = frames_of(tmp_path / "alone_%02d.png"), frames_of(tmp_path / "barred_%02d.png")
    assert barred.shape == (FRAMES, TOP + HEIGHT + BOTTOM, WIDTH, 3)
    assert np.array_equal(barred[:, TOP : TOP + HEIGHT], alone)
    assert not barred[:, :TOP].any()
    assert not barred[:, TOP + HEIGHT :].any()
    assert np.abs(alone.astype(int) - frames_of(picture)).mean() > 2
    assert [text for text in result.warnings if "20 at the top and 12 at the bottom" in text]


def test_bars_are_dreamed_on_when_asked_for(tmp_path: Path) -> None:
    padded = make_films(tmp_path)[1]
    result = render_video(padded, tmp_path / "dream_%02d.png", tiny(bars="dream"))
    assert frames_of(tmp_path / "dream_%02d.png")[:, :TOP].any()
    assert not result.warnings


def test_bars_at_another_size_and_under_a_mask(tmp_path: Path) -> None:
    padded = make_films(tmp_path)[1]
    mask = np.zeros((TOP + HEIGHT + BOTTOM, WIDTH, 3), np.uint8)
    mask[:, WIDTH // 2 :] = 255
    write_image(tmp_path / "mask.png", mask)
    size = f"{WIDTH}x{(TOP + HEIGHT + BOTTOM) // 2}"
    for name, settings in (
        ("source", tiny(size=size, iterations=0, warm_iterations=0)),
        ("dream", tiny(size=size, mask=str(tmp_path / "mask.png"))),
    ):
        render_video(padded, tmp_path / f"{name}_%02d.png", settings)
    source, dream = (frames_of(tmp_path / f"{name}_%02d.png").astype(int) for name in ("source", "dream"))
    added = np.abs(dream - source)
    assert not added[:, : TOP // 2].any()
    assert not added[:, TOP // 2 + HEIGHT // 2 :].any()
    assert not added[:, :, : WIDTH // 2 - 4].any()
    assert added[:, TOP // 2 : TOP // 2 + HEIGHT // 2, WIDTH // 2 + 4 :].mean() > 1
