"""The training loop alone: mixtures, time limits and weights of classes."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.artefact import InputSpec
from umiak_workers.contract.config import FitConfig
from umiak_workers.datasets.sample import Sample
from umiak_workers.trainer.fine_tune import Diverged, Mixed, affordable, fine_tune

SPEC = InputSpec(name="image", layout="NHWC", dtype="uint8", height=16, width=24)


def plain(level: int, kind: int, name: str) -> Sample:
    return Sample(np.full((16, 24, 3), level, np.uint8), np.full((16, 24), kind, np.uint8), name)


OLD = tuple(plain(200, 0, f"old-{n}") for n in range(6))
NEW = tuple(plain(40, 1, f"new-{n}") for n in range(4))


class Pixelwise(torch.nn.Module):
    """One linear map per pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.map = torch.nn.Conv2d(3, 2, 1)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        answered: torch.Tensor = self.map(photos)
        return answered


def test_every_batch_has_the_share_of_replayed_samples() -> None:
    mixed = Mixed(NEW, OLD, SPEC, FitConfig(batch=4, replay_share=0.25), 3)
    assert mixed.steps_per_epoch == 4
    for number in range(8):
        images, labels = mixed.batch_at(number)
        assert images.shape == (4, 13, 20, 3)
        assert [int(label[0, 0]) for label in labels] == [1, 0, 0, 0]


def test_classes_weigh_by_how_often_the_mixture_shows_them() -> None:
    even = Mixed(NEW, OLD, SPEC, FitConfig(batch=4, replay_share=0.5), 3).class_weights(2)
    assert even[0] == pytest.approx(float(even[1]))
    rare = Mixed(NEW, OLD, SPEC, FitConfig(batch=4, replay_share=0.25), 3).class_weights(3)
    assert rare[1] > rare[0] > 0
    assert rare[2] == 0


def test_training_separates_what_can_be_separated_and_repeats_to_the_last_bit() -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        network = Pixelwise()
        fit = FitConfig(batch=4, epochs=10, learning_rate=0.1)
        seen: list[Any] = []
        assert fine_tune(network, Mixed(NEW, OLD, SPEC, fit, 3), fit, 2, lambda: 0.0, seen.append) == 10
        assert [done.epoch for done in seen] == list(range(1, 11))
        assert seen[-1].loss < 0.2 < seen[0].loss
        assert not network.training
        found.append(network.map.weight.detach().clone())
    assert torch.equal(found[0], found[1])


def test_pixels_without_an_opinion_teach_nothing() -> None:
    silent = tuple(plain(40, 255, f"new-{n}") for n in range(4))
    torch.manual_seed(0)
    network = Pixelwise()
    fit = FitConfig(batch=2, epochs=3, learning_rate=0.1, replay_share=0.5)
    seen: list[Any] = []
    fine_tune(network, Mixed(silent, silent, SPEC, fit, 3), fit, 2, lambda: 0.0, seen.append)
    assert [done.loss for done in seen] == [0, 0, 0]


def test_a_slow_machine_gets_a_shorter_cycle_and_still_ends_it() -> None:
    ticks = iter(range(0, 1000, 10))
    fit = FitConfig(batch=4, epochs=50, seconds=35, learning_rate=0.05)
    seen: list[Any] = []
    network = Pixelwise()
    assert fine_tune(network, Mixed(NEW, OLD, SPEC, fit, 3), fit, 2, lambda: next(ticks), seen.append) == 3
    assert seen[-1].seconds_left == 0
    assert seen[0].epochs == 3


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    network = Pixelwise()
    network.map.weight.data[:] = float("nan")
    fit = FitConfig(batch=4)
    with pytest.raises(Diverged, match="learning rate"):
        fine_tune(network, Mixed(NEW, OLD, SPEC, fit, 3), fit, 2, lambda: 0.0, lambda done: None)


@given(st.integers(1, 100), st.integers(1, 100), st.floats(0.01, 1e4), st.floats(0.01, 1e4))
def test_no_more_epochs_than_planned_and_none_that_would_pass_the_limit(
    planned: int, epoch: int, seconds: float, most: float
) -> None:
    found = affordable(max(planned, epoch), epoch, seconds, most)
    assert epoch <= found <= max(planned, epoch)
    assert found == epoch or found * (seconds / epoch) <= most * (1 + 1e-6)
