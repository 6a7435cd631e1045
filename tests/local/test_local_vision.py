"""docs/examples/08-inspection and 09-keypoints by their own commands: boxes and joints from edge and cloud."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_site import DOCS, PATIENCE, answers, commands, shell
from up_site import processes, up

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.core.box_miners import box_threshold
from umiak_workers.core.detection import decode_boxes
from umiak_workers.core.detection_metrics import average_precisions
from umiak_workers.core.keypoints import JOINTS, Pose, correct_keypoints, hits_of
from umiak_workers.datasets.box_source import open_boxes
from umiak_workers.datasets.folder import read_photo
from umiak_workers.datasets.pose_source import open_poses
from umiak_workers.predictors.box_scoring import judged
from umiak_workers.predictors.detection import OnnxDetector
from umiak_workers.predictors.keypoints import OnnxKeypoints

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
Said = list[dict[str, Any]]


def run(folder: Path, example: str, task: str) -> tuple[Said, Path]:
    """What the example's world says of every photo once its cloud takes part, and the folder of pictures drawn."""
    (folder / "docs").symlink_to(DOCS)
    by = commands(example)
    assert list(by) == ["data", "up", "infer"]
    assert shell(by["data"], folder).returncode == 0
    arguments = by["up"].split()[2:]
    assert arguments == [f"docs/examples/{example}", "--state", "state"]
    asked = by["infer"].partition(" --out")[0]
    with up(folder, folder / arguments[0], "--state", folder / "state"):
        end = time.monotonic() + PATIENCE
        while len(cloud_answers(said := answers(asked, folder))) < 10:  # the cloud worker comes up beside the edge
            assert time.monotonic() < end, (folder / "out").read_text()
            time.sleep(1)
        shown = shell(by["infer"], folder)
        assert shown.returncode == 0, shown.stderr
    assert processes(folder / "state") == []
    assert {one["answer"]["task"] for one in said} == {task}
    clouds = cloud_answers(said)
    assert clouds
    assert all(set(one["answer"]["cloud_models"]) == {"edge", "labeller"} for one in clouds)
    return said, folder / by["infer"].split("--out ")[1].strip()


def cloud_answers(said: Said) -> Said:
    return [one for one in said if one["answer"]["answered_by"] == "cloud"]


def test_hard_yards_get_the_clouds_boxes_and_more_are_right(tmp_path: Path) -> None:
    said, pictures = run(tmp_path, "08-inspection", "object-detection")
    assert len(said) == len(list(pictures.glob("*-boxes.png"))) == 20
    for one in said:
        hardness = box_threshold(one["answer"]["scores"]["confidences"], nothing_found=1)
        assert (hardness > 0.58) == (one["answer"]["rule"] == "BoxThreshold") == (one["answer"]["reason"] != "Easy")
    photos = open_boxes("yard:dusk?seed=7&frames=20&shot=1")
    truths = {photos[index].name: photos[index] for index in range(len(photos))}
    edge = OnnxDetector(load_model(builtin_folder("yard-detector-edge")), 1)
    alone, together = [], []
    for one in cloud_answers(said):
        truth = truths[Path(one["photo"]).stem]
        found = decode_boxes(json.dumps({"boxes": one["boxes"]}).encode(), photos.classes)
        together.append(judged(found, truth, 3))
        alone.append(judged(edge.predict(read_photo(tmp_path / one["photo"])).found, truth, 3))
    assert np.nanmean(average_precisions(together)) > np.nanmean(average_precisions(alone))


def test_hard_figures_get_the_clouds_joints_and_more_are_right(tmp_path: Path) -> None:
    said, pictures = run(tmp_path, "09-keypoints", "keypoint-detection")
    assert len(said) == len(list(pictures.glob("*-joints.png"))) == 20
    for one in said:
        assert (one["answer"]["scores"]["max_probability"] < 0.5) == (one["answer"]["rule"] == "MaxProbability")
    photos = open_poses(str(tmp_path / "people"))
    truths = {photos[index].name: photos[index] for index in range(len(photos))}
    edge = OnnxKeypoints(load_model(builtin_folder("figure-keypoints-edge")), 1)
    alone, together = [], []
    for one in cloud_answers(said):
        truth = truths[Path(one["photo"]).stem]
        assert tuple(joint["name"] for joint in one["joints"]) == JOINTS
        places = np.float32([(joint["x"], joint["y"]) for joint in one["joints"]])
        pose = Pose(places, np.float32([joint["confidence"] for joint in one["joints"]]))
        together.append(hits_of(pose, truth.joints, truth.visible))
        alone.append(hits_of(edge.predict(truth.image).pose, truth.joints, truth.visible))
    assert correct_keypoints(together, 1).values[-1] > correct_keypoints(alone, 1).values[-1] + 0.1
