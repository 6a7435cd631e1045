"""Detectors: targets by hand, losses that know right from wrong, learning, and ONNX that answers as torch does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from umiak_workers.contract.artefact import Architecture, Card, InputSpec, OutputSpec
from umiak_workers.contract.errors import ArtefactError, ConfigError, InvalidPrediction
from umiak_workers.core.detection_metrics import average_precisions
from umiak_workers.core.model import Model
from umiak_workers.datasets.boxes import Boxed
from umiak_workers.models.batches import Photometric
from umiak_workers.models.box_lessons import BoxBatches, inside, targets
from umiak_workers.models.box_train import fit_boxes
from umiak_workers.models.boxnet import detection_loss, generalised_overlap
from umiak_workers.models.build import build, state_tensors
from umiak_workers.models.export import export_graph, normalised
from umiak_workers.models.loop import ends_the_process
from umiak_workers.models.views import View, ViewFit
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.box_scoring import photo_matches
from umiak_workers.predictors.detection import OnnxBoxes, OnnxDetector, boxes_of
from umiak_workers.predictors.onnx import OnnxGraph
from umiak_workers.predictors.onnx_graph import spare_tensors, strip

TINY: dict[str, Any] = {"classes": 2, "width": 4, "decoder": 8, "stages": 2}
STILL = View(1, 1, 0, 0, 0)
FIT = ViewFit(64, 64, 12, 8, 1e-2, 3, photometric=Photometric(0, 0, 0, 0), view=View(0.9, 1.1, 0, 0.1))


class Blobs:
    """Bright upright bars (class 0) and dark lying ones (class 1) on grey."""

    classes = ("upright", "lying")

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> Boxed:
        if not 0 <= index < self._count:
            raise IndexError(index)
        rng = np.random.default_rng((9, index))
        image, boxes = np.full((64, 64, 3), 120, np.uint8), []
        for kind, (wide, tall, level) in enumerate(((8, 20, 230), (24, 8, 20))):
            left, top = int(rng.integers(0, 64 - wide)), int(rng.integers(0, 30 - tall)) + 32 * kind
            image[top : top + tall, left : left + wide] = level
            boxes.append((left, top, wide, tall))
        return Boxed(image, np.asarray(boxes, np.float32), np.asarray([0, 1], np.int64), f"blob-{index}")


def card(**changes: Any) -> Card:
    return Card(
        name="bars",
        task="object-detection",
        classes=Blobs.classes,
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=64, width=64),
        outputs=OutputSpec(logits="logits"),
        architecture=Architecture(name="boxnet", config=TINY),
        licence="Apache-2.0",
        **changes,
    )


def delivered(network: torch.nn.Module) -> tuple[Card, bytes, dict[str, Any]]:
    weights = state_tensors(network)
    exported = export_graph(network, 64, 64)
    return card(training_only=spare_tensors(exported, weights)), strip(exported, weights), weights


def test_targets_peak_at_middles_and_weigh_each_thing_alike() -> None:
    boxes = np.asarray([[0, 0, 64, 32], [40, 40, 8, 8]], np.float32)
    heat, places, weights = targets(boxes, np.asarray([0, 1]), 2, 16, 16)
    assert np.argwhere(heat == 1).tolist() == [[0, 4, 8], [1, 11, 11]]
    assert weights.sum() == pytest.approx(2)
    assert places[:, 4, 8].tolist() == [0, 0, 16, 8]
    assert places[:, 11, 11].tolist() == [10, 10, 12, 12]
    assert (heat[0] > 0).sum() > (heat[1] > 0).sum()


def test_the_loss_is_least_where_the_answer_is_the_label() -> None:
    boxes = np.asarray([[8, 8, 32, 16]], np.float32)
    parts = [torch.from_numpy(part)[None] for part in targets(boxes, np.asarray([1]), 2, 16, 16)]
    right = torch.full((1, 6, 16, 16), -12.0)
    right[0, 1, 4, 6] = 12.0
    right[0, 2], right[0, 3] = 6 - torch.arange(16)[None] - 0.5, 4 - torch.arange(16)[:, None] - 0.5
    right[0, 4], right[0, 5] = float(np.log(8)), float(np.log(4))
    low = float(detection_loss(right, *parts))
    assert low < 0.01
    missed, wide = right.clone(), right.clone()
    missed[0, 1, 4, 6] = -3.0
    wide[0, 4] += 0.7
    assert float(detection_loss(missed, *parts)) > low + 1
    assert float(detection_loss(wide, *parts)) > low + 0.5


def test_generalised_overlap_by_hand() -> None:
    a, b = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[4.0, 0, 6, 2]])
    assert float(generalised_overlap(a, a)) == pytest.approx(1)
    assert float(generalised_overlap(a, b)) == pytest.approx(-4 / 12)


def test_views_move_boxes_with_their_photo() -> None:
    still = BoxBatches(Blobs(4), 64, 64, 4, Photometric(0, 0, 0, 0), STILL, seed=1)
    moved = BoxBatches(Blobs(4), 64, 64, 4, Photometric(0, 0, 0, 0), View(0.8, 1.2, 0, 0.1), seed=1)
    assert len(still) == 1
    for batches in (still, moved):
        images, heat, places, _ = batches.batch_at(0)
        for photo in range(4):
            for row, column in np.argwhere(heat[photo, 0].numpy() == 1):
                assert images[photo, 4 * row + 2, 4 * column + 2, 0] > 180
                left, top, right, bottom = (4 * places[photo, :, row, column]).tolist()
                middle = images[photo, int(top) + 2 : int(bottom) - 2, int(left) + 2 : int(right) - 2, 0]
                assert middle.float().mean() > 180
    assert torch.equal(moved.batch_at(0)[0], moved.batch_at(0)[0])


def test_a_box_mostly_outside_is_not_learnt() -> None:
    boxes, kinds = np.asarray([[0, 0, 20, 10], [40, 0, 20, 10]], np.float32), np.asarray([0, 1])
    left = np.asarray([[1.0, 0, -18], [0, 1, 0]])
    kept, of = inside(boxes, kinds, left, 64, 64)
    assert of.tolist() == [1]
    assert kept.tolist() == [[22, 0, 20, 10]]


def test_it_learns_resumes_alike_and_answers_the_same_on_onnx(tmp_path: Any) -> None:
    torch.manual_seed(0)
    network = build("boxnet", TINY)
    fresh = OnnxBoxes(*delivered(network.eval()), threads=1)
    before = average_precisions(photo_matches(fresh, Blobs(16)))[-1]
    report = fit_boxes(network, Blobs(48), FIT, lambda now: None)
    assert report.losses[-1] < report.losses[0] / 3
    facts, graph, weights = delivered(network)
    model = OnnxBoxes(facts, graph, weights, threads=1)
    assert average_precisions(photo_matches(model, Blobs(16)))[-1] > 0.7 > before + 0.3
    photo = Blobs(1)[0].image
    with torch.inference_mode():
        ours = network(normalised(torch.from_numpy(photo)[None]))[0].numpy()
    assert np.abs(model.predict(photo).logits - ours).max() < 1e-3

    whole = Model(facts, "sha256:" + "1" * 64, graph, weights, record_golden(facts, graph, weights, photo))
    OnnxDetector(whole, threads=1).check_golden()
    spoilt = {**weights, "head.bias": weights["head.bias"] + np.float32(0.1)}
    with pytest.raises(InvalidPrediction, match="golden input"):
        OnnxDetector(replace(whole, weights=spoilt), threads=1).check_golden()
    with pytest.raises(ArtefactError, match="object-detection model, this needs one of semantic-segmentation"):
        OnnxGraph(facts, graph, weights, threads=1)


def test_boxes_are_local_maxima_in_photo_pixels() -> None:
    logits = np.full((6, 8, 8), -9.0, np.float32)
    logits[2:] = 0
    logits[0, 2, 3], logits[0, 2, 4], logits[1, 6, 6] = 2.0, 1.0, 0.0
    logits[4:, 2, 3] = np.log([4, 2])
    found = boxes_of(logits, height=80, width=160)
    assert found.classes.tolist() == [0, 1]  # the weaker neighbour is no maximum
    assert found.boxes[0].tolist() == pytest.approx([(3.5 - 2) * 20, (2.5 - 1) * 10, 80, 20])
    assert found.confidences.tolist() == pytest.approx([1 / (1 + np.exp(-2)), 0.5])
    everywhere = np.where(np.indices((8, 8)).sum(axis=0) % 2, 3.0, 5.0).astype(np.float32)
    many = boxes_of(np.concatenate([[everywhere] * 2, logits[2:]]), 80, 160)
    assert 0 < len(many) <= 100
    assert len(boxes_of(np.full((6, 8, 8), -9.0, np.float32), 80, 160)) == 0


def test_nothing_to_learn_from_is_refused() -> None:
    class Bare(Blobs):
        def __getitem__(self, index: int, /) -> Boxed:
            whole = super().__getitem__(index)
            return Boxed(whole.image, whole.boxes[:0], whole.classes[:0], whole.name)

    for samples, message in ((Blobs(0), "no photos"), (Bare(3), "no photo has a box")):
        with pytest.raises(ConfigError, match=message):
            fit_boxes(build("boxnet", TINY), samples, FIT, lambda now: None)
    with pytest.raises(ArtefactError, match=r"boxnet: .*stages"):
        build("boxnet", {**TINY, "stages": 5})


def test_a_width_that_torch_cannot_train_channels_last_is_known() -> None:
    for width in (4, 8, 12):
        assert ends_the_process(build("boxnet", {"classes": 1, "width": width, "decoder": 8}))
    assert not ends_the_process(build("boxnet", {"classes": 1, "width": 16, "decoder": 8}))
    network = build("boxnet", {"classes": 1, "width": 8, "decoder": 8})

    class Uprights(Blobs):
        classes = ("upright",)  # type: ignore[assignment]

        def __getitem__(self, index: int, /) -> Boxed:
            whole = super().__getitem__(index)
            return Boxed(whole.image, whole.boxes[:1], whole.classes[:1], whole.name)

    large = replace(FIT, height=192, width=256, epochs=1)  # where it ended the process
    assert fit_boxes(network, Uprights(8), large, lambda now: None).steps == 1
