"""How a promptable segmenter is scored: what it is asked about each thing, and what its masks are worth."""

from collections.abc import Sequence

import numpy as np
import pytest

from umiak_workers.core.masks import Prompt
from umiak_workers.datasets.sample import Listed, Sample
from umiak_workers.predictors.promptable import Embedding, Masks
from umiak_workers.predictors.sam_scoring import FORMS, score_masks

LABEL = np.zeros((30, 40), np.uint8)
LABEL[4:24, 5:15] = 1  # tall
LABEL[10:16, 18:38] = 2  # wide
SAMPLES = Listed([Sample(np.zeros((30, 40, 3), np.uint8), LABEL, "a")])


class Half:
    """Cuts out three things, of one of them only the left half, and knows so; remembers what it was asked."""

    digest = "sha256:" + "1" * 64

    def __init__(self) -> None:
        self.asked: list[tuple[Prompt, ...]] = []

    def encode(self, image: np.ndarray) -> Embedding:
        return Embedding(np.zeros((1, 1, 1, 1), np.float32), image.shape[0], image.shape[1])

    def decode(self, embedding: Embedding, prompts: Sequence[Prompt], height: int, width: int) -> Masks:
        self.asked.append(tuple(prompts))
        masks = np.stack([kind == LABEL for kind in (0, 1, 2)])
        masks[1, :, 10:] = False
        return Masks(masks, np.array([1, 0.5, 1], np.float32))


def test_every_form_asks_about_every_thing() -> None:
    half = Half()
    scores = score_masks(half, SAMPLES)
    assert tuple(scores) == FORMS
    assert [[(prompt.box is not None, len(prompt.points)) for prompt in asked] for asked in half.asked] == [
        [(False, 1)] * 3,
        [(False, 3)] * 3,
        [(True, 0)] * 3,
        [(True, 1)] * 3,
    ]
    for thing, prompt in enumerate(half.asked[1]):
        assert [LABEL[int(y), int(x)] for x, y in prompt.points] == [thing] * 3
        assert len(set(prompt.points)) == 3


def test_three_points_are_spread_along_the_longer_side() -> None:
    half = Half()
    score_masks(half, SAMPLES)
    tall, wide = half.asked[1][1], half.asked[1][2]
    assert [y for _, y in tall.points[1:]] == [9.5, 19.5]
    assert [x for x, _ in wide.points[1:]] == [23.5, 33.5]


def test_scores_are_iou_iou_by_area_and_the_error_of_quality() -> None:
    score = score_masks(Half(), SAMPLES)["points"]
    areas = [1200 - 200 - 120, 200, 120]
    assert score.things == 3
    assert score.iou == pytest.approx((1 + 0.5 + 1) / 3)
    assert score.iou_by_area == pytest.approx((areas[0] + 0.5 * areas[1] + areas[2]) / sum(areas))
    assert score.quality_error == 0
