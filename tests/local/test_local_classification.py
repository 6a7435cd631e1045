"""docs/examples/06-classification by its own commands: classes from edge and cloud, learnt from by nobody yet."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from up_site import processes, up

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
DOCS = Path(__file__).parents[2] / "docs"
README = DOCS / "examples" / "06-classification" / "README.md"
PATIENCE = 240


def commands() -> dict[str, str]:
    """The first block's commands by their verb, without what is said behind them."""
    block = re.search(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert block
    lines = [line.partition("  #")[0].strip() for line in block[1].splitlines()]
    return {line.split()[1]: line for line in lines}


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "XDG_STATE_HOME": str(folder / "xdg"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE
    )


def answers(command: str, folder: Path) -> list[dict[str, Any]]:
    """What `umiak infer` says of every photo, once the edge has its model."""
    end = time.monotonic() + PATIENCE
    while (done := shell(f"{command} --json", folder)).returncode:
        assert time.monotonic() < end, f"{done.stdout}{done.stderr}\n{(folder / 'out').read_text()}"
        time.sleep(0.5)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def right(said: list[dict[str, Any]]) -> float:
    return sum(Path(one["photo"]).parent.name == one["label"] for one in said) / len(said)


def test_the_example_answers_classes_and_the_cloud_helps(tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(DOCS)
    by = commands()
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
