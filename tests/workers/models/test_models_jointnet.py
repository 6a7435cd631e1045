"""Key point networks: CloudNet and EdgeNet, targets by hand, learning, and ONNX that answers as torch does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from umiak_workers.cli.packing import Facts, begun_with, described, packed
from umiak_workers.contract.artefact import Architecture
from umiak_workers.contract.errors import ArtefactError, ConfigError, InvalidPrediction
from umiak_workers.core.keypoints import JOINTS, MIRRORED, correct_keypoints
from umiak_workers.core.model import Model
from umiak_workers.datasets.poses import Posed
from umiak_workers.models.batches import Photometric
from umiak_workers.models.build import LAYER_SETS, build
from umiak_workers.models.export import normalised
from umiak_workers.models.joint_lessons import JointBatches, fit_joints, targets
from umiak_workers.models.jointnet import keypoint_loss
from umiak_workers.models.views import View, ViewFit
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.joint_scoring import photo_hits
from umiak_workers.predictors.keypoints import OnnxJoints, OnnxKeypoints, pose_of

COUNT = len(JOINTS)
CLOUD: dict[str, Any] = {"joints": COUNT, "width": 4, "channels": 12, "stages": 4}
EDGE: dict[str, Any] = {**CLOUD, "stages": 2}
FIT = ViewFit(64, 64, 25, 8, 1e-2, 3, photometric=Photometric(0, 0, 0, 0), view=View(0.95, 1.05, 5, 0.05, 0))


class Dots:
    """A cross of fourteen dots, each of its own colour, moved about; joint 0 is never labelled."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._places = np.stack(np.meshgrid([12, 26, 40, 54], [12, 26, 40, 54]), axis=-1).reshape(-1, 2)[:COUNT]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> Posed:
        if not 0 <= index < self._count:
            raise IndexError(index)
        rng = np.random.default_rng((4, index))
        joints = (self._places + rng.integers(-6, 7, 2)).astype(np.float32)
        image = np.full((64, 64, 3), 20, np.uint8)
        for number, (x, y) in enumerate(joints.astype(int)):
            image[y - 2 : y + 3, x - 2 : x + 3] = (40 + 15 * number, 250 - 15 * number, 60 * (number % 4))
        return Posed(image, joints, np.arange(COUNT) > 0, f"dots-{index}")


def delivered(network: torch.nn.Module, config: dict[str, Any]) -> Model:
    architecture = Architecture(name="jointnet", config=config)
    facts = Facts("dots", "keypoint-detection", JOINTS, architecture, (64, 64), ("dots",), "Apache-2.0", "by hand")
    made = packed(network.eval(), described(facts))
    golden = record_golden(made.card, made.graph, made.weights, Dots(1)[0].image)
    return Model(made.card, "sha256:" + "1" * 64, made.graph, made.weights, golden)


def test_edgenet_is_cloudnet_without_the_last_two_stages_and_starts_with_its_layers() -> None:
    torch.manual_seed(1)
    cloud, edge = build("jointnet", CLOUD), build("jointnet", EDGE)
    assert any(name.startswith("encoder.stages.3") for name in cloud.state_dict())
    assert not any(name.startswith("encoder.stages.2") for name in edge.state_dict())
    assert begun_with(edge, delivered(cloud, CLOUD)) > 20
    for name in ("encoder.stem.0.weight", "encoder.stages.1.0.first.0.weight", "head.7.0.weight"):
        assert torch.equal(edge.state_dict()[name], cloud.state_dict()[name])
    assert edge(torch.zeros(2, 3, 64, 64)).shape == cloud(torch.zeros(2, 3, 64, 64)).shape == (2, COUNT, 16, 16)
    sets = LAYER_SETS["jointnet"]
    names = [name for name in edge.state_dict() if name.startswith("head.")]
    assert all(name.startswith(sets["head-first-4"] + sets["head-last-4"]) for name in names)
    with pytest.raises(ConfigError, match="no tensor of the same name"):
        begun_with(torch.nn.Linear(2, 2), delivered(cloud, CLOUD))


def test_targets_sum_to_one_and_leave_out_what_is_not_seen() -> None:
    joints = np.asarray([[2, 2], [34, 18], [70, 5], [10, 10]], np.float32)
    maps, seen = targets(joints, np.asarray([True, True, True, False]), 16, 16)
    assert seen.tolist() == [1, 1, 0, 0]
    assert maps.sum(axis=(1, 2)) == pytest.approx(np.ones(4))
    assert np.unravel_index(maps[1].argmax(), (16, 16)) == (4, 8)


