"""Tiles over a photo, and photos that are sharp only where asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.messages import MOST_TILES, Tiles
from umiak_workers.core.regions import Grid, coarse, foveated, hard_tiles, tiles_of

sides = st.integers(1, 40)
grids = st.builds(Grid, height=st.integers(1, 90), width=st.integers(1, 90), side=sides)


@given(grids, st.integers(0, 2**32 - 1))
def test_boxes_cover_the_chosen_tiles_and_nothing_else(grid: Grid, seed: int) -> None:
    chosen = np.random.default_rng(seed).random((grid.rows, grid.columns)) < 0.4
    covered = np.zeros((grid.height, grid.width), np.int64)
    for box in grid.boxes(chosen):
        covered[box.top : box.top + box.height, box.left : box.left + box.width] += 1
    assert np.array_equal(covered, grid.pixels(chosen).astype(np.int64))


@given(grids)
def test_areas_add_up_to_the_photo(grid: Grid) -> None:
    areas = grid.areas()
    assert areas.shape == (grid.rows, grid.columns)
    assert areas.sum() == grid.height * grid.width
    box = grid.box(grid.rows - 1, grid.columns - 1)
    assert areas[-1, -1] == box.width * box.height


def test_means_weigh_cells_by_their_overlap_with_a_tile() -> None:
    grid = Grid(height=4, width=6, side=4)
    scores = np.array([[0, 3, 6]], np.float32)  # cells of 2 x 4 pixels
    assert grid.means(scores).tolist() == [[1.5, 6.0]]


@given(grids, st.integers(0, 2**32 - 1))
def test_means_at_the_photos_size_are_sums_over_areas(grid: Grid, seed: int) -> None:
    scores = np.random.default_rng(seed).random((grid.height, grid.width), dtype=np.float32)
    assert np.allclose(grid.means(scores), grid.sums(scores) / grid.areas(), atol=1e-5)


def test_chosen_tiles_stay_as_they_are_and_the_rest_loses_its_detail() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    grid = Grid(60, 90, 30)
    chosen = np.array([[True, False, False], [False, False, True]])
    seen = foveated(image, grid.pixels(chosen), 8)
    assert np.array_equal(seen[:30, :30], image[:30, :30])
    assert np.array_equal(seen[30:, 60:], image[30:, 60:])
    assert seen[:30, 30:].std() < image[:30, 30:].std() / 3
    assert abs(float(seen[:30, 30:].mean()) - float(image[:30, 30:].mean())) < 3


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (8, 8), (17, 40)])
def test_a_flat_photo_stays_flat_at_any_size(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 77, np.uint8)
    assert np.array_equal(coarse(image, 8), image)


def test_a_slope_stays_a_slope() -> None:
    image = np.repeat(np.arange(0, 160, 2, dtype=np.uint8)[None, :, None], 16, axis=0).repeat(3, axis=2)
    seen = coarse(image, 8).astype(int)
    assert np.abs(seen - image)[:, 4:-4].max() <= 1


def test_hardness_travels_as_small_integers_row_by_row() -> None:
    hardness = np.array([[0, 0.5, 1], [0.2, 0.2, 0.2]], np.float32)
    tiles = tiles_of(Grid(height=60, width=90, side=30), hardness)
    assert tiles == Tiles(side=30, rows=2, columns=3, hardness=(0, 128, 255, 51, 51, 51))


def test_more_tiles_than_a_message_holds_are_not_said() -> None:
    hardness = np.zeros((2, 2), np.float32)
    assert tiles_of(Grid(height=1, width=MOST_TILES, side=1), hardness) is not None
    assert tiles_of(Grid(height=1, width=MOST_TILES + 1, side=1), hardness) is None


@pytest.mark.parametrize(
    ("threshold", "chosen"),
    [(0.0, [1, 1, 1, 1]), (0.05, [1, 1, 0, 1]), (0.5, [0, 1, 0, 1]), (0.9, [0, 0, 0, 1]), (1.0, [0, 0, 0, 1])],
)
def test_tiles_above_the_threshold_are_hard_and_always_the_hardest_one(threshold: float, chosen: list[int]) -> None:
    tiles = Tiles(side=8, rows=2, columns=2, hardness=(20, 200, 0, 210))
    assert hard_tiles(tiles, threshold).ravel().tolist() == [bool(one) for one in chosen]


def test_where_nothing_is_hard_one_tile_is_chosen_all_the_same() -> None:
    assert hard_tiles(Tiles(side=8, rows=1, columns=3, hardness=(0, 0, 0)), 0.5).sum() == 1
    assert hard_tiles(Tiles(side=8, rows=1, columns=3, hardness=(0, 0, 9)), 0.0).all()
