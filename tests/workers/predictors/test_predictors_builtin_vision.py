"""The built-in detectors and key point models: small, recognisable, and better than chance on frames they never saw."""

import pytest

from umiak_workers.adapters.artefacts import builtin_folder, load_model, read_artefact
from umiak_workers.core.detection_metrics import average_precisions
from umiak_workers.core.keypoints import correct_keypoints
from umiak_workers.datasets.box_source import open_boxes
from umiak_workers.datasets.pose_source import open_poses
from umiak_workers.predictors.box_scoring import photo_matches
from umiak_workers.predictors.detection import OnnxDetector
from umiak_workers.predictors.joint_scoring import photo_hits
from umiak_workers.predictors.keypoints import OnnxKeypoints

MOST = 1_500_000
"""bytes of a folder"""


@pytest.mark.parametrize("name", ["yard-detector-edge", "yard-detector-cloud"])
def test_a_detector_finds_people_of_unseen_yards(name: str) -> None:
    folder = builtin_folder(name)
    assert sum(fact.size for fact in read_artefact(folder).manifest.files.values()) < MOST
    model = OnnxDetector(load_model(folder), threads=1)
    model.check_golden()
    people = average_precisions(photo_matches(model, open_boxes("yard:day?seed=901&frames=8&shot=1")))[0]
    assert people > 0.3


@pytest.mark.parametrize("name", ["figure-keypoints-edge", "figure-keypoints-cloud"])
def test_a_key_point_model_finds_joints_of_unseen_figures(name: str) -> None:
    folder = builtin_folder(name)
    assert sum(fact.size for fact in read_artefact(folder).manifest.files.values()) < MOST
    model = OnnxKeypoints(load_model(folder), threads=1)
    model.check_golden()
    hits = photo_hits(model, open_poses("figures:day?seed=901&frames=12"))
    assert correct_keypoints(hits, seed=1).values[-1] > 0.2  # guessing the middle of the photo: below 0.1
