"""The training loop: it learns, repeats, resumes, and refuses what cannot be learnt from."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from umiak_workers.contract.artefact import Architecture, Card, InputSpec, OutputSpec
from umiak_workers.contract.errors import ArtefactError, ConfigError
from umiak_workers.core.metrics import mean_iou
from umiak_workers.datasets.sample import Listed, Sample
from umiak_workers.models.batches import Batches, Photometric
from umiak_workers.models.build import build, rebuild, state_tensors
from umiak_workers.models.loop import Progress, one_cycle
from umiak_workers.models.train import (
    FitConfig,
    class_weights,
    evaluate,
    fit,
    mean_loss,
    segmentation_loss,
    sparse,
)

TINY: dict[str, Any] = {"classes": 2, "width": 4, "decoder": 8, "blocks": 1}
CONFIG = FitConfig(
    height=32, width=32, classes=2, epochs=4, batch=4, learning_rate=1e-2, seed=5, photometric=Photometric(0, 0, 0, 0)
)


def halves(count: int) -> Listed:
    """Photos whose bright side is class 1; the border column is void."""
    samples = []
    for index in range(count):
        edge = 8 + 2 * (index % 8)
        image = np.full((32, 32, 3), 40, np.uint8)
        label = np.zeros((32, 32), np.uint8)
        image[:, edge:], label[:, edge:], label[:, edge] = 210, 1, 255
        samples.append(Sample(image, label, f"half-{index}"))
    return Listed(samples)


def trained(config: FitConfig, watch: list[Progress]) -> torch.nn.Module:
    torch.manual_seed(0)
    network = build("rfnet", TINY)
    fit(network, halves(16), config, watch.append)
    return network


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_it_learns_what_a_fresh_network_does_not_know() -> None:
    torch.manual_seed(0)
    fresh = build("rfnet", TINY).eval()
    watch: list[Progress] = []
    network = trained(replace(CONFIG, epochs=8), watch)
    before = mean_iou(sum(evaluate(fresh, halves(8), CONFIG), np.zeros((2, 3), np.int64)))
    after = mean_iou(sum(evaluate(network, halves(8), CONFIG), np.zeros((2, 3), np.int64)))
    assert after > 0.8 > before
    assert mean_loss(network, halves(8), CONFIG) < mean_loss(fresh, halves(8), CONFIG)
    assert [now.step for now in watch] == list(range(1, 33))
    assert watch[-1].done == 1
    assert not network.training


def test_a_seed_repeats_to_the_last_digit_and_another_does_not() -> None:
    assert same(trained(CONFIG, []), trained(CONFIG, []))
    assert not same(trained(CONFIG, []), trained(replace(CONFIG, seed=6), []))


def test_an_interrupted_run_goes_on_to_the_very_same_weights(tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    clock = iter(range(0, 10**6, 61))  # every step is a minute: a checkpoint after each
    saving = replace(CONFIG, checkpoint=tmp_path)

    def stop(now: Progress) -> None:
        if now.step == 7:
            raise Interrupted

    torch.manual_seed(0)
    with pytest.raises(Interrupted):
        fit(build("rfnet", TINY), halves(16), saving, stop, clock=lambda: float(next(clock)))
    resumed: list[Progress] = []
    network = trained(saving, resumed)
    assert [now.step for now in resumed] == list(range(7, 17))
    assert same(network, trained(CONFIG, []))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    trained(replace(CONFIG, checkpoint=tmp_path, epochs=1), [])
    with pytest.raises(ConfigError, match="other settings"):
        trained(replace(CONFIG, checkpoint=tmp_path, learning_rate=1e-3), [])
    torch.manual_seed(0)
    other = build("rfnet", {**TINY, "standardise": True})  # of the same tensors
    with pytest.raises(ConfigError, match="other settings"):
        fit(other, halves(16), replace(CONFIG, checkpoint=tmp_path), lambda now: None)


def test_minutes_end_a_run_by_the_clock() -> None:
    clock = iter(float(second) for second in range(0, 10**6, 2))
    watch: list[Progress] = []
    report = fit(
        build("rfnet", TINY), halves(16), replace(CONFIG, minutes=0.5), watch.append, clock=lambda: next(clock)
    )
    assert 2 < report.steps < 15
    assert watch[-1].seconds >= 30 - 4


def test_samples_without_labels_or_none_at_all_are_refused() -> None:
    unlabelled = Listed([Sample(np.zeros((32, 32, 3), np.uint8), None, "stranger")])
    with pytest.raises(ConfigError, match="stranger"):
        fit(build("rfnet", TINY), unlabelled, CONFIG, lambda now: None)
    with pytest.raises(ConfigError, match="no samples"):
        fit(build("rfnet", TINY), Listed([]), CONFIG, lambda now: None)


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    network = build("rfnet", TINY)
    with torch.no_grad():
        next(iter(network.parameters())).fill_(math.nan)
    with pytest.raises(FloatingPointError, match="loss is nan"):
        fit(network, halves(4), CONFIG, lambda now: None)


def test_void_pixels_do_not_count_in_the_loss() -> None:
    logits = torch.tensor([[[[4.0, 4.0]], [[0.0, 0.0]]]])
    right = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    wrong = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    ones = torch.ones(2)
    assert float(segmentation_loss(logits, right, ones)) == pytest.approx(math.log(1 + math.exp(-4)), abs=1e-5)
    assert float(segmentation_loss(logits, wrong, ones)) > 1
    assert float(segmentation_loss(logits, torch.full((1, 1, 2), 255, dtype=torch.uint8), ones)) == 0


def test_class_weights_and_schedule_by_hand() -> None:
    assert class_weights(np.asarray([100, 25, 0]), 0.5).tolist() == pytest.approx([(62.5 / 100) ** 0.5, 2.5**0.5, 0])
    assert class_weights(np.asarray([100, 25]), 0).tolist() == [1, 1]
    assert one_cycle(0, 0.2) == pytest.approx(0.04)
    assert one_cycle(0.2, 0.2) == pytest.approx(1)
    assert one_cycle(0.6, 0.2) == pytest.approx(0.5)
    assert one_cycle(1, 0.2) == 1e-3


def test_sparse_labels_start_elsewhere_at_each_step() -> None:
    labels = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4)
    assert sparse(labels, 2, 0).tolist() == [[[0, 2], [8, 10]]]
    assert sparse(labels, 2, 1).tolist() == [[[5, 7], [13, 15]]]


def test_batches_visit_every_sample_once_per_pass_and_flip_labels_with_images() -> None:
    batches = Batches(halves(8), 32, 32, 4, None, Photometric(0, 0, 0, 0), seed=1)
    assert len(batches) == 2
    seen = []
    for number in range(2):
        images, labels = batches.batch_at(number)
        bright = images[..., 0] > 128
        known = labels != 255
        assert torch.equal(bright[known], (labels == 1)[known])
        seen += bright.sum(dim=(1, 2)).tolist()
    assert sorted(seen) == sorted(int((sample.image[..., 0] > 128).sum()) for sample in halves(8).samples)
    again, _ = batches.batch_at(1)
    assert torch.equal(again, images)


def test_a_card_rebuilds_the_network_its_weights_fit() -> None:
    network = build("rfnet", TINY).eval()
    card = Card(
        name="t",
        classes=("a", "b"),
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=32, width=32),
        outputs=OutputSpec(logits="logits"),
        architecture=Architecture(name="rfnet", config=TINY),
        licence="x",
    )
    assert same(rebuild(card, state_tensors(network)), network)
    short = {name: value for name, value in state_tensors(network).items() if name != "head.bias"}
    with pytest.raises(ArtefactError, match=r"head\.bias"):
        rebuild(card, short)
    with pytest.raises(ArtefactError, match="names no architecture"):
        rebuild(card.model_copy(update={"architecture": None}), short)


def test_unknown_architectures_and_configs_are_named() -> None:
    with pytest.raises(ArtefactError, match="'vgg'"):
        build("vgg", {})
    with pytest.raises(ArtefactError, match="width"):
        build("rfnet", {"classes": 2, "width": "4", "decoder": 8})
