"""When something is away or wrong: the hub, a model's source, a config, a port."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloud_kit import Tiny, Worker, photo_of
from hub_kit import HubKit, hub_config, make_hub

from umiak_workers.contract import routes
from umiak_workers.contract.config import ModelSource


@pytest.fixture
def own_hub(role: Any, tmp_path: Path, tiny: Tiny) -> HubKit:
    """A hub that this test may stop."""
    kit = make_hub(role, tmp_path / "hub", hub_config(), {}).start()
    kit.client("operator").push_model(tiny.edge)
    kit.replay_of_one()
    kit.stop()
    return kit


def test_while_the_hub_is_away_answers_go_out_without_receipts(
    new_cloud: Callable[..., Worker], own_hub: HubKit
) -> None:
    cloud = new_cloud(own_hub.url)
    cloud.role.wait_ready(cloud.port)
    assert cloud.ask(photo_of(1), keep=True).header.receipt is not None
    own_hub.role.kill()
    photo = photo_of(2)
    header = cloud.example(photo, keep=True)
    said = cloud.read(cloud.post(header, photo))
    assert said.header.receipt is None
    assert said.labels[0].shape == (64, 96)
    lost = cloud.post(header.model_copy(update={"answer": False}), photo)
    assert (lost.status_code, "Retry-After" in lost.headers) == (503, True)
    own_hub.start()
    for _ in range(100):
        again = cloud.post(header.model_copy(update={"answer": False}), photo)
        if again.status_code == 200:
            break
        own_hub.client("viewer").samples("plant", "watch", 0, None, 1)
    found = cloud.read(again).header.receipt
    assert found is not None
    assert found == own_hub.client("router").receipt("plant", "watch", header.frame)
    own_hub.stop()


def test_without_the_edge_model_the_edge_is_told_to_answer_itself(
    new_cloud: Callable[..., Worker], free_port: Callable[[], int]
) -> None:
    cloud = new_cloud(f"http://127.0.0.1:{free_port()}")
    cloud.role.wait_ready(cloud.port)
    response = cloud.post(cloud.example(photo_of(3)), photo_of(3))
    assert response.status_code == 503
    assert "edge model sha256:" in response.json()["error"]
    assert cloud.http.get(routes.HEALTH_READY).status_code == 200


def test_a_worker_whose_models_are_away_is_alive_and_not_ready(
    new_cloud: Callable[..., Worker], free_port: Callable[[], int], tiny: Tiny
) -> None:
    away = ModelSource(uri=f"http://127.0.0.1:{free_port()}/labeller", digest=tiny.labeller_digest)
    cloud = new_cloud(labeller=away)
    cloud.role.wait_ready(cloud.port, path=routes.HEALTH_LIVE)
    ready = cloud.http.get(routes.HEALTH_READY)
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert cloud.post(cloud.example(photo_of(4)), photo_of(4)).status_code == 503
    assert cloud.role.stop() == 0


@pytest.mark.parametrize(
    ("part", "source", "word"),
    [
        ("labeller", {"uri": "file:///nowhere"}, "/nowhere"),
        ("labeller", {"digest": "sha256:" + "0" * 64}, "not sha256:0000"),
        ("sam", {"kind": "labeller"}, "not a promptable one"),
        ("labeller", {"kind": "sam"}, "has no graph to run"),
        ("sam", {"uri": "builtin:nothing"}, "nothing"),
    ],
)
def test_a_model_that_is_wrong_ends_the_process_with_one_line(
    new_cloud: Callable[..., Worker], tiny: Tiny, part: str, source: dict[str, str], word: str
) -> None:
    facts = tiny.sources()[source.get("kind", part)].model_dump() | {
        key: value for key, value in source.items() if key != "kind"
    }
    cloud = new_cloud(**{part: ModelSource(**facts)})
    assert cloud.role.wait_exit(120) == 1
    lines = [line for line in cloud.role.log().splitlines() if line.startswith("cloud: ")]
    assert len(lines) == 1
    assert word in lines[0]
    assert "Traceback" not in cloud.role.log()


def test_a_taken_port_is_one_line(role: Any, new_cloud: Callable[..., Worker]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cloud = new_cloud()
        cloud.role.stop() if cloud.role.process.poll() is None else None
        endpoints = cloud.role.folder / "endpoints.json"
        endpoints.write_text(endpoints.read_text().replace(str(cloud.port), str(taken.getsockname()[1])))
        cloud.role.start()
        assert cloud.role.wait_exit(120) == 1
        assert "taken by another process" in cloud.role.log()


@pytest.mark.parametrize(
    ("file", "text", "word"),
    [
        ("config.json", '{"role": "cloud", "speed": 9}', "speed"),
        ("operator.key", "zz", "operator.key"),
        ("endpoints.json", "[]", "endpoints.json"),
    ],
)
def test_a_wrong_file_is_named(new_cloud: Callable[..., Worker], file: str, text: str, word: str) -> None:
    cloud = new_cloud()
    cloud.role.kill()
    (cloud.role.folder / file).write_text(text)
    cloud.role.start()
    assert cloud.role.wait_exit(120) == 2
    last = cloud.role.log().strip().splitlines()
    assert len(last) == 1
    assert word in last[0]


def test_it_stops_when_told(new_cloud: Callable[..., Worker]) -> None:
    cloud = new_cloud()
    cloud.role.wait_ready(cloud.port)
    assert cloud.role.stop() == 0
