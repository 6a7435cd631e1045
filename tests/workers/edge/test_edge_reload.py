"""Which model an edge serves: at start, after a reload, after a crash, after a bad download."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from umiak_workers.adapters.slots import Slots
from umiak_workers.contract.errors import Refused, Unavailable
from umiak_workers.edge.shelf import Shelf


def reload(server: Any, digest: str) -> httpx.Response:
    return httpx.post(server.url + "/v1/reload", json={"digest": digest}, timeout=30)


@pytest.fixture
def lone(new_server: Callable[..., Any]) -> Iterator[Any]:
    """A running server of the test's own."""
    server = new_server()
    server.role.start().wait_ready(server.port)
    yield server
    assert server.role.stop() == 0


def spoil(folder: Path) -> None:
    """Change one byte of the weights."""
    file = folder / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.processes
def test_reload_swaps_while_requests_go_on(
    lone: Any, jpeg: Callable[..., bytes], tiny_model: Callable[..., str]
) -> None:
    second = tiny_model(lone.state / "slots" / "b", seed=1)
    photo, codes, models = jpeg(), [], set()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=20) as client:
            while not stop.is_set():
                response = client.post(lone.url + "/v1/predict", content=photo)
                codes.append(response.status_code)
                models.add(response.content[: response.content.index(b'"width"')])

    asking = threading.Thread(target=ask)
    asking.start()
    for digest in [second, lone.digest] * 5:
        assert reload(lone, digest).json() == {"active": digest}
    stop.set()
    asking.join()
    assert set(codes) == {200}
    assert len(models) == 2, "both models answered while the swaps went on"
    assert lone.ready()["active"] == lone.digest


@pytest.mark.processes
def test_a_bad_reload_is_refused_and_the_old_model_serves(
    lone: Any, jpeg: Callable[..., bytes], tiny_model: Callable[..., str]
) -> None:
    unknown = "sha256:" + "0" * 64
    assert reload(lone, unknown).status_code == 404
    second = tiny_model(lone.state / "slots" / "b", seed=1)
    spoil(lone.state / "slots" / "b")
    response = reload(lone, second)
    assert response.status_code == 422
    assert "SHA-256" in response.json()["error"]
    assert httpx.post(lone.url + "/v1/reload", json={"digest": "../../etc"}, timeout=5).status_code == 400
    assert httpx.post(lone.url + "/v1/reload", json={"path": "x"}, timeout=5).status_code == 400
    assert lone.ready() == {"ready": True, "active": lone.digest, "reason": ""}
    assert httpx.post(lone.url + "/v1/predict", content=jpeg(), timeout=20).status_code == 200


@pytest.mark.processes
def test_without_a_model_it_is_live_not_ready_and_picks_up_current(
    new_server: Callable[..., Any], jpeg: Callable[..., bytes]
) -> None:
    server = new_server(installed=False)
    server.role.start().wait_ready(server.port, status=200, path="/healthz")
    assert httpx.get(server.url + "/readyz", timeout=5).status_code == 503
    assert httpx.get(server.url + "/v2/health/ready", timeout=5).status_code == 400
    answer = httpx.post(server.url + "/v1/predict", content=jpeg(), timeout=5)
    assert answer.status_code == 503
    assert "no model yet" in answer.json()["error"]
    Slots(server.state).write_current("a", server.digest)
    server.role.wait_ready(server.port)
    assert server.role.stop() == 0


@pytest.mark.processes
def test_a_killed_server_comes_back_and_a_second_one_finds_the_port_taken(new_server: Callable[..., Any]) -> None:
    server = new_server()
    server.role.start().wait_ready(server.port)
    server.role.kill()
    server.role.start().wait_ready(server.port)
    assert server.ready()["active"] == server.digest
    second = new_server()
    second.role.command = server.role.command
    second.role.start()
    assert second.role.wait_exit() == 1
    assert second.role.log().count("\n") == 1
    assert "taken" in second.role.log()
    assert str(server.port) in second.role.log()
    assert server.role.stop() == 0


@pytest.mark.processes
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"role":"edge","line":"yard/street","colour":1}', "colour"),
        ('{"role":"edge","line":"STREET"}', "line"),
        ("{", "config.json"),
        ('{"role":"edge","line":"yard/street","gpu":true}', "gpu: this ONNX Runtime has no CUDAExecutionProvider"),
    ],
)
def test_a_wrong_config_is_one_line_and_exit_2(tmp_path: Path, role: Callable[..., Any], text: str, says: str) -> None:
    started = role("edge", text, {}, state=tmp_path / "state").start()
    assert started.wait_exit() == 2
    assert started.log().count("\n") == 1
    assert says in started.log()


@pytest.fixture
def slots(tmp_path: Path, tiny_model: Callable[..., str]) -> tuple[Slots, str, str]:
    """Two good models in two slots, `a` in force."""
    made = Slots(tmp_path)
    first, second = tiny_model(made.folder("a"), seed=0), tiny_model(made.folder("b"), seed=1)
    made.write_current("a", first)
    made.mark_good(first)
    made.mark_good(second)
    return made, first, second


def test_a_spoiled_current_model_falls_back_to_the_good_other_slot(slots: tuple[Slots, str, str]) -> None:
    made, _, second = slots
    spoil(made.folder("a"))
    shelf = Shelf(made, 1)
    shelf.take_current()
    assert shelf.status().active == second
    assert "SHA-256" in shelf.status().reason


def test_a_model_that_kills_its_process_is_left_alone_after_three_attempts(slots: tuple[Slots, str, str]) -> None:
    made, first, second = slots
    (made.folder("a").parent.parent / "good" / first.replace(":", "-")).unlink()
    for _ in range(3):
        made.begin_attempt(first)
    shelf = Shelf(made, 1)
    shelf.take_current()
    assert shelf.status().active == second
    assert "3 times" in shelf.status().reason
    assert shelf.reload(first) == first, "asked for by name it is tried again"


def test_a_good_model_is_never_worn_out(slots: tuple[Slots, str, str]) -> None:
    made, first, _ = slots
    for _ in range(5):
        made.begin_attempt(first)
    shelf = Shelf(made, 1)
    shelf.take_current()
    assert shelf.status().active == first


def test_attempts_are_counted_before_a_load_and_forgotten_by_a_good_mark(slots: tuple[Slots, str, str]) -> None:
    made, _, second = slots
    shelf = Shelf(made, 1)
    spoil(made.folder("b"))
    with pytest.raises(Refused, match="SHA-256"):
        shelf.reload(second)
    assert made.attempts(second) == 1
    made.mark_good(second)
    assert made.attempts(second) == 0


def test_nothing_good_anywhere_is_not_ready_with_the_reason(slots: tuple[Slots, str, str]) -> None:
    made, _, _ = slots
    spoil(made.folder("a"))
    spoil(made.folder("b"))
    shelf = Shelf(made, 1)
    shelf.take_current()
    assert shelf.status().active is None
    with pytest.raises(Unavailable, match="other slot"):
        shelf.active()


def test_a_clean_failure_is_not_tried_again_until_current_moves(slots: tuple[Slots, str, str]) -> None:
    made, first, second = slots
    spoil(made.folder("a"))
    (made.folder("a").parent.parent / "good" / second.replace(":", "-")).unlink()
    shelf = Shelf(made, 1)
    for _ in range(4):
        shelf.take_current()
    assert made.attempts(first) == 1
    made.write_current("b", second)
    shelf.take_current()
    assert shelf.status().active == second
