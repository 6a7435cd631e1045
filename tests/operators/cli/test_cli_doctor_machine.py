"""What the doctor says of this machine and of a local world."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_doctor_kit import NOW, ago, one, said

from umiak_operators.cli.doctor.check_machine import check
from umiak_operators.cli.doctor.machine import Machine, look
from umiak_workers.contract.world import ContainerStatus, PodStatus, ResourceStatus, World

WELL: dict[str, Any] = {
    "now": NOW, "version": "1.0", "python": (3, 11), "mosquitto": "/usr/sbin/mosquitto", "folder": "/home",
    "free_bytes": 2**40,
}  # fmt: skip


def machine(**known: Any) -> Machine:
    return Machine(**{**WELL, **known})


def test_a_machine_that_is_well() -> None:
    assert {finding.level for finding in check(machine())} == {"ok"}


@pytest.mark.parametrize(
    ("known", "check_name", "level"),
    [
        ({"python": (3, 10)}, "machine.python", "problem"),
        ({"missing": {"edge": ("onnxruntime",)}}, "machine.packages", "warning"),
        ({"mosquitto": None}, "machine.broker", "problem"),
        ({"free_bytes": 10}, "machine.disk", "warning"),
        ({"fault": "not JSON", "state": "/s"}, "machine.world", "problem"),
    ],
)
def test_what_may_be_wrong(known: dict[str, Any], check_name: str, level: str) -> None:
    found = one(check(machine(**known)))
    assert (found.check, found.level) == (check_name, level)
    assert found.why
    assert found.next


def test_the_embedded_broker_will_do() -> None:
    assert {finding.level for finding in check(machine(mosquitto=None, amqtt=True))} == {"ok"}


def world(*containers: ContainerStatus, **conditions: str) -> World:
    said_of = [
        {"type": kind, "status": "False", "reason": reason, "lastTransitionTime": ago(5000)}
        for kind, reason in conditions.items()
    ]
    status = {"observedGeneration": 1, "conditions": said_of}
    resource = ResourceStatus(kind="JointInference", namespace="yard", name="yard", status=status)
    pods = (PodStatus(name="umiak-hub", component="hub", containers=containers),)
    return World(at=NOW - 2, pid=os.getpid(), broker="mosquitto", pods=pods, resources=(resource,))


def test_a_world_that_runs() -> None:
    ready = ContainerStatus(name="hub", pid=7, ready=True)
    found = [
        item for item in check(machine(world=world(ready), state="/s", alive=True)) if item.check == "machine.world"
    ]
    assert "1 pods, broker mosquitto" in found[0].found


def test_a_world_with_trouble() -> None:
    down = ContainerStatus(name="hub", restarts=4, message="ended with code 1")
    wobbly = ContainerStatus(name="other", pid=7, ready=True, restarts=5)
    sick = world(down, wobbly, Ready="LineConflict", EdgesReporting="EdgesSilent")
    found = [item for item in check(machine(world=sick, state="/s", alive=True)) if item.level != "ok"]
    assert said(found) == [
        ("machine.container", "problem"), ("machine.container", "warning"),
        ("resources.ready", "problem"), ("resources.edges-reporting", "warning"),
    ]  # fmt: skip
    assert found[0].found == "not running, 4 restarts: ended with code 1"
    assert {item.next for item in found} == {("ls /s/logs",)}


def test_a_world_that_has_ended() -> None:
    assert one(check(machine(world=world(), state="/s"))).check == "machine.world"


def test_looking_at_a_home(tmp_path: Path) -> None:
    empty = look({}, tmp_path)
    assert (empty.world, empty.state, empty.fault) == (None, "", "")
    assert empty.free_bytes > 0
    assert empty.python == sys.version_info[:2]
    state = tmp_path / "state"
    state.mkdir()
    note = tmp_path / ".local" / "state" / "umiak" / "last-world"
    note.parent.mkdir(parents=True)
    note.write_text(str(state))
    (state / "status.json").write_text(world().model_dump_json())
    found = look({}, tmp_path)
    assert found.alive
    assert found.folder == str(state)
    (state / "status.json").write_text("{")
    assert look({}, tmp_path).fault
