"""Flashes, noise and evenness: made dreams with known answers."""

import math

import cv2
import numpy as np
import pytest

from dreamvid.metrics.residual_blocks import BlockCurves, ResidualBlocks

ROWS, COLUMNS, FRAMES = 6, 8, 7
HEIGHT, WIDTH = 8 * ROWS, 8 * COLUMNS
GRAY = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)


def _measure(
    dreams: list[np.ndarray], sources: list[np.ndarray] | None = None, cuts: tuple[int, ...] = ()
) -> BlockCurves:
    blocks = ResidualBlocks()
    for index, dream in enumerate(dreams):
        blocks.add(GRAY if sources is None else sources[index], dream, cut=index in cuts)
    return blocks.curves()


def _steady(strength: float = 0.1) -> list[np.ndarray]:
    return [GRAY + np.float32(strength) for _ in range(FRAMES)]


def _set_block(image: np.ndarray, row: int, column: int, value: float) -> None:
    image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = GRAY[0, 0] + np.float32(value)


def test_a_steady_dream_has_no_fault() -> None:
    curves = _measure(_steady())
    assert curves.flashing_blocks[1:-1].tolist() == [0] * (FRAMES - 2)
    assert np.isnan(curves.flashing_blocks[[0, -1]]).all()
    assert curves.judged_blocks.tolist() == [0, *[ROWS * COLUMNS] * (FRAMES - 2), 0]
    assert curves.noisy_blocks.tolist() == [0] * FRAMES
    assert curves.evenness[1:] == pytest.approx([0] * (FRAMES - 1), abs=1e-4)
    assert math.isnan(curves.evenness[0])


def test_a_hole_of_one_frame_flashes_and_one_of_two_does_not() -> None:
    dreams = _steady()
    _set_block(dreams[2], 1, 3, 0.0)
    _set_block(dreams[2], 4, 4, 0.044)  # under 0.45 of 0.1
    _set_block(dreams[2], 5, 5, 0.046)  # above it
    for index in (3, 4):
        _set_block(dreams[index], 0, 0, 0.0)
    curves = _measure(dreams)
    assert curves.flashing_blocks[1:-1].tolist() == [0, 2, 0, 0, 0]


def test_a_place_that_is_hardly_dreamed_cannot_flash() -> None:
    dreams = _steady(0.019)  # below 0.02: not alive
    _set_block(dreams[3], 2, 2, 0.0)
    curves = _measure(dreams)
    assert curves.judged_blocks.sum() == 0
    assert curves.flashing_blocks[1:-1].tolist() == [0] * (FRAMES - 2)
    assert np.isnan(curves.evenness).all()


@pytest.mark.parametrize("told", [True, False])
def test_a_hole_next_to_a_cut_is_not_a_flash(told: bool) -> None:
    """A shot begins at frame 3, told or seen as a change of the source."""
    sources = [GRAY.copy() for _ in range(FRAMES)]
    if not told:
        for source in sources[3:]:
            source += np.float32(0.125)
    dreams = [source + np.float32(0.1) for source in sources]
    dreams[2], dreams[3] = sources[2].copy(), sources[3].copy()
    curves = _measure(dreams, sources, cuts=(3,) if told else ())
    assert np.isfinite(curves.flashing_blocks).tolist() == [False, True, False, False, True, True, False]
    assert np.nansum(curves.flashing_blocks) == 0
    assert math.isnan(curves.evenness[3])


def test_evenness_is_the_mean_change_of_strength() -> None:
    dreams = [GRAY + np.float32(strength) for strength in (0.1, 0.12, 0.06)]
    dreams[1][: HEIGHT // 2] = dreams[0][: HEIGHT // 2]  # half of the blocks stay
    curves = _measure(dreams)
    assert curves.evenness[1] == pytest.approx(10, rel=1e-4)
    assert curves.evenness[2] == pytest.approx((40 + 50) / 2, rel=1e-4)
    assert curves.compared_blocks.tolist() == [0, ROWS * COLUMNS, ROWS * COLUMNS]


def test_a_checkerboard_is_noise_where_the_rest_is_smooth() -> None:
    sign = np.where(np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) % 2, 1, -1)[..., None].astype(np.float32)
    smooth = np.float32(0.1) + np.float32(0.02) * sign
    dreams = [GRAY + smooth for _ in range(4)]
    # Less its mean over 3 x 3 pixels a checkerboard of amplitude a keeps 8/9 of it.
    dreams[1][16:24, 16:32] += (np.float32(0.13 / (8 / 9)) - np.float32(0.02)) * sign[16:24, 16:32]
    dreams[2][16:24, 16:24] += (np.float32(0.08 / (8 / 9)) - np.float32(0.02)) * sign[16:24, 16:24]
    assert _measure(dreams).noisy_blocks.tolist() == [0, 2, 0, 0]
    # Where all is as fine, it is the dream itself.
    everywhere = [GRAY + np.float32(0.15) * sign for _ in range(4)]
    assert _measure(everywhere).noisy_blocks.tolist() == [0] * 4


def test_a_source_of_another_size_is_brought_to_the_dreams() -> None:
    sources = [np.repeat(np.repeat(GRAY, 2, axis=0), 2, axis=1)] * FRAMES
    dreams = _steady()
    _set_block(dreams[3], 1, 1, 0.0)
    curves = _measure(dreams, sources)
    assert curves.blocks.tolist() == [ROWS * COLUMNS] * FRAMES
    assert curves.flashing_blocks[3] == 1


def test_frames_smaller_than_a_block_have_no_blocks() -> None:
    tiny = [np.full((5, 40, 3), 0.5, np.float32)] * 3
    curves = _measure(tiny, tiny)
    assert curves.blocks.tolist() == [0, 0, 0]
    assert np.isnan(curves.evenness).all()


def _made_dream() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Make a source of soft spots that drift and a dream with holes, grain and a pulse, uint8 (H, W, 3), with a cut."""
    rng = np.random.default_rng(17)
    spots = cv2.resize(rng.random((12, 30, 3)), (240, 96), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    stripes = cv2.resize(rng.random((24, 40, 3)), (160, 96), interpolation=cv2.INTER_CUBIC) - 0.5
    sources, dreams = [], []
    for index in range(12):
        source = 0.25 + 0.4 * spots[:, 3 * index : 3 * index + 160]
        if index >= 7:
            source = 0.9 - source
        strength = 0.25 * (1 + 0.3 * math.sin(2 * index))
        dream = source + strength * stripes
        if index in (3, 9):
            dream[20:60, 30:90] = source[20:60, 30:90]
        if index in (4, 5):
            dream[64:84, 100:131] += 0.5 * (rng.random((20, 31, 3)) - 0.5)
        sources.append((255 * source.clip(0, 1)).round().astype(np.uint8))
        dreams.append((255 * dream.clip(0, 1)).round().astype(np.uint8))
    return sources, dreams


def test_the_numbers_are_those_of_an_independent_program() -> None:
    """It was run once on this source and dream, stored without loss."""
    sources, dreams = ([frame.astype(np.float32) / 255 for frame in frames] for frames in _made_dream())
    curves = _measure(dreams, sources)
    assert 1000 * np.nansum(curves.flashing_blocks) / curves.judged_blocks.sum() == pytest.approx(30.97345132743363)
    assert (curves.flashing_blocks > 4).sum() == 2
    assert 1000 * curves.noisy_blocks.sum() / curves.blocks.sum() == pytest.approx(4.513888888888888)
    evenness = np.nansum(curves.evenness * curves.compared_blocks) / curves.compared_blocks.sum()
    assert evenness == pytest.approx(31.211307644844055, rel=1e-6)
