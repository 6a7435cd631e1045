"""More than one look at a photo: each view lands where it was taken from, and the mean decides."""

import numpy as np
import pytest
from numpy.typing import NDArray

from umiak_workers.contract.config import Views
from umiak_workers.core.label import softmax
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.views import PASSES, viewed

HEIGHT, WIDTH = 96, 144
Looks = list[tuple[int, ...]]


def picture() -> NDArray[np.uint8]:
    """Left half dark, right half bright, with a bright corner at the bottom left: no two views are alike."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, WIDTH // 2 :] = 200
    image[-24:, :36] = 200
    return image


def bright(looks: Looks, sure: float = 3.0) -> object:
    """Scores of dark and bright, at a quarter of whatever is shown, always of 24x36."""

    def scores(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        looks.append(image.shape)
        level = grown_logits(image[None, :, :, 0].astype(np.float32), 24, 36) / 100 - 1
        return np.concatenate((-sure * level, sure * level)).astype(np.float32)

    return scores


@pytest.mark.parametrize("views", ["one", "mirrored", "closer"])
def test_every_view_says_the_same_of_the_same_place(views: Views) -> None:
    looks: Looks = []
    logits = viewed(bright(looks), picture(), views)  # type: ignore[arg-type]
    assert len(looks) == PASSES[views]
    assert logits.dtype == np.float32
    assert logits.shape == ((2, 32, 48) if views == "closer" else (2, 24, 36))
    found = grown_logits(logits, HEIGHT, WIDTH).argmax(axis=0)
    assert (found == (picture()[:, :, 0] > 100)).mean() > 0.98
    assert np.allclose(softmax(logits).sum(axis=0), 1, atol=1e-4)


def test_closer_views_are_three_quarters_of_the_photo_and_reach_its_ends() -> None:
    looks: Looks = []
    viewed(bright(looks), picture(), "closer")  # type: ignore[arg-type]
    assert looks == [(96, 144, 3)] * 2 + [(72, 108, 3)] * 4


def test_one_look_is_left_as_it_is_and_a_second_one_counts_half() -> None:
    image = picture()
    plain = bright([])(image)  # type: ignore[operator]
    assert viewed(bright([]), image, "one").tolist() == plain.tolist()  # type: ignore[arg-type]
    calls: Looks = []

    def fickle(view: NDArray[np.uint8]) -> NDArray[np.float32]:
        calls.append(view.shape)
        return np.stack([np.full((4, 6), value, np.float32) for value in ((5, -5) if len(calls) == 1 else (-5, 5))])

    assert softmax(viewed(fickle, image, "mirrored"))[0] == pytest.approx(0.5, abs=1e-3)


def test_photos_of_odd_sizes_are_covered_to_the_last_pixel() -> None:
    def scores(view: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.zeros((3, 23, 31), np.float32)

    found = viewed(scores, np.zeros((101, 77, 3), np.uint8), "closer")
    assert np.isfinite(found).all()
    assert found.shape == (3, 31, 41)
