"""One round from base to report: fetch, fine-tune, measure, judge, upload.

Whatever can be said about the round for good is a report; only a hub that is away (Unavailable) means "try again".
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import structlog
import torch

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.contract.config import TrainerConfig
from umiak_workers.contract.errors import (
    ArtefactError,
    ConfigError,
    InvalidInput,
    InvalidPrediction,
    MessageError,
    Refused,
)
from umiak_workers.contract.messages import RoundReport
from umiak_workers.core import promotion
from umiak_workers.core.model import Model, Tensors
from umiak_workers.core.promotion import Measured, Promoted
from umiak_workers.models.build import rebuild, state_tensors
from umiak_workers.trainer.candidate import candidate_card, check_trainable, measure, write_candidate
from umiak_workers.trainer.fine_tune import Diverged, EpochDone, Mixed, fine_tune
from umiak_workers.trainer.material import Material, Replay, gather

MOST_MODEL_BYTES = 1 << 30
LEAST_SAMPLES = 4
"""Below this many readable samples to learn from, or none to judge by, nothing is trained."""
log = structlog.get_logger()


class Hub(Replay, Protocol):
    """What a round needs of the hub."""

    def fetch_model(self, digest: str, into: Path, max_bytes: int) -> Path:
        """Download a model."""
        ...

    def push_model(self, folder: Path) -> str:
        """Upload a model; returns its digest."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a round ended."""

    outcome: Literal["Promoted", "Refused", "Failed"]
    reason: str
    message: str
    samples: int = 0
    candidate: str | None = None
    measured: Measured | None = None


def run_round(hub: Hub, config: TrainerConfig, work: Path, now: Callable[[], float]) -> RoundReport:
    """Do the whole round in the folder `work`; raises Unavailable (try the round again)."""
    try:
        outcome = _round(hub, config, work)
    except (ArtefactError, ConfigError, InvalidInput, MessageError, Refused) as error:
        outcome = Outcome("Failed", type(error).__name__, str(error))
    log.info("round", outcome=outcome.outcome, reason=outcome.reason, message=outcome.message)
    return RoundReport(
        round=config.round,
        outcome=outcome.outcome,
        reason=outcome.reason,
        message=outcome.message,
        base=config.base,
        candidate=outcome.candidate,
        watermark=config.watermark,
        samples=outcome.samples,
        metrics=finite(outcome.measured.metrics()) if outcome.measured else {},
        finished_at=now(),
    )


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Figures that can be written down; a holdout without labels has none."""
    return {name: round(value, 6) for name, value in metrics.items() if math.isfinite(value)}


def _round(hub: Hub, config: TrainerConfig, work: Path) -> Outcome:
    base = load_model(hub.fetch_model(config.base, work / "base", MOST_MODEL_BYTES), config.base)
    check_trainable(base)
    material = gather(hub, config)
    learnt, held = len(material.replay), len(material.replay_held_back)
    if learnt < LEAST_SAMPLES or not held:
        message = f"{learnt} readable samples to learn from and {held} to judge by, {LEAST_SAMPLES} and 1 are needed"
        return Outcome("Refused", "NotEnoughSamples", message, learnt + held)
    try:
        weights = learn(base, material, config)
        return _judged(hub, config, work, base, weights, material)
    except (Diverged, InvalidPrediction) as error:
        return Outcome("Refused", type(error).__name__, str(error), learnt + held)


def learn(base: Model, material: Material, config: TrainerConfig) -> Tensors:
    """The fine-tuned weights of a base model; the same for the same seed and number of threads. Raises Diverged."""
    torch.set_num_threads(config.fit.threads)
    torch.manual_seed(config.seed)
    network = rebuild(base.card, base.weights)
    mixed = Mixed(material.replay, material.base, base.card.input, config.fit, config.seed)
    fine_tune(network, mixed, config.fit, len(base.card.classes), time.monotonic, _say)
    return {name: np.atleast_1d(tensor) for name, tensor in state_tensors(network).items()}  # as artefacts keep them


def _judged(hub: Hub, config: TrainerConfig, work: Path, base: Model, weights: Tensors, material: Material) -> Outcome:
    samples = len(material.replay) + len(material.replay_held_back)
    if objection := promotion.objection_to_tensors(base.weights, weights):
        return Outcome("Refused", objection.reason, objection.message, samples)
    measured = measure(base, weights, material, config.fit.threads)
    verdict = promotion.judge_candidate(base.weights, weights, measured, config.promotion)
    if not isinstance(verdict, Promoted):
        return Outcome("Refused", verdict.reason, verdict.message, samples, None, measured)
    card = candidate_card(base, config, measured, len(material.replay))
    folder = work / "candidate"
    digest = write_candidate(folder, base, weights, card)
    hub.push_model(folder)
    return Outcome("Promoted", "GainProved", verdict.message, samples, digest, measured)


def _say(done: EpochDone) -> None:
    log.info(
        "training",
        epoch=done.epoch,
        epochs=done.epochs,
        loss=round(done.loss, 4),
        seconds=round(done.seconds, 1),
        seconds_left=round(done.seconds_left, 1),
    )
