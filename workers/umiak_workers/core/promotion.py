"""The gate between a trained candidate and a release: a chain of one-idea checks, the first objection refuses.

A candidate must be whole (finite tensors of the base's shapes), better where the edge now struggles (the newest,
cloud-labelled samples) and hardly worse where it was good (the base data).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.config import Promotion

Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Measured:
    """mIoU (0..1) of base and candidate on the time-separated replay holdout and on the base holdout."""

    replay_base: float
    replay_candidate: float
    base_base: float
    base_candidate: float

    @property
    def gain(self) -> float:
        """On the replay holdout."""
        return self.replay_candidate - self.replay_base

    @property
    def forgetting(self) -> float:
        """Loss on the base holdout; negative where the candidate got better there too."""
        return self.base_base - self.base_candidate

    def metrics(self) -> dict[str, float]:
        """As a RoundReport and a model card carry them."""
        return {
            "replay_holdout_miou_base": self.replay_base,
            "replay_holdout_miou_candidate": self.replay_candidate,
            "base_holdout_miou_base": self.base_base,
            "base_holdout_miou_candidate": self.base_candidate,
            "gain": self.gain,
            "forgetting": self.forgetting,
        }


@dataclass(frozen=True)
class Promoted:
    """The candidate may become a release."""

    message: str


@dataclass(frozen=True)
class Refused:
    """The candidate stays where it is; `reason` is CamelCase, `message` has the numbers."""

    reason: str
    message: str


def judge_candidate(base: Tensors, candidate: Tensors, measured: Measured, rule: Promotion) -> Promoted | Refused:
    """Promoted, or the first objection: to its tensors, to the figures, to the gain, to what it forgot (I5)."""
    objection = objection_to_tensors(base, candidate) or _to_figures(measured) or _to_gain(measured, rule)
    objection = objection or _to_forgetting(measured, rule)
    return objection or Promoted(
        f"{_gain_text(measured)}, at least {rule.min_gain:+.4f} asked; {_forgetting_text(measured)}"
    )


def objection_to_tensors(base: Tensors, candidate: Tensors) -> Refused | None:
    """The first tensor that is missing, new, of another shape or type, or not finite; None: all are sound."""
    if different := sorted(set(base) ^ set(candidate)):
        return Refused("TensorsChanged", f"base and candidate do not both have {', '.join(different[:5])}")
    for name, tensor in candidate.items():
        wanted = base[name]
        if (tensor.shape, tensor.dtype) != (wanted.shape, wanted.dtype):
            found = f"{tensor.dtype}{list(tensor.shape)}, the base has {wanted.dtype}{list(wanted.shape)}"
            return Refused("TensorsChanged", f"{name} is {found}")
        if np.issubdtype(tensor.dtype, np.inexact) and not bool(np.isfinite(tensor).all()):
            return Refused("NonFinite", f"{name} holds values that are not finite")
    return None


def _to_figures(measured: Measured) -> Refused | None:
    unknown = [name for name, value in measured.metrics().items() if not np.isfinite(value)]
    return Refused("NotMeasurable", f"not a number: {', '.join(unknown)}") if unknown else None


def _to_gain(measured: Measured, rule: Promotion) -> Refused | None:
    if measured.gain >= rule.min_gain:
        return None
    return Refused("TooLittleGain", f"{_gain_text(measured)}, at least {rule.min_gain:+.4f} asked")


def _to_forgetting(measured: Measured, rule: Promotion) -> Refused | None:
    if measured.forgetting <= rule.max_forgetting:
        return None
    return Refused("Forgetting", f"{_forgetting_text(measured)}, at most {rule.max_forgetting:.4f} lost allowed")


def _gain_text(measured: Measured) -> str:
    return f"replay holdout mIoU {measured.replay_base:.4f} -> {measured.replay_candidate:.4f} ({measured.gain:+.4f})"


def _forgetting_text(measured: Measured) -> str:
    return f"base holdout mIoU {measured.base_base:.4f} -> {measured.base_candidate:.4f} ({-measured.forgetting:+.4f})"
