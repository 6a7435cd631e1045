"""`umiak demo --headless`, as a person would run it, only shorter: the whole loop must come round."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]


def run(tmp_path: Path, *arguments: str) -> dict[str, object]:
    """The report of one headless demo."""
    found = tmp_path / "report.json"
    command = [sys.executable, "-m", "umiak_workers.cli.main", "demo", "--headless", "--json", str(found), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report: dict[str, object] = json.loads(found.read_text())
    return report


def test_the_yard_learns(tmp_path: Path) -> None:
    report = run(tmp_path, "--frames", "80")
    learning, joint = report["learning"], report["collaborative"]
    assert isinstance(learning, dict)
    assert isinstance(joint, dict)
    assert learning["promoted"] is True, learning
    assert learning["after_miou"] > learning["before_miou"]
    assert learning["gain"]["low"] > 0
    assert report["cloud_only"]["miou"] > report["edge_only"]["miou"]  # type: ignore[index]
    assert joint["miou"] > report["edge_only"]["miou"]  # type: ignore[index]
    assert 0 < joint["upload_fraction"] < 1
    edges = report["edges"]
    assert isinstance(edges, list)
    assert len({edge["model_digest"] for edge in edges}) == 1


def test_a_folder_without_labels_is_answered_without_figures(tmp_path: Path) -> None:
    from PIL import Image

    from umiak_workers.datasets.source import open_dataset

    images = tmp_path / "photos" / "images"
    images.mkdir(parents=True)
    for index, sample in enumerate(open_dataset("yard:day?seed=9&frames=6")[i] for i in range(6)):
        Image.fromarray(sample.image).save(images / f"{index}.jpg")
    report = run(tmp_path, "--data", str(tmp_path / "photos"))
    assert report["learning"] is None
    assert report["edge_only"] == {"miou": None, "latency_ms": report["edge_only"]["latency_ms"]}  # type: ignore[index]
    assert report["frames"] == 6
