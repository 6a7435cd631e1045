"""The local runtime's files: ports, keys, logs, resources, the lock, and a pod's folders."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from umiak_operators.api.resource import Key
from umiak_operators.runtime.local.files import write_private
from umiak_operators.runtime.local.finished import Finished
from umiak_operators.runtime.local.folders import Folders, Lock
from umiak_operators.runtime.local.keys import load_or_make
from umiak_operators.runtime.local.logfile import LogFile
from umiak_operators.runtime.local.mounts import Rooms
from umiak_operators.runtime.local.pod import PodState
from umiak_operators.runtime.local.ports import PortBook, is_free
from umiak_operators.runtime.local.store import Store
from umiak_operators.runtime.local.template import pod_spec
from umiak_workers.contract.errors import ConfigError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_ports_are_remembered_and_never_given_twice(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json", 23_000, free=lambda port: port != 23_001)
    given = [book.port("a", "edge"), book.port("a", "router"), book.port("b", "edge")]
    assert given == [23_000, 23_002, 23_003]
    again = PortBook(tmp_path / "ports.json", 40_000, free=lambda port: True)
    assert [again.port("a", "edge"), again.port("a", "router"), again.port("b", "edge")] == given


def test_a_port_taken_between_runs_is_replaced(tmp_path: Path, taken: int) -> None:
    (tmp_path / "ports.json").write_text(json.dumps({"a/edge": taken}))
    book = PortBook(tmp_path / "ports.json", None)
    port = book.port("a", "edge")
    assert port != taken
    assert is_free(port)
    assert json.loads((tmp_path / "ports.json").read_text()) == {"a/edge": port}


def test_a_port_is_checked_once_a_run_because_then_it_is_ours(tmp_path: Path) -> None:
    busy: set[int] = set()
    book = PortBook(tmp_path / "ports.json", 23_000, free=lambda port: port not in busy)
    port = book.port("a", "edge")
    busy.add(port)
    assert book.port("a", "edge") == port


def test_dropped_ports_are_free_for_others(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json", 23_000, free=lambda port: True)
    book.port("a", "edge")
    book.drop("a")
    assert book.port("b", "edge") == 23_000


def test_no_free_port_is_one_clear_line(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json", 65_000, free=lambda port: False)
    with pytest.raises(ConfigError, match="65000 to 65535"):
        book.port("a", "edge")


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    first = load_or_make(tmp_path)
    assert load_or_make(tmp_path) == first
    assert [file.stat().st_mode & 0o777 for file in tmp_path.iterdir()] == [0o600, 0o600]
    assert len(first.operator) == 32


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    load_or_make(tmp_path)
    (tmp_path / "operator.key").write_text("not hex")
    with pytest.raises(ConfigError, match=str(tmp_path)):
        load_or_make(tmp_path)


def test_unchanged_files_are_not_written(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b"
    assert write_private(file, b"one")
    before = file.stat().st_ino
    assert not write_private(file, b"one")
    assert file.stat().st_ino == before
    assert write_private(file, b"two")


def test_logs_stay_within_their_bound_and_keep_the_newest(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", largest=1000)
    for number in range(500):
        log.write(f"line {number}\n".encode())
    kept = (tmp_path / "log.1").read_bytes() + (tmp_path / "log").read_bytes()
    assert 1000 <= len(kept) <= 2000
    assert kept.endswith(b"line 499\n")
    log.write(b"x" * 5000)
    assert (tmp_path / "log").stat().st_size == 1000


def test_last_words_are_the_last_line_even_in_pieces_and_structured(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    assert log.last_words() == ""
    log.write(b"one\ntw")
    log.write(b"o\n\n")
    assert log.last_words() == "two"
    log.write(b'{"event": "no config", "error": "edge: missing", "level": "error"}\n')
    assert log.last_words() == "no config: edge: missing"


def test_one_world_per_state_folder(tmp_path: Path) -> None:
    one, two = Lock(tmp_path), Lock(tmp_path)
    one.take()
    with pytest.raises(ConfigError, match="another"):
        two.take()
    one.release()
    two.take()
    two.release()


def joint(name: str, threshold: float, namespace: str = "default") -> dict[str, object]:
    meta = {"name": name, "namespace": namespace}
    spec = {"threshold": threshold}
    return {"apiVersion": "umiak.dev/v1alpha1", "kind": "JointInference", "metadata": meta, "spec": spec}


KEY = Key("JointInference", "default", "gate")


def test_resources_keep_identity_and_status_over_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.set_files([joint("gate", 0.1)]) == {KEY}
    store.report(KEY, {"observedGeneration": 1})
    again = Store(tmp_path)
    again.load()
    assert again.get(KEY) == store.get(KEY)
    assert again.set_files([joint("gate", 0.1)]) == set()


def test_a_changed_spec_is_a_new_generation_and_an_absent_file_a_deletion(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_files([joint("gate", 0.1), joint("other", 0.1)])
    before = store.get(KEY)
    assert store.set_files([joint("gate", 0.2)]) == {KEY, Key("JointInference", "default", "other")}
    after = store.get(KEY)
    assert before
    assert after
    assert (after.uid, after.generation) == (before.uid, before.generation + 1)
    assert [resource.key for resource in store.all()] == [KEY]
    assert list(tmp_path.rglob("other.json")) == []


def of_line(name: str, line: str) -> dict[str, object]:
    return {**joint(name, 0), "spec": {"edge": {"model": {"line": line}}}}


def test_a_change_of_what_is_immutable_is_refused_before_anything_changes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_files([of_line("gate", "yard"), joint("other", 0.1), joint("third", 0.1)])
    before = store.all()
    with pytest.raises(ConfigError) as caught:
        store.set_files([joint("other", 0.2), of_line("gate", "quay")])
    assert str(caught.value) == (
        "JointInference/default/gate: spec.edge.model.line: is immutable: make a new JointInference for another line"
    )
    assert store.all() == before
    assert store.set_files([of_line("new", "quay")])


def test_owned_resources_survive_file_changes_and_go_with_their_owner(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_files([joint("gate", 0.1)])
    patch = {**joint("gate-abc", 0), "kind": "ModelPatch"}
    assert store.put(patch, str(KEY))
    store.set_files([joint("gate", 0.3)])
    child = Key("ModelPatch", "default", "gate-abc")
    assert [one.key for one in store.owned_by(KEY)] == [child]
    assert store.set_files([]) == {KEY, child}
    assert store.all() == ()


def test_reporting_on_what_is_gone_does_nothing(tmp_path: Path) -> None:
    assert not Store(tmp_path).report(KEY, {"a": 1})


def test_a_damaged_resource_file_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_files([joint("gate", 0.1)])
    file = next(tmp_path.rglob("gate.json"))
    file.write_text("{")
    with pytest.raises(ConfigError, match=r"gate\.json"):
        Store(tmp_path).load()


JOB = {
    "kind": "Job",
    "metadata": {"name": "gate-round", "namespace": "default", "annotations": {"umiak.dev/watermark": "7"}},
    "spec": {"template": {"spec": {"containers": [{"name": "trainer", "command": ["true"]}]}}},
}


def test_ended_jobs_are_remembered_with_what_decisions_need(tmp_path: Path) -> None:
    finished = Finished(tmp_path / "jobs.json")
    finished.keep(pod_spec(JOB), KEY, PodState("Succeeded", "", ()))
    again = Finished(tmp_path / "jobs.json")
    child = again.children(KEY)["default.gate-round"]
    assert (child.name, child.readiness, child.annotations) == ("gate-round", "Succeeded", {"umiak.dev/watermark": "7"})
    again.drop("default.gate-round")
    assert Finished(tmp_path / "jobs.json").get("default.gate-round") is None


def edge_pod(root: Path) -> dict[str, object]:
    def part(role: str, probed: bool) -> dict[str, object]:
        argv = ["python3", "-m", f"umiak_workers.{role}", "--config", "/etc/umiak/config.json"]
        mounts = [
            {"name": f"config-{role}", "mountPath": "/etc/umiak"},
            {"name": "state", "mountPath": "/var/lib/umiak"},
        ]
        found = {"name": role, "command": [*argv, "--state", "/var/lib/umiak"], "volumeMounts": mounts}
        return {**found, "readinessProbe": {}} if probed else found

    def volume(role: str) -> dict[str, object]:
        names = {f"{role}.json": "config.json", "endpoints.json": "endpoints.json", f"{role}.token": "token"}
        items = [{"key": key, "path": path} for key, path in names.items()]
        return {"name": f"config-{role}", "secret": {"secretName": "gate", "items": items}}

    state = {"name": "state", "hostPath": {"path": str(root / "volumes" / "gate")}}
    containers = [part("edge", True), part("router", True), part("agent", False)]
    pod = {"containers": containers, "volumes": [*map(volume, ("edge", "router", "agent")), state]}
    meta = {"name": "gate-edge-edge-1", "namespace": "yard"}
    return {"kind": "Deployment", "metadata": meta, "spec": {"template": {"spec": pod}}}


MAP = {
    "umiak://hub": "https://hub.example",
    "umiak://broker": "mqtts://broker.example",
    "umiak://listen/edge": "http://127.0.0.1:8500",
    "umiak://listen/router": "http://127.0.0.1:8600",
    "umiak://pod/edge": "http://127.0.0.1:8500",
    "umiak://cloud/yard/gate": "http://gate-cloud.yard.svc:8700",
    "umiak://other": "http://kept.example",
}


def test_a_pod_gets_its_own_files_with_addresses_of_this_machine(tmp_path: Path) -> None:
    outside = {"umiak://hub": "http://127.0.0.1:1", "umiak://broker": "mqtt://127.0.0.1:2"}
    ports = PortBook(tmp_path / "ports.json", 23_000, free=lambda port: True)
    rooms = Rooms(Folders(tmp_path), ports, outside)
    spec = pod_spec(edge_pod(tmp_path))
    files = {f"{role}.{what}": role.encode() for role in ("edge", "router", "agent") for what in ("json", "token")}
    rooms.furnish(spec, {("yard", "gate"): {**files, "endpoints.json": json.dumps(MAP).encode()}})

    launch = rooms.launch(spec, spec.containers[1])
    config, state = Path(launch.argv[-3]), Path(launch.argv[-1])
    assert config.read_bytes() == b"router"
    assert (config.parent / "token").read_bytes() == b"router"
    assert (config.parent / "token").stat().st_mode & 0o777 == 0o600
    assert state == tmp_path / "volumes" / "gate"
    known = json.loads((config.parent / "endpoints.json").read_text())
    assert known["umiak://hub"] == "http://127.0.0.1:1"
    assert known["umiak://broker"] == "mqtt://127.0.0.1:2"
    assert known["umiak://listen/edge"] == known["umiak://pod/edge"] == rooms.address(spec, spec.containers[0])
    assert known["umiak://listen/router"] == rooms.address(spec, spec.containers[1])
    assert rooms.address(spec, spec.containers[2]) is None
    assert known["umiak://cloud/yard/gate"] == rooms.cloud_url("yard", "gate")
    assert known["umiak://other"] == "http://kept.example"

    rooms.clear(spec.id)
    assert not config.exists()
    assert state.exists()


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    rooms = Rooms(Folders(tmp_path), PortBook(tmp_path / "ports.json", 23_000, free=lambda port: True), {})
    with pytest.raises(ConfigError, match="Secret gate"):
        rooms.furnish(pod_spec(edge_pod(tmp_path)), {})