def test_the_loss_counts_labelled_joints_alone() -> None:
    maps, _ = targets(np.asarray([[10, 10], [30, 30]], np.float32), np.ones(2, np.bool_), 16, 16)
    right = torch.log(torch.from_numpy(maps) + 1e-9)[None]
    wrong = right.flip(2)
    goal, first = torch.from_numpy(maps)[None], torch.tensor([[1.0, 0.0]])
    mixed = torch.stack((right[:, 0], wrong[:, 1]), dim=1)
    assert float(keypoint_loss(mixed, goal, first)) == pytest.approx(float(keypoint_loss(right, goal, first)))
    both = torch.ones(1, 2)
    assert float(keypoint_loss(mixed, goal, both)) > float(keypoint_loss(right, goal, both)) + 0.2


def test_a_mirrored_view_swaps_left_and_right() -> None:
    still, mirror = (
        JointBatches(Dots(1), replace(FIT, batch=1, view=View(1, 1, 0, 0, share))).batch_at(0) for share in (0, 1)
    )
    assert torch.equal(mirror[0], still[0].flip(2))
    assert mirror[2][0].tolist() == [float(number != MIRRORED[0]) for number in range(COUNT)]
    for number in range(1, COUNT):
        if MIRRORED[number] != 0:
            column = int(still[1][0, number].sum(dim=0).argmax())
            assert abs(15 - int(mirror[1][0, MIRRORED[number]].sum(dim=0).argmax()) - column) <= 1


def test_it_learns_and_answers_the_same_on_onnx() -> None:
    torch.manual_seed(0)
    network = build("jointnet", EDGE)
    before = correct_keypoints(photo_hits(_model(network), Dots(12)), seed=1).values[-1]
    report = fit_joints(network, Dots(48), FIT, lambda now: None)
    assert report.losses[-1] < report.losses[0] / 2
    whole = delivered(network, EDGE)
    model = OnnxKeypoints(whole, threads=1)
    score = correct_keypoints(photo_hits(model, Dots(12)), seed=1)
    assert score.values[-1] > 0.8 > before + 0.3
    assert np.isnan(score.values[0])
    photo = Dots(1)[0].image
    with torch.inference_mode():
        ours = network(normalised(torch.from_numpy(photo)[None]))[0].numpy()
    assert np.abs(model.predict(photo).logits - ours).max() < 1e-3
    model.check_golden()
    spoilt = {**whole.weights, "answer.bias": whole.weights["answer.bias"] + np.float32(0.1)}
    with pytest.raises(InvalidPrediction, match="golden input"):
        OnnxKeypoints(replace(whole, weights=spoilt), threads=1).check_golden()
    with pytest.raises(ArtefactError, match="this needs one of keypoint-detection"):
        OnnxJoints(whole.card.model_copy(update={"task": "semantic-segmentation"}), whole.graph, whole.weights, 1)


def _model(network: torch.nn.Module) -> OnnxKeypoints:
    return OnnxKeypoints(delivered(network, EDGE), threads=1)


def test_joints_are_means_around_the_peak_in_photo_pixels() -> None:
    logits = np.full((3, 8, 8), -30.0, np.float32)
    logits[0, 2, 3] = 0.0
    logits[1, 2, 3] = logits[1, 2, 4] = 0.0
    logits[2, 0, 0], logits[2, 7, 7] = 0.0, 0.0
    found = pose_of(logits, height=80, width=160)
    assert found.joints[0].tolist() == pytest.approx([3.5 * 20, 2.5 * 10])
    assert found.joints[1].tolist() == pytest.approx([4.0 * 20, 2.5 * 10])
    assert found.confidences.tolist() == pytest.approx([1, 1, 0.5], abs=1e-6)


def test_nothing_to_learn_from_is_refused() -> None:
    class Unseen(Dots):
        def __getitem__(self, index: int, /) -> Posed:
            whole = super().__getitem__(index)
            return Posed(whole.image, whole.joints, np.zeros(COUNT, np.bool_), whole.name)

    for samples, message in ((Dots(0), "no photos"), (Unseen(3), "no photo has a joint")):
        with pytest.raises(ConfigError, match=message):
            fit_joints(build("jointnet", EDGE), samples, FIT, lambda now: None)
    with pytest.raises(ArtefactError, match=r"jointnet: .*stages"):
        build("jointnet", {**EDGE, "stages": 1})
