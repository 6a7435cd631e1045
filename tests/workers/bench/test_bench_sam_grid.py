"""A grid of points, and which of its masks are kept."""

from collections.abc import Sequence

import numpy as np
import pytest

from umiak_workers.bench import sam_grid
from umiak_workers.bench.sam_grid import distinct, everywhere, grid_prompts, worthwhile
from umiak_workers.core.masks import Prompt
from umiak_workers.predictors.promptable import Embedding, Masks

EMBEDDING = Embedding(np.zeros((1, 1, 1, 1), np.float32), 20, 40)


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((20, 40), bool)
    mask[top:bottom, left:right] = True
    return mask


def masks(*found: tuple[np.ndarray, float]) -> Masks:
    return Masks(np.stack([mask for mask, _ in found]), np.array([quality for _, quality in found], np.float32))


def test_points_stand_in_the_middle_of_equal_cells() -> None:
    assert grid_prompts(2, 20, 40) == tuple(
        Prompt(None, (point,)) for point in ((10.0, 5.0), (30.0, 5.0), (10.0, 15.0), (30.0, 15.0))
    )


def test_small_poor_and_empty_masks_are_dropped() -> None:
    found = masks((box(0, 0, 4, 4), 0.9), (box(0, 0, 20, 20), 0.5), (box(5, 5, 20, 20), 0.7), (box(0, 0, 0, 0), 1.0))
    kept = worthwhile(found, 17, 0.6)
    assert kept.masks.sum(axis=(1, 2)).tolist() == [225]
    assert len(worthwhile(found, 0, 0.0).masks) == 3


def test_of_masks_in_one_place_the_best_is_kept() -> None:
    found = masks(
        (box(0, 0, 10, 10), 0.7), (box(0, 0, 10, 9), 0.9), (box(20, 0, 30, 10), 0.8), (box(0, 0, 40, 20), 0.6)
    )
    kept = distinct(found)
    assert kept.quality.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert np.array_equal(kept.masks[0], found.masks[1])
    assert len(distinct(found, same=1.0).masks) == 4
    assert len(distinct(masks((box(0, 0, 3, 3), 0.5), (box(0, 0, 3, 3), 0.5))).masks) == 1


def test_a_mask_that_only_a_dropped_one_covers_stays() -> None:
    """10 px apart each: the second falls to the first, the third overlaps the second alone."""
    row = masks((box(0, 0, 20, 10), 0.9), (box(3, 0, 23, 10), 0.8), (box(6, 0, 26, 10), 0.7))
    assert distinct(row).quality.tolist() == pytest.approx([0.9, 0.7])


def test_no_masks_are_no_trouble() -> None:
    none = Masks(np.zeros((0, 20, 40), bool), np.zeros(0, np.float32))
    assert distinct(none).masks.shape == (0, 20, 40)


def test_the_whole_grid_is_asked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam_grid, "AT_ONCE", 5)
    asked: list[int] = []

    class Squares:
        """A square of 4 pixels around each point."""

        digest = "sha256:" + "2" * 64

        def encode(self, image: np.ndarray) -> Embedding:
            raise AssertionError

        def decode(self, embedding: Embedding, prompts: Sequence[Prompt], height: int, width: int) -> Masks:
            asked.append(len(prompts))
            places = [(int(x), int(y)) for prompt in prompts for x, y in prompt.points]
            return masks(*((box(x - 2, y - 2, x + 2, y + 2), 0.8) for x, y in places))

    kept = everywhere(Squares(), EMBEDDING, 4, 20, 40, 1, 0.5)
    assert asked == [5, 5, 5, 1]
    assert len(kept.masks) == 16
    assert len(everywhere(Squares(), EMBEDDING, 4, 20, 40, 1, 0.9).masks) == 0
