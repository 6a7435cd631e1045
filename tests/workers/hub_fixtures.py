"""Real hub processes: one that all tests share, each in a namespace of its own, and fresh ones for the rough tests."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_kit import HubKit, hub_config, make_hub

_SPACES = itertools.count(1)


@pytest.fixture(scope="session")
def shared_hub(shared_role: Any, tmp_path_factory: pytest.TempPathFactory) -> HubKit:
    """One hub for the session."""
    return make_hub(shared_role, tmp_path_factory.mktemp("hub"), hub_config(), {}).start()


@pytest.fixture
def hub(shared_hub: HubKit) -> Iterator[HubKit]:
    """The shared hub, in a namespace that no other test uses."""
    kit = HubKit(shared_hub.role, shared_hub.port, shared_hub.state, f"plant-{next(_SPACES)}")
    yield kit
    kit.stop()


@pytest.fixture
def new_hub(role: Any, tmp_path: Path) -> Iterator[Callable[..., HubKit]]:
    """`new_hub(endpoints={}, **config) -> HubKit`, started: for tests that kill it or give it bounds."""
    made: list[HubKit] = []

    def make(endpoints: dict[str, str] | None = None, **config: Any) -> HubKit:
        made.append(make_hub(role, tmp_path / f"hub-{len(made)}", hub_config(**config), endpoints or {}).start())
        return made[-1]

    yield make
    for hub in made:
        hub.stop()


@pytest.fixture(scope="session")
def models(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., str]
) -> Callable[[int], tuple[Path, str]]:
    """`models(seed) -> (folder, digest)`: real model artefacts, another one for each seed."""
    root = tmp_path_factory.mktemp("models")

    def make(seed: int) -> tuple[Path, str]:
        folder = root / str(seed)
        return folder, tiny_model(folder, seed)

    return make
