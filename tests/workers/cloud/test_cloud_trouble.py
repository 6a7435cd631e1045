"""When something is away or wrong: the hub, a model's source, a config, a port."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloud_kit import Tiny, Worker, config_of, photo_of
from hub_kit import HubKit, eventually, hub_config, make_hub

from umiak_workers.cloud.__main__ import thinker
from umiak_workers.contract import routes
from umiak_workers.contract.config import ModelSource
from umiak_workers.contract.errors import ArtefactError, ConfigError

NOWHERE = "http://127.0.0.1:9"
"""A hub that is away: nobody listens on the discard port."""


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
    cloud = new_cloud(own_hub.url, sam=None)
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
    receipt_only = header.model_copy(update={"answer": False})
    again = eventually(lambda: _if_ok(cloud.post(receipt_only, photo)))
    found = cloud.read(again).header.receipt
    assert found is not None
    assert found == own_hub.client("router").receipt("plant", "watch", header.frame)
    own_hub.stop()


def _if_ok(response: httpx.Response) -> httpx.Response | None:
    return response if response.status_code == 200 else None


def test_without_the_edge_model_the_edge_is_told_to_answer_itself(
    new_cloud: Callable[..., Worker],
) -> None:
    cloud = new_cloud(NOWHERE, sam=None)
    cloud.role.wait_ready(cloud.port)
    response = cloud.post(cloud.example(photo_of(3)), photo_of(3))
    assert response.status_code == 503
    assert "edge model sha256:" in response.json()["error"]
    assert cloud.http.get(routes.HEALTH_READY).status_code == 200


def test_a_worker_whose_models_are_away_is_alive_and_not_ready(
    new_cloud: Callable[..., Worker], free_port: Callable[[], int], tiny: Tiny
) -> None:
    away = ModelSource(uri=f"http://127.0.0.1:{free_port()}/labeller", digest=tiny.labeller_digest)
    cloud = new_cloud(NOWHERE, labeller=away, sam=None)
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
        ("labeller", {"kind": "sam"}, "is a promptable-segmentation model, semantic-segmentation is answered here"),
        ("sam", {"uri": "builtin:nothing"}, "nothing"),
    ],
)
def test_a_model_that_is_wrong_is_named(
    tiny: Tiny, tmp_path: Path, part: str, source: dict[str, str], word: str
) -> None:
    kind = source.get("kind", part)
    facts = {**tiny.sources()[kind].model_dump(), **{key: text for key, text in source.items() if key != "kind"}}
    config = config_of(tiny, **{"sam": None, "labeller": None, part: ModelSource(**facts)})
    with pytest.raises(ArtefactError, match=word) as found:
        thinker(config, tmp_path)
    assert "\n" not in str(found.value)


def test_a_gpu_that_is_not_there_is_a_wrong_config(tiny: Tiny, tmp_path: Path) -> None:
    alone = config_of(tiny, sam=None, gpu=True)
    with pytest.raises(ConfigError, match=r"gpu: this ONNX Runtime has no CUDA.*there is no sam to use it"):
        thinker(alone, tmp_path)
    with pytest.raises(ConfigError, match=r"gpu: .*(sees no GPU|no libraries for GPUs)"):
        thinker(config_of(tiny, gpu=True), tmp_path)


def test_a_model_that_is_wrong_ends_the_process_with_one_line(new_cloud: Callable[..., Worker]) -> None:
    cloud = new_cloud(NOWHERE, sam=None, labeller=ModelSource(uri="file:///nowhere", digest="sha256:" + "0" * 64))
    assert cloud.role.wait_exit(120) == 1
    (line,) = [line for line in cloud.role.log().splitlines() if line.startswith("cloud: ")]
    assert "/nowhere" in line
    assert "Traceback" not in cloud.role.log()


def test_wrong_files_and_a_taken_port_are_named(new_cloud: Callable[..., Worker]) -> None:
    cloud = new_cloud(NOWHERE, sam=None)
    cloud.role.kill()
    endpoints = cloud.role.folder / "endpoints.json"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoints.write_text(endpoints.read_text().replace(str(cloud.port), str(taken.getsockname()[1])))
        assert _ended(cloud) == (1, "taken by another process")
    (cloud.role.folder / "resource.key").write_text("zz")
    assert _ended(cloud) == (2, "resource.key")
    (cloud.role.folder / "config.json").write_text('{"role": "cloud", "speed": 9}')
    assert _ended(cloud) == (2, "speed")


def _ended(cloud: Worker) -> tuple[int, str]:
    """(exit code, which of the known words stands in the one line that it said)."""
    code = cloud.role.start().wait_exit(120)
    (line,) = cloud.role.log().strip().splitlines()
    return code, next(word for word in ("taken by another process", "resource.key", "speed", line) if word in line)


def test_it_stops_when_told_even_while_it_loads(new_cloud: Callable[..., Worker]) -> None:
    cloud = new_cloud(NOWHERE)
    cloud.role.wait_ready(cloud.port, path=routes.HEALTH_LIVE)
    assert cloud.role.stop() == 0
