"""A real edge server on loopback with a tiny model in its first slot."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from umiak_workers.adapters.slots import Slots
from umiak_workers.contract.config import EdgeConfig

LINE = "yard/street"


@dataclass
class Server:
    """Where it is, its files, its process and the digest that it serves."""

    port: int
    state: Path
    role: Any
    digest: str

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> dict[str, Any]:
        """What /readyz says."""
        return dict(json.loads(httpx.get(self.url + "/readyz", timeout=5).content))


def jpeg(width: int = 96, height: int = 64, seed: int = 0, **options: Any) -> bytes:
    """A noisy JPEG."""
    pixels = np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def png(pixels: np.ndarray) -> bytes:
    """A PNG of exactly these pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _new(state: Path, port: int, role: Callable[..., Any], tiny_model: Callable[..., str], installed: bool) -> Server:
    digest = tiny_model(state / "slots" / "a")
    if installed:
        Slots(state).write_current("a", digest)
        Slots(state).mark_good(digest)
    config = EdgeConfig(line=LINE, max_image_bytes=200_000, max_image_pixels=100_000)
    endpoints = {"umiak://listen/edge": f"http://127.0.0.1:{port}"}
    return Server(port, state, role("edge", config, endpoints, state=state), digest)


@pytest.fixture
def new_server(
    tmp_path: Path, role: Callable[..., Any], free_port: Callable[[], int], tiny_model: Callable[..., str]
) -> Callable[..., Server]:
    """`new_server(installed=True)` -> Server, not started."""
    return lambda installed=True: _new(tmp_path / "state", free_port(), role, tiny_model, installed)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    shared_role: Callable[..., Any],
    free_port: Callable[[], int],
    tiny_model: Callable[..., str],
) -> Iterator[Server]:
    """A running edge server that the module's tests share."""
    made = _new(tmp_path_factory.mktemp("edge") / "state", free_port(), shared_role, tiny_model, True)
    made.role.start().wait_ready(made.port)
    yield made
    assert made.role.stop() == 0


@pytest.fixture(name="jpeg")
def jpeg_fixture() -> Callable[..., bytes]:
    """`jpeg(width, height, seed)`."""
    return jpeg


@pytest.fixture(name="png")
def png_fixture() -> Callable[[np.ndarray], bytes]:
    """`png(pixels)`."""
    return png
