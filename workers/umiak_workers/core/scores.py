"""How sure an answer is of itself: three figures per frame, of masks from the model's native low-resolution logits.

Each figure is computed per pixel from the softmax over classes and averaged over pixels (seed 001, section 3.3.1:
the mean score margin of a frame). Up-sampled logits would only repeat the same pixels, so the native grid is used.
"""

import math

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.errors import InvalidPrediction
from umiak_workers.contract.messages import Scores
from umiak_workers.core.box_miners import box_threshold

Logits = NDArray[np.float32]
FOUND = 0.3
"""Confidence from which a box counts as found when a photo is judged.

Below it a detector answers dozens of candidates for each thing. Judged by all of them photos were chosen worse than by
lot, and something was found always; from 0.2 to 0.4 the choice was better than by lot, and "nothing" meant something.
"""


def softmax(logits: Logits) -> NDArray[np.float32]:
    """Probabilities over the first axis; raises InvalidPrediction for non-finite logits or fewer than two classes."""
    if logits.ndim < 1 or logits.shape[0] < 2 or logits.size == 0:
        raise InvalidPrediction(f"logits of shape {logits.shape} hold no two classes to choose between")
    if not np.isfinite(logits).all():
        raise InvalidPrediction("logits are not finite")
    powers = np.exp(logits.astype(np.float32) - logits.max(axis=0, keepdims=True))
    chances: NDArray[np.float32] = powers / powers.sum(axis=0, keepdims=True)
    return chances


def margin(chances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Per pixel: best minus second-best probability, 0..1."""
    top = np.partition(chances, chances.shape[0] - 2, axis=0)
    difference: NDArray[np.float32] = top[-1] - top[-2]
    return difference


def entropy(chances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Per pixel: entropy in nats, 0..ln(classes)."""
    total: NDArray[np.float32] = -(chances * np.log(np.maximum(chances, 1e-12))).sum(axis=0)
    return np.maximum(total, 0)


def gate_scores(logits: Logits, appeal: NDArray[np.float32] | None = None) -> Scores:
    """Mean margin, mean best probability and mean entropy of Cxhxw float32 logits; raises InvalidPrediction.

    `appeal` hxw in -1..1, of a model with such a head: its mean is the gain to expect for the whole photo.
    """
    chances = softmax(logits)
    return Scores(
        margin=_unit(margin(chances)),
        max_probability=_unit(chances.max(axis=0)),
        entropy=float(entropy(chances).mean()),
        classes=chances.shape[0],
        appeal=None if appeal is None else float(appeal.mean(dtype=np.float64)),
    )


def box_scores(confidences: NDArray[np.float32]) -> Scores:
    """Of N boxes, surest first: the confidences (4 decimals) of those that are FOUND, and the scores of their mean.

    Where nothing was found a detector is as unsure as can be. That is what miners of every task see; those of boxes go
    by the confidences, and their rules say what nothing means. Raises InvalidPrediction.
    """
    known = tuple(round(float(one), 4) for one in confidences if one >= FOUND)
    sure = 1 - box_threshold(known, nothing_found=1.0)
    return certainty_scores(sure, np.asarray(known)).model_copy(update={"confidences": known})


def certainty_scores(sure: float, chances: NDArray[np.floating]) -> Scores:
    """Of an answer that is no choice among classes but several findings, each right or wrong with some chance.

    `sure` in 0..1 is both its margin and its largest probability; its entropy is the mean of those of `chances`, the
    most there is where there are none.
    """
    sides = np.stack((chances, 1 - chances)).astype(np.float32)
    unsure = float(entropy(sides).mean()) if chances.size else math.log(2)
    sure = min(1.0, max(0.0, sure))
    return Scores(margin=sure, max_probability=sure, entropy=unsure, classes=2)


def hardness(logits: Logits) -> NDArray[np.float32]:
    """hxw in 0..1: where a photo is hard, 1 - margin. Raises InvalidPrediction."""
    return np.clip(1 - margin(softmax(logits)), 0, 1)


def _unit(values: NDArray[np.float32]) -> float:
    return min(1.0, max(0.0, float(values.mean(dtype=np.float64))))
