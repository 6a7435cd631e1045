"""A real hub process and real cloud workers, with tiny models."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from cloud_kit import Tiny, Worker, config_of, start_worker
from hub_kit import HubKit, hub_config, make_hub
from sam_kit import make_tiny_sam


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., str]) -> Tiny:
    """An edge model, a labeller and a promptable segmenter, all untrained."""
    root = tmp_path_factory.mktemp("tiny")
    edge, labeller, sam = root / "edge", root / "labeller", root / "sam"
    return Tiny(edge, tiny_model(edge, 1), labeller, tiny_model(labeller, 2), sam, make_tiny_sam(sam))


@pytest.fixture(scope="session")
def hub(shared_role: Any, tmp_path_factory: pytest.TempPathFactory, tiny: Tiny) -> Iterator[HubKit]:
    """A real hub that knows the edge model and keeps the replay of plant/watch."""
    kit = make_hub(shared_role, tmp_path_factory.mktemp("hub"), hub_config(), {}).start()
    kit.client("operator").push_model(tiny.edge)
    kit.replay_of_one()
    yield kit
    kit.stop()


@pytest.fixture(scope="session")
def cloud(shared_role: Any, free_port: Callable[[], int], tiny: Tiny, hub: HubKit) -> Iterator[Worker]:
    """One worker with labeller and SAM for all tests that do not break it."""
    worker = start_worker(shared_role, free_port, tiny, hub.url, config_of(tiny))
    worker.role.wait_ready(worker.port, seconds=240)
    yield worker
    worker.http.close()


@pytest.fixture
def new_cloud(role: Any, free_port: Callable[[], int], tiny: Tiny) -> Iterator[Callable[..., Worker]]:
    """`new_cloud(hub_url, **config) -> Worker`, started and not waited for."""
    made: list[Worker] = []

    def make(hub_url: str, **changes: Any) -> Worker:
        made.append(start_worker(role, free_port, tiny, hub_url, config_of(tiny, **changes)))
        return made[-1]

    yield make
    for worker in made:
        worker.http.close()
