"""Training a small promptable segmenter, class-agnostically: cut out what is meant, and say how well it went.

The losses are those of Segment Anything, appendix A: focal and dice loss on the masks, and the squared error of the
predicted IoU against the IoU that the mask really has. Focal and dice stand 4:1 here, not 20:1: small models that start
from nothing otherwise answer with empty masks for most of a short training.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from umiak_workers.datasets.sample import Dataset
from umiak_workers.models.batches import Photometric
from umiak_workers.models.checkpoint import load_checkpoint, save_checkpoint, settled
from umiak_workers.models.loop import Progress, one_cycle
from umiak_workers.models.sam import decode
from umiak_workers.models.sam_lessons import Lesson, Lessons
from umiak_workers.models.sam_parts import Sam

FOCAL, DICE, QUALITY = 4.0, 1.0, 1.0


@dataclass(frozen=True)
class SamFit:
    """How to train: `steps` of `photos` with `questions` each, or fewer if `minutes` are over first."""

    steps: int
    minutes: float
    photos: int
    questions: int
    learning_rate: float
    seed: int
    weight_decay: float = 0.02
    warm_up: float = 0.08
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    photometric: Photometric = field(default_factory=Photometric)
    checkpoint: Path | None = None
    """A folder to save to once a minute and to resume from."""


def fit_sam(
    sam: Sam,
    samples: Dataset,
    config: SamFit,
    progress: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[int, float]:
    """Train in place and leave `sam` in evaluation mode; returns (steps, seconds).

    The learning rate follows one cycle over the share of the work that is done, by steps or by minutes, whichever is
    further. Raises ConfigError where a sample has no label, FloatingPointError when the loss is no longer finite.
    """
    torch.manual_seed(config.seed)
    lessons = Lessons(samples, *scales(sam), config.questions, config.photometric, config.seed)
    optimizer = torch.optim.AdamW(sam.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    step, before, start, losses = 0, 0.0, clock(), list[float]()
    if config.checkpoint is not None:
        step, before = load_checkpoint(config.checkpoint, sam, optimizer, settled(asdict(config)))
    saved = start
    sam.train()
    while (done := _done(config, step, before + clock() - start)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * one_cycle(done, config.warm_up)
        losses.append(
            _step(sam, [lessons.at(step * config.photos + one) for one in range(config.photos)], optimizer, config)
        )
        step += 1
        seconds = before + clock() - start
        done = _done(config, step, seconds)
        progress(Progress(done, step, float(np.mean(losses[-50:])), seconds, seconds * (1 - done) / max(done, 1e-6)))
        if config.checkpoint is not None and (clock() - saved >= 60 or done >= 1):
            saved = clock()
            save_checkpoint(config.checkpoint, sam, optimizer, step, seconds, settled(asdict(config)))
    sam.eval()
    return step, before + clock() - start


def scales(sam: Sam) -> tuple[int, int]:
    """(side of the model's square, side of a mask cell) in pixels."""
    side = int(sam.image_encoder.img_size)
    return side, side // (4 * int(sam.prompt_encoder.image_embedding_size[0]))


def _done(config: SamFit, step: int, seconds: float) -> float:
    return min(1.0, max(step / config.steps, seconds / (60 * config.minutes)))


def _step(sam: Sam, lessons: list[Lesson], optimizer: torch.optim.Optimizer, config: SamFit) -> float:
    embeddings = sam.image_encoder(torch.stack([sam.preprocess(lesson.image) for lesson in lessons]))
    parts = [lesson_loss(sam, embeddings[row : row + 1], lesson) for row, lesson in enumerate(lessons)]
    loss = torch.stack(parts).mean()
    if not math.isfinite(float(loss.detach())):
        raise FloatingPointError(f"the loss is {float(loss.detach())}; lower the learning rate")
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(sam.parameters(), config.clip)
    optimizer.step()
    return float(loss.detach())


def lesson_loss(sam: Sam, embedding: Tensor, lesson: Lesson) -> Tensor:
    """Loss of one photo's questions, given its embedding 1xExhxw; padding does not count."""
    logits, quality = decode(sam, embedding, lesson.asked)
    logits = logits[:, : lesson.truth.shape[1], : lesson.truth.shape[2]]
    real = iou(logits.detach(), lesson.truth)
    return (
        FOCAL * focal_loss(logits, lesson.truth)
        + DICE * dice_loss(logits, lesson.truth)
        + QUALITY * (quality - real).square().mean()
    )


def focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy weighed by the squared error of the probability, mean over BxHxW; `truth` 0..1."""
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (plain * (torch.sigmoid(logits) - truth).square()).mean()


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - dice coefficient of each BxHxW mask with its truth, mean over B; one cell of smoothing."""
    found = torch.sigmoid(logits).flatten(1)
    wanted = truth.flatten(1)
    both = 2 * (found * wanted).sum(dim=1)
    return (1 - (both + 1) / (found.sum(dim=1) + wanted.sum(dim=1) + 1)).mean()


def iou(logits: Tensor, truth: Tensor) -> Tensor:
    """B: IoU of the masks (logits > 0) with the cells that are covered by half or more."""
    found, wanted = (logits > 0).flatten(1), (truth >= 0.5).flatten(1)
    either = (found | wanted).sum(dim=1)
    return (found & wanted).sum(dim=1) / either.clamp(min=1)
