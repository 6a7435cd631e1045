"""`umiak up` as a command: what it says, what it refuses, and that it leaves nothing behind however it ends."""

import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from up_site import pods, processes, resource, until, up, world

from umiak_workers.contract.world import STATUS_FILE

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
PLATFORM = {"umiak-system.umiak-broker", "umiak-system.umiak-hub", "umiak-system.umiak-signer"}
EDGES = {"yard.gate-edge-edge-1", "yard.gate-edge-edge-2"}


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    file = tmp_path / "gate.yaml"
    file.write_text(resource())
    return file


def test_files_changed_removed_and_broken_are_followed(tmp_path: Path, yaml: Path) -> None:
    state = tmp_path / "state"
    with up(tmp_path, yaml, "--state", state, "--nodes", 2) as process:
        until(lambda: pods(state) == PLATFORM | EDGES, tmp_path)
        yaml.write_text(resource(threads=0))
        until(lambda: "gate.yaml:10: " in (tmp_path / "out").read_text(), tmp_path)
        assert pods(state) == PLATFORM | EDGES
        yaml.write_text(resource(line="quay"))
        until(lambda: "yard/gate: spec.edge.model.line: is immutable: " in (tmp_path / "out").read_text(), tmp_path)
        assert pods(state) == PLATFORM | EDGES
        yaml.write_text(resource(name="other"))
        until(lambda: pods(state) == PLATFORM | {"yard.other-edge-edge-1", "yard.other-edge-edge-2"}, tmp_path)
        yaml.unlink()
        until(lambda: pods(state) == PLATFORM, tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert processes(state) == []
    ended = world(state)
    assert ended
    assert (ended.pid, ended.pods, ended.resources) == (0, (), ())


def test_it_says_what_it_is_and_stops_by_itself(tmp_path: Path, yaml: Path) -> None:
    with up(tmp_path, yaml, "--for", 3) as process:
        assert process.wait(60) == 0
    said = (tmp_path / "out").read_text()
    assert "A development runtime" in said
    state = re.search(r"state: (\S+) \(a temporary folder", said)
    assert state
    assert "every process has ended" in said
    assert not Path(state[1]).exists()
    assert not list(tmp_path.glob("umiak-*"))
    assert not [file for file in (tmp_path / "xdg").rglob("*") if file.is_file()]
    assert processes(Path(state[1])) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_it_is_interrupted_or_killed(tmp_path: Path, yaml: Path, number: signal.Signals) -> None:
    with up(tmp_path, yaml) as process:
        until(lambda: "yard.gate-edge-edge-1/agent ready" in (tmp_path / "out").read_text(), tmp_path)
        state = Path(next(tmp_path.glob("umiak-*")))
        assert len(processes(state)) >= 4
        ports = [int(found) for found in re.findall(r"127\.0\.0\.1:(\d+)", (state / STATUS_FILE).read_text())]
        assert len(ports) >= 4
        process.send_signal(number)
        process.wait(30)
    until(lambda: not processes(state) and not state.exists(), tmp_path)
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def test_a_second_world_on_the_same_state_is_refused(tmp_path: Path, yaml: Path) -> None:
    state = tmp_path / "state"
    with up(tmp_path, yaml, "--state", state):
        until(lambda: world(state) is not None, tmp_path)
        (tmp_path / "second").mkdir()
        with up(tmp_path / "second", yaml, "--state", state) as second:
            assert second.wait(60) == 2
        assert f"umiak: {state}: another `umiak up` is using this state folder" in (tmp_path / "second/out").read_text()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (resource(threads=0), "gate.yaml:10: spec.edge.runtime.threads"),
        ("kind: Pod\napiVersion: v1\nmetadata: {name: a}\n", "gate.yaml:1: kind Pod is not one of"),
    ],
)
def test_bad_files_are_one_line_and_exit_code_2(tmp_path: Path, yaml: Path, text: str, named: str) -> None:
    yaml.write_text(text)
    with up(tmp_path, yaml) as process:
        assert process.wait(60) == 2
    assert named in (tmp_path / "out").read_text()
    assert "Traceback" not in (tmp_path / "out").read_text()
    assert not list(tmp_path.glob("umiak-*"))


def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path: Path, yaml: Path) -> None:
    state = tmp_path / "state"
    with up(tmp_path, yaml, "--state", state) as process:
        until(lambda: world(state) is not None, tmp_path)
        process.terminate()
        assert process.wait(30) == 0
    first = dict(re.findall(r'"platform/(\w+)": (\d+)', (state / "ports.json").read_text()))
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", int(first["broker"])))
        squatter.listen()
        with up(tmp_path, yaml, "--state", state):
            until(lambda: "umiak-broker/broker ready" in (tmp_path / "out").read_text(), tmp_path)
    second = dict(re.findall(r'"platform/(\w+)": (\d+)', (state / "ports.json").read_text()))
    assert second["broker"] != first["broker"]
    assert second["hub"] == first["hub"]


def test_the_embedded_broker_can_be_chosen(tmp_path: Path, yaml: Path) -> None:
    state = tmp_path / "state"
    with up(tmp_path, yaml, "--state", state, "--broker", "amqtt"):
        until(lambda: "umiak-broker/broker ready" in (tmp_path / "out").read_text(), tmp_path)
        now = world(state)
        assert now
        assert now.broker == "amqtt"
    assert "the embedded amqtt" in (tmp_path / "out").read_text()
