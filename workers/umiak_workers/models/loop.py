"""The training loop that every task shares: batches in, AdamW steps out, with progress, a budget and checkpoints.

The learning rate follows one cycle over the share of the work that is done, so the same loop runs for a number of
epochs (repeatable to the last digit) or for a number of minutes (whatever the machine manages).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from umiak_workers.models.batches import Ahead, Batched
from umiak_workers.models.checkpoint import load_checkpoint, save_checkpoint


class LoopConfig(Protocol):
    """What the loop wants to know of any task's config."""

    @property
    def epochs(self) -> int: ...

    @property
    def minutes(self) -> float | None:
        """Stop after this long instead of after `epochs`."""
        ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def weight_decay(self) -> float: ...

    @property
    def warm_up(self) -> float:
        """Share of the work after which the learning rate is at its peak."""
        ...

    @property
    def checkpoint(self) -> Path | None:
        """A folder to save to once a minute and to resume from."""
        ...


@dataclass(frozen=True)
class Progress:
    """Where training stands: `done` 0..1, mean loss of the last steps, seconds so far and still to go."""

    done: float
    step: int
    loss: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class FitReport:
    """What training did: optimizer steps, passes over the samples, seconds, and the mean loss of each pass."""

    steps: int
    epochs: float
    seconds: float
    losses: tuple[float, ...]


def learn(
    network: nn.Module,
    batches: Batched,
    loss_of: Callable[[tuple[Tensor, ...], int], Tensor],
    config: LoopConfig,
    identity: dict[str, object],
    progress: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> FitReport:
    """Train `network` in place and leave it in evaluation mode.

    `loss_of` answers the loss of a batch at a step; `identity` is what a checkpoint must agree on to be resumed.
    Raises FloatingPointError when the loss is no longer finite.
    """
    hook = None
    if ends_the_process(network):
        hook = network.register_forward_pre_hook(lambda _, given: tuple(part.contiguous() for part in given))
    else:
        network.to(memory_format=torch.channels_last)  # faster on CPUs
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    run = _Run(config, len(batches), clock)
    if config.checkpoint is not None:
        run.step, run.before = load_checkpoint(config.checkpoint, network, optimizer, identity)
    network.train()
    with Ahead(batches) as ahead:
        while (done := run.done()) < 1:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * one_cycle(done, config.warm_up)
            loss = loss_of(ahead.batch_at(run.step), run.step)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            run.took_step(float(loss.detach()))
            progress(run.progress())
            if config.checkpoint is not None and run.checkpoint_due():
                save_checkpoint(config.checkpoint, network, optimizer, run.step, run.seconds(), identity)
    if hook is not None:
        hook.remove()
    network.eval()
    return run.report()


def ends_the_process(network: nn.Module) -> bool:
    """Whether the backward pass of channels-last features (as photos come) would write outside its memory.

    Seen with torch 2.15 on x86-64 for 1x1 convolutions with stride 2 of fewer than 16 channels, at 48x64 pixels and
    more: mostly it ends the process, at times it goes on with a spoilt heap. From 16 channels on nothing was seen.
    """
    return any(
        isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1) and part.stride != (1, 1) and part.in_channels < 16
        for part in network.modules()
    )


def one_cycle(done: float, warm_up: float) -> float:
    """Share of the peak learning rate: a cosine up from 4 % during `warm_up`, then a cosine down to nearly nothing."""
    if done < warm_up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / warm_up)) / 2
    rest = (done - warm_up) / (1 - warm_up)
    return max(1e-3, (1 + math.cos(math.pi * min(rest, 1.0))) / 2)


class _Run:
    """Bookkeeping of one training run."""

    def __init__(self, config: LoopConfig, steps_per_epoch: int, clock: Callable[[], float]) -> None:
        self.step = 0
        self.before = 0.0
        self._config, self._per_epoch, self._clock = config, steps_per_epoch, clock
        self._start = self._saved = clock()
        self._losses: list[float] = []

    def seconds(self) -> float:
        return self.before + self._clock() - self._start

    def done(self) -> float:
        if self._config.minutes is not None:
            return min(1.0, self.seconds() / (60 * self._config.minutes))
        return min(1.0, self.step / (self._config.epochs * self._per_epoch))

    def took_step(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} after {self.step} steps; lower the learning rate")
        self.step += 1
        self._losses.append(loss)

    def checkpoint_due(self) -> bool:
        if self._clock() - self._saved < 60 and self.done() < 1:
            return False
        self._saved = self._clock()
        return True

    def progress(self) -> Progress:
        done, seconds = self.done(), self.seconds()
        recent = self._losses[-20:]
        return Progress(done, self.step, sum(recent) / len(recent), seconds, seconds * (1 - done) / max(done, 1e-6))

    def report(self) -> FitReport:
        starts = range(0, len(self._losses), self._per_epoch)
        losses = tuple(float(np.mean(self._losses[start : start + self._per_epoch])) for start in starts)
        return FitReport(self.step, self.step / self._per_epoch, self.seconds(), losses)
