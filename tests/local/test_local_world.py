"""One world with real workers: photos are answered, files are followed, and a restart goes on where it was."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fault_site import BUILTIN, photo
from up_site import processes, until, up, world

from umiak_workers.adapters.artefacts import read_artefact
from umiak_workers.bench.demo.world import holds
from umiak_workers.bench.demo.world import resource as find
from umiak_workers.cli import infer
from umiak_workers.contract.world import ContainerStatus

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
START_SECONDS = 180.0


def text(miner: dict[str, object], threads: int) -> str:
    """A light resource: its cloud worker is wanted zero times, or not at all where every frame stays at the edge."""
    edge = {
        "model": {
            "line": "yard-edge",
            "uri": "builtin:yard-edge",
            "digest": read_artefact(BUILTIN / "yard-edge").digest,
        },
        "nodes": {"matchLabels": {"site": "yard"}},
        "source": {"http": {}},
        "runtime": {"threads": threads},
    }
    spec: dict[str, object] = {"edge": edge, "hardExamples": {"miners": [miner]}, "deadlineMilliseconds": 5000}
    if miner["miner"] != "EdgeOnly":
        labeller = {"uri": "builtin:yard-cloud", "digest": read_artefact(BUILTIN / "yard-cloud").digest}
        spec["cloud"] = {"replicas": 0, "labeller": labeller}
    meta = {"name": "gate", "namespace": "yard"}
    return yaml.safe_dump(
        {"apiVersion": "umiak.dev/v1alpha1", "kind": "JointInference", "metadata": meta, "spec": spec}
    )


@dataclass
class Running:
    """A world that is ready, and its files."""

    root: Path
    state: Path
    file: Path

    def containers(self) -> dict[str, ContainerStatus]:
        """The containers of the edge pod; none while it is being replaced."""
        now = world(self.state)
        return {box.name: box for pod in now.pods if pod.component == "edge" for box in pod.containers} if now else {}

    def ready(self) -> bool:
        """Whether the resource says Ready and its router can be asked."""
        now = world(self.state)
        return now is not None and holds(find(now, "JointInference"), "Ready") and bool(now.routers)

    def all_ready(self) -> bool:
        """Whether every container of the edge pod is."""
        boxes = self.containers().values()
        return len(boxes) == 3 and all(box.ready for box in boxes)

    def until_ready(self) -> None:
        until(lambda: self.ready() and self.all_ready(), self.root, START_SECONDS)

    def ask(self, capsys: pytest.CaptureFixture[str], index: int = 0) -> dict[str, Any]:
        """`umiak infer --json` for one photo."""
        file = self.root / f"{index}.jpg"
        file.write_bytes(photo(index))
        capsys.readouterr()
        infer.infer([file], state=self.state, edge="edge-1", json=True)
        (found,) = json.loads(capsys.readouterr().out)
        return dict(found)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("world")
    found = Running(root, root / "state", root / "gate.yaml")
    found.file.write_text(text({"miner": "EdgeOnly"}, 1))
    with up(root, found.file, "--state", found.state):
        found.until_ready()
        yield found
    assert processes(found.state) == []


def test_a_photo_is_answered_at_the_edge(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    found = running.ask(capsys)
    assert (found["answer"]["answered_by"], found["answer"]["reason"]) == ("edge", "Easy")
    assert found["answer"]["model"] == read_artefact(BUILTIN / "yard-edge").digest
    assert "ground" in found["shares"]  # names come from the card, the card from the hub


@pytest.mark.parametrize("name", ["edge", "router", "agent"])
def test_a_killed_worker_returns(running: Running, capsys: pytest.CaptureFixture[str], name: str) -> None:
    before = running.containers()
    pid = before[name].pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: running.containers()[name].restarts > before[name].restarts, running.root)
    running.until_ready()
    assert running.containers()[name].pid != pid
    others = {other: box.pid for other, box in before.items() if other != name}
    assert {other: box.pid for other, box in running.containers().items() if other != name} == others
    assert running.ask(capsys, 1)["answer"]["reason"] == "Easy"


def test_only_what_cannot_change_live_replaces_the_pod(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    first = pids(running)
    running.file.write_text(text({"miner": "ScoreMargin", "threshold": 0.9}, 1))  # another miner
    until(lambda: not first & pids(running) and running.all_ready(), running.root, START_SECONDS)
    second, before = pids(running), generation(running)
    running.file.write_text(text({"miner": "ScoreMargin", "threshold": 0.8}, 1))  # live
    until(lambda: generation(running) > before, running.root)
    running.until_ready()
    assert pids(running) == second
    running.file.write_text(text({"miner": "ScoreMargin", "threshold": 0.8}, 2))  # more threads
    until(lambda: not second & pids(running) and running.all_ready(), running.root, START_SECONDS)
    assert running.ask(capsys, 3)["answer"]["answered_by"] == "edge"


def pids(running: Running) -> set[int | None]:
    """The processes of the edge pod."""
    return {box.pid for box in running.containers().values()}


def generation(running: Running) -> int:
    """The generation that the resource's status speaks of."""
    now = world(running.state)
    found = find(now, "JointInference") if now else None
    return int(found.status.get("observedGeneration", 0)) if found else 0


def test_a_restart_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = Running(tmp_path, tmp_path / "state", tmp_path / "gate.yaml")
    running.file.write_text(text({"miner": "EdgeOnly"}, 1))
    frames, uids, sequences = [], [], []
    for _ in range(2):
        with up(tmp_path, running.file, "--state", running.state):
            running.until_ready()
            frames.append(running.ask(capsys)["answer"]["frame"])
            stored = json.loads(next((running.state / "resources").rglob("gate.json")).read_text())
            uids.append(stored["body"]["metadata"]["uid"])
            until(lambda: sequence(running) >= 1, running.root)
            sequences.append(sequence(running))
    assert uids[0] == uids[1]
    assert sequences[0] == sequences[1]
    assert frames[0] != frames[1]


def sequence(running: Running) -> int:
    """The release that the line is at, as the resource's status says; 0 before the hub has said so."""
    now = world(running.state)
    found = find(now, "JointInference") if now else None
    return int(found.status.get("line", {}).get("sequence", 0)) if found else 0
