"""The loop as Jobs and child resources of a local world: samples, a round, a ModelPatch, a new model at the edge."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fault_site import BUILTIN, photo
from up_site import until, up, world

from umiak_workers.adapters.artefacts import read_artefact
from umiak_workers.bench.demo.world import condition, holds
from umiak_workers.bench.demo.world import resource as find
from umiak_workers.cli import infer
from umiak_workers.contract.world import ResourceStatus

pytestmark = [
    pytest.mark.processes,
    pytest.mark.train,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
SAMPLES = 8
STEP_SECONDS = 300.0


def builtin(name: str) -> dict[str, str]:
    return {"uri": f"builtin:{name}", "digest": read_artefact(BUILTIN / name).digest}


def text() -> str:
    """Every frame goes to the cloud; a round starts at 8 samples and promotes whatever it makes."""
    joint = {
        "edge": {
            "model": {"line": "yard-edge", **builtin("yard-edge")},
            "nodes": {"matchLabels": {"site": "yard"}},
            "source": {"http": {}},
        },
        "cloud": {"labeller": builtin("yard-cloud")},
        "hardExamples": {"miners": [{"miner": "CloudOnly"}]},
        "deadlineMilliseconds": 20_000,
    }
    lifelong = {
        "jointInferenceRef": {"name": "gate"},
        "baseData": {"uri": "yard:day?seed=101&frames=24"},
        "trigger": {"samples": SAMPLES},
        "fit": {"epochs": 1, "seconds": 10},
        "promotion": {"minGain": -1, "maxForgetting": 1},
    }
    specs = {"JointInference": joint, "LifelongLearning": lifelong}
    meta = {"name": "gate", "namespace": "yard"}
    return yaml.safe_dump_all(
        {"apiVersion": "umiak.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
        for kind, spec in specs.items()
    )


def seen(state: Path, kind: str) -> ResourceStatus | None:
    now = world(state)
    return find(now, kind) if now else None


def serving(state: Path) -> bool:
    """Whether every process runs and is ready: statuses alone may be those of an earlier run."""
    now = world(state)
    boxes = [box for pod in now.pods for box in pod.containers] if now else []
    return len(boxes) == 7 and all(box.ready for box in boxes) and holds(seen(state, "JointInference"), "Ready")


def ask(state: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    infer.infer(photos, state=state, json=True)
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_a_round_promotes_and_the_edge_takes_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, file = tmp_path / "state", tmp_path / "loop.yaml"
    file.write_text(text())
    photos = [tmp_path / f"{index}.jpg" for index in range(SAMPLES)]
    for index, one in enumerate(photos):
        one.write_bytes(photo(index))
    with up(tmp_path, file, "--state", state):
        until(lambda: serving(state), tmp_path, STEP_SECONDS)
        answers = ask(state, photos, capsys)
        # a cloud that still fetches the edge's model answers late; that all eight reach the hub, the round below proves
        assert {one["answer"]["rule"] for one in answers} == {"CloudOnly"}
        until(lambda: holds(seen(state, "ModelPatch"), "Succeeded"), tmp_path, STEP_SECONDS)
        until(lambda: (state / "resources" / "jobs.json").exists(), tmp_path)  # the round's process has ended too
        lesson, patch = seen(state, "LifelongLearning"), seen(state, "ModelPatch")
        assert lesson
        assert patch
        candidate = lesson.status["lastRound"]["candidate"]
        (after,) = ask(state, photos[:1], capsys)
        assert after["answer"]["model"] == candidate != answers[0]["answer"]["model"]

    with up(tmp_path, file, "--state", state):
        until(lambda: serving(state), tmp_path, STEP_SECONDS)
        (again,) = ask(state, photos[:1], capsys)
        assert again["answer"]["model"] == candidate
        kept = seen(state, "ModelPatch")
        assert kept
        assert (kept.name, condition(kept, "Succeeded")["status"]) == (patch.name, "True")
    jobs = json.loads((state / "resources" / "jobs.json").read_text())
    assert [job["readiness"] for job in jobs.values()] == ["Succeeded"]
    assert len(list((state / "logs").glob("yard.gate-round-*"))) == 1
