"""docs/examples/06-classification by its own commands: classes from edge and cloud, learnt from by nobody yet."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from example_site import DOCS, PATIENCE, answers, commands, shell
from up_site import processes, up

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
EXAMPLE = "06-classification"


def right(said: list[dict[str, Any]]) -> float:
    return sum(Path(one["photo"]).parent.name == one["label"] for one in said) / len(said)


def test_the_example_answers_classes_and_the_cloud_helps(tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(DOCS)
    by = commands(EXAMPLE)
    assert list(by) == ["data", "up", "infer"]
    assert shell(by["data"], tmp_path).returncode == 0
    arguments = by["up"].split()[2:]
    assert arguments == ["docs/examples/06-classification", "--state", "state"]
    with up(tmp_path, tmp_path / arguments[0], "--state", tmp_path / "state"):
        answers(by["infer"], tmp_path)
        end = time.monotonic() + PATIENCE
        while True:  # the cloud worker comes up beside the edge
            said = answers(by["infer"], tmp_path)
            if "cloud" in {one["answer"]["answered_by"] for one in said} or time.monotonic() > end:
                break
            time.sleep(1)
        assert len(said) == 24
        assert {one["answer"]["task"] for one in said} == {"image-classification"}
        by_cloud = [one for one in said if one["answer"]["answered_by"] == "cloud"]
        assert by_cloud, (tmp_path / "out").read_text()
        assert all(set(one["answer"]["cloud_models"]) == {"edge", "labeller"} for one in by_cloud)
        assert all(one["answer"]["scores"]["margin"] < 0.5 for one in by_cloud)
        assert (
            right(said) >= 0.45
        )  # four classes at dusk; by these models on these photos 0.54 without the cloud, 0.67 with it
        shown = shell(by["infer"], tmp_path)
        assert "hard by ScoreMargin" in shown.stdout
        assert "person" in shown.stdout
    assert processes(tmp_path / "state") == []
