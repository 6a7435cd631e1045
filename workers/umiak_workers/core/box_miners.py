"""How hard a photo looks to a detector: from the confidences of the boxes it found.

No confidences is a case of its own: a detector that misses what it was made for has no doubtful box to show for it. How
hard `nothing found` is must therefore be said by whoever knows the scene (a camera that always sees something: 1; one
that watches an empty yard: 0), and is never the outcome of a mean over no boxes.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from umiak_workers.contract.errors import InvalidPrediction


def box_threshold(confidences: Sequence[float], nothing_found: float) -> float:
    """1 minus the mean confidence of the boxes, in [0, 1]; `nothing_found` where there are none.

    Raises InvalidPrediction for a confidence that is none.
    """
    known = _checked(confidences)
    return float(1 - known.mean()) if known.size else nothing_found


def image_box_thresholds(confidences: Sequence[float], certain: float, nothing_found: float) -> float:
    """IBT: the share of boxes less confident than `certain`, in [0, 1]; `nothing_found` where there are no boxes.

    The first of its two thresholds is `certain`, on a box; the second is the rule's own, on this share.
    Raises InvalidPrediction for a confidence that is none.
    """
    known = _checked(confidences)
    return float((known < certain).mean()) if known.size else nothing_found


BOX_MINERS: Mapping[str, Callable[[Sequence[float], float, float], float]] = {
    "BoxThreshold": lambda confidences, certain, nothing_found: box_threshold(confidences, nothing_found),
    "IBT": image_box_thresholds,
}
"""Miner -> (confidences, certain, nothing found) -> hardness in [0, 1]."""


def _checked(confidences: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    known = np.asarray(confidences, dtype=np.float64).reshape(-1)
    if not ((known >= 0) & (known <= 1)).all():  # NaN is neither
        raise InvalidPrediction("a box's confidence is not in [0, 1]")
    return known
