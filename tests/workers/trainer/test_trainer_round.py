"""A real round on real photos: it learns dusk from the labeller alone, and a learner that does nothing is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from umiak_workers.adapters.artefacts import load_model, read_artefact
from umiak_workers.contract.config import Promotion
from umiak_workers.core.metrics import mean_iou
from umiak_workers.datasets.source import open_dataset
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.scoring import total_counts
from umiak_workers.trainer import round as rounds


def truth_miou(folder: Path, uri: str) -> float:
    """Against the generator's own labels, which no round ever sees."""
    return mean_iou(total_counts(OnnxSegmenter(load_model(folder), threads=1), open_dataset(uri)))


def test_a_round_learns_from_cloud_answers_alone_and_the_same_round_again_gives_the_same_candidate(
    hub: Any, config: Any, edge_model: Any, tmp_path: Path
) -> None:
    report = rounds.run_round(hub, config, tmp_path / "first", lambda: 7.0)
    assert (report.outcome, report.base, report.watermark) == ("Promoted", edge_model.digest, 28)
    assert report.samples == 28
    assert report.metrics["gain"] > 0.05
    assert report.candidate in hub.models
    unseen = "yard:dusk?seed=777&frames=12&shot=1"
    before = truth_miou(hub.models[edge_model.digest], unseen)
    after = truth_miou(hub.models[report.candidate], unseen)
    print(f"unseen dusk, true labels: {before:.4f} -> {after:.4f}")
    assert after > before + 0.05
    again = rounds.run_round(hub, config, tmp_path / "second", lambda: 7.0)
    assert again == report


def test_the_candidate_is_the_base_with_other_weights_and_says_what_it_learnt(
    hub: Any, config: Any, edge_model: Any, tmp_path: Path
) -> None:
    quick = config.model_copy(
        update={
            "fit": config.fit.model_copy(update={"epochs": 1}),
            "promotion": Promotion(min_gain=-1, max_forgetting=1),
        }
    )
    report = rounds.run_round(hub, quick, tmp_path / "work", lambda: 7.0)
    candidate = load_model(hub.models[report.candidate])
    assert candidate.graph == edge_model.graph
    assert {name: tensor.shape for name, tensor in candidate.weights.items()} == {
        name: tensor.shape for name, tensor in edge_model.weights.items()
    }
    OnnxSegmenter(candidate, threads=1).check_golden()
    card = candidate.card
    assert (card.name, card.classes, card.architecture) == (
        edge_model.card.name,
        edge_model.card.classes,
        edge_model.card.architecture,
    )
    assert card.data[:-1] == edge_model.card.data
    assert "replay of plant/watch: 21 photos" in card.data[-1].name
    assert card.metrics["replay_holdout_miou_base"] == pytest.approx(
        report.metrics["replay_holdout_miou_base"], abs=1e-4
    )
    assert "learn-round-1" in card.made_by
    assert card.base_data == config.base_data


def test_a_learner_that_does_nothing_is_refused_with_the_numbers(
    hub: Any, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "fine_tune", lambda network, *rest: 0)
    report = rounds.run_round(hub, config, tmp_path / "work", lambda: 7.0)
    assert (report.outcome, report.reason, report.candidate) == ("Refused", "TooLittleGain", None)
    assert "+0.0000" in report.message
    assert report.metrics["gain"] == 0
    assert len(hub.models) == 1


def test_a_model_that_forgets_the_day_is_refused(hub: Any, config: Any, tmp_path: Path) -> None:
    strict = config.model_copy(
        update={
            "fit": config.fit.model_copy(update={"epochs": 1}),
            "promotion": Promotion(min_gain=-1, max_forgetting=0),
        }
    )
    report = rounds.run_round(hub, strict, tmp_path / "work", lambda: 7.0)
    assert (report.outcome, report.reason) == ("Refused", "Forgetting")
    assert report.metrics["forgetting"] > 0


@pytest.mark.parametrize(
    ("value", "reason"), [(np.nan, "NonFinite"), (np.inf, "NonFinite"), (1e38, "InvalidPrediction")]
)
def test_i5_weights_that_are_not_finite_are_never_pushed(
    hub: Any, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, reason: str
) -> None:
    def poison(network: Any, *rest: object) -> int:
        network.head.weight.data[:] = value
        return 1

    monkeypatch.setattr(rounds, "fine_tune", poison)
    report = rounds.run_round(hub, config, tmp_path / "work", lambda: 7.0)
    assert (report.outcome, report.reason) == ("Refused", reason)
    assert len(hub.models) == 1


def test_a_learning_rate_that_explodes_is_a_refusal(hub: Any, config: Any, tmp_path: Path) -> None:
    wild = config.model_copy(update={"fit": config.fit.model_copy(update={"learning_rate": 1.0, "epochs": 1})})
    report = rounds.run_round(hub, wild, tmp_path / "work", lambda: 7.0)
    assert report.outcome == "Refused"
    assert len(hub.models) == 1


def test_too_few_samples_are_refused_before_any_training(
    hub: Any, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "fine_tune", lambda *rest: pytest.fail("trained"))
    report = rounds.run_round(hub, config.model_copy(update={"watermark": 3}), tmp_path / "work", lambda: 7.0)
    assert (report.outcome, report.reason) == ("Refused", "NotEnoughSamples")
    assert hub.watermark_asked == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base": "sha256:" + "1" * 64}, "no model"),
        ({"base_data": "/nowhere"}, "images/ is missing"),
        ({"base_data": "yard:day?seed=1&frames=1"}, "at least 2"),
    ],
)
def test_what_no_retry_can_mend_is_a_failed_round(
    hub: Any, config: Any, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    report = rounds.run_round(hub, config.model_copy(update=change), tmp_path / "work", lambda: 7.0)
    assert report.outcome == "Failed"
    assert words in report.message


def test_a_model_without_architecture_cannot_be_trained(hub: Any, config: Any, tmp_path: Path, tiny_model: Any) -> None:
    digest = tiny_model(tmp_path / "tiny")
    assert hub.hold(tmp_path / "tiny") == digest == read_artefact(tmp_path / "tiny").digest
    report = rounds.run_round(hub, config.model_copy(update={"base": digest}), tmp_path / "work", lambda: 7.0)
    assert (report.outcome, report.reason) == ("Failed", "ArtefactError")
    assert "architecture" in report.message
