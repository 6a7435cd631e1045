"""The vote that labels masks (seed 001, 3.2), by literals and for any input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.core.label import Rule, label_masks, mean_probability, softmax
from umiak_workers.core.masks import VOID

PLAIN = Rule(vote="probability", minimum_area=1, margin=0.0, minimum_quality=0.0, certain=1.0)


def rule(**changes: object) -> Rule:
    return Rule(**{**PLAIN.__dict__, **changes})  # type: ignore[arg-type]


def logits_of(probability: list[list[float]]) -> np.ndarray:
    """One row of pixels, from the probabilities of each class: CxHxW with H = 1."""
    return np.log(np.array(probability, np.float32))[:, None, :]


def mask_of(*rows: str) -> np.ndarray:
    """NxHxW bool from rows like `##.`, one row of pixels each."""
    return np.array([[[letter == "#" for letter in row]] for row in rows])


ONE = np.ones(1, np.float32)
# Three pixels: two lean slightly to class 0, one is very sure of class 1.
LEANING = logits_of([[0.55, 0.55, 0.01], [0.45, 0.45, 0.99]])


def test_summed_probabilities_let_one_sure_pixel_win() -> None:
    assert label_masks(LEANING, mask_of("###"), ONE, PLAIN).labels.tolist() == [[1, 1, 1]]


def test_a_majority_counts_heads() -> None:
    assert label_masks(LEANING, mask_of("###"), ONE, rule(vote="majority")).labels.tolist() == [[0, 0, 0]]


def test_logits_weigh_certainty_most() -> None:
    """Three pixels at 0.8 against one at 0.9999: probabilities say class 0, logits say class 1."""
    scores = logits_of([[0.8, 0.8, 0.8, 0.0001], [0.2, 0.2, 0.2, 0.9999]])
    assert label_masks(scores, mask_of("####"), ONE, PLAIN).labels.tolist() == [[0, 0, 0, 0]]
    assert label_masks(scores, mask_of("####"), ONE, rule(vote="logits")).labels.tolist() == [[1, 1, 1, 1]]


def test_without_masks_pixels_keep_their_labels() -> None:
    found = label_masks(LEANING, np.zeros((0, 1, 3), bool), np.zeros(0, np.float32), PLAIN)
    assert found.labels.tolist() == [[0, 0, 1]]
    assert found.probability[0] == pytest.approx([0.55, 0.55, 0.99])
    assert found.masks == 0


def test_small_masks_are_painted_over_large_ones_whatever_their_order() -> None:
    scores = logits_of([[0.9, 0.9, 0.4, 0.9], [0.1, 0.1, 0.6, 0.1]])
    for masks in (mask_of("####", "..#."), mask_of("..#.", "####")):
        assert label_masks(scores, masks, np.ones(2, np.float32), PLAIN).labels.tolist() == [[0, 0, 1, 0]]


def test_a_small_mask_of_the_crowd_is_lost_without_its_own_mask() -> None:
    scores = logits_of([[0.9, 0.9, 0.4, 0.9], [0.1, 0.1, 0.6, 0.1]])
    assert label_masks(scores, mask_of("####"), ONE, PLAIN).labels.tolist() == [[0, 0, 0, 0]]


def test_outside_its_mask_nothing_changes() -> None:
    assert label_masks(LEANING, mask_of(".##"), ONE, PLAIN).labels.tolist() == [[0, 1, 1]]


@pytest.mark.parametrize(
    ("changes", "quality"),
    [({"minimum_area": 4}, 1.0), ({"minimum_quality": 0.8}, 0.7), ({"margin": 0.5}, 1.0)],
    ids=["too small", "too bad", "not decided enough"],
)
def test_a_mask_that_may_not_speak_keeps_the_pixel_labels(changes: dict[str, float], quality: float) -> None:
    found = label_masks(LEANING, mask_of("###"), np.array([quality], np.float32), rule(**changes))
    assert found.labels.tolist() == [[0, 0, 1]]
    assert found.masks == 0


def test_the_margin_is_a_share_of_the_vote() -> None:
    """The winner has 0.63 of the vote, the other 0.37: it leads by 0.26."""
    assert label_masks(LEANING, mask_of("###"), ONE, rule(margin=0.25)).labels.tolist() == [[1, 1, 1]]
    assert label_masks(LEANING, mask_of("###"), ONE, rule(margin=0.27)).labels.tolist() == [[0, 0, 1]]


def test_a_tie_decides_nothing() -> None:
    scores = logits_of([[0.8, 0.2], [0.2, 0.8]])
    assert label_masks(scores, mask_of("##"), ONE, rule(vote="majority")).labels.tolist() == [[0, 1]]


def test_a_certain_pixel_keeps_its_label_and_still_votes() -> None:
    scores = logits_of([[0.95, 0.02, 0.02], [0.05, 0.98, 0.98]])
    assert label_masks(scores, mask_of("###"), ONE, rule(certain=0.9)).labels.tolist() == [[0, 1, 1]]
    assert label_masks(scores, mask_of("###"), ONE, rule(certain=0.96)).labels.tolist() == [[1, 1, 1]]


def test_pixels_without_finite_scores_do_not_vote_and_follow_their_mask() -> None:
    scores = logits_of([[0.2, 0.9, 0.9], [0.8, 0.1, 0.1]])
    scores[:, 0, 1] = np.nan
    scores[0, 0, 2] = np.inf
    assert label_masks(scores, np.zeros((0, 1, 3), bool), np.zeros(0, np.float32), PLAIN).labels.tolist() == [
        [1, VOID, VOID]
    ]
    assert label_masks(scores, mask_of("##."), ONE, PLAIN).labels.tolist() == [[1, 1, VOID]]


def test_a_mask_nobody_votes_in_changes_nothing() -> None:
    scores = logits_of([[0.2, 0.9], [0.8, 0.1]])
    scores[:, 0, 1] = np.nan
    found = label_masks(scores, mask_of(".#"), ONE, PLAIN)
    assert found.labels.tolist() == [[1, VOID]]
    assert found.masks == 0


def test_probability_of_a_painted_pixel_is_the_share_that_won() -> None:
    found = label_masks(LEANING, mask_of("###"), ONE, PLAIN)
    assert found.probability[0] == pytest.approx([0.63] * 3)
    assert mean_probability(found.labels, found.probability) == pytest.approx(0.63)
    assert mean_probability(np.full((1, 3), VOID, np.uint8), found.probability) == 0.0


@given(
    seed=st.integers(0, 2**32 - 1),
    masks=st.integers(0, 5),
    vote=st.sampled_from(["probability", "logits", "majority"]),
    margin=st.floats(0, 1),
)
def test_every_label_was_voted_for(seed: int, masks: int, vote: str, margin: float) -> None:
    """Labels come from the pixels: a class that no pixel favours under any count never appears in a majority."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3, (4, 5, 6)).astype(np.float32)
    shapes = rng.random((masks, 5, 6)) < 0.4
    quality = rng.random(masks).astype(np.float32)
    found = label_masks(scores, shapes, quality, rule(vote=vote, margin=margin, minimum_quality=0.3))
    own = scores.argmax(axis=0)
    assert found.labels.max() < 4
    usable = shapes[quality >= 0.3].any(axis=0) if masks else np.zeros((5, 6), bool)
    assert np.array_equal(found.labels[~usable], own[~usable])
    assert np.isfinite(found.probability).all()
    assert found.probability.min() > 0
    assert found.probability.max() <= 1 + 1e-5
    if vote == "majority":
        assert set(found.labels.reshape(-1).tolist()) <= set(own.reshape(-1).tolist())


@given(st.integers(0, 2**32 - 1))
def test_masks_that_are_the_classes_change_nothing(seed: int) -> None:
    """Fusing a prediction with its own areas is the identity: the vote inside each is unanimous."""
    scores = np.random.default_rng(seed).normal(0, 2, (3, 6, 7)).astype(np.float32)
    own = scores.argmax(axis=0)
    masks = own == np.arange(3)[:, None, None]
    found = label_masks(scores, masks, np.ones(3, np.float32), rule(vote="majority"))
    assert np.array_equal(found.labels, own)


def test_softmax_of_large_logits_is_finite() -> None:
    assert softmax(np.array([[1e30], [-1e30]], np.float32)).tolist() == [[1.0], [0.0]]
