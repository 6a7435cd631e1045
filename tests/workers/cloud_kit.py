"""Real cloud workers on loopback with tiny models, and what a router says to them."""

import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from hub_kit import OPERATOR_KEY, digest_of, token_of
from PIL import Image

from umiak_workers.contract import routes, wire
from umiak_workers.contract.config import CloudConfig, ModelSource
from umiak_workers.contract.endpoints import HUB, listen
from umiak_workers.contract.identity import resource_key
from umiak_workers.contract.messages import Box, CloudAnswerHeader, ExampleHeader, ModelRef

NAMESPACE, RESOURCE, LINE = "plant", "watch", "plant/yard"
ROUTER = f"{NAMESPACE}/{RESOURCE}/edge-1/router"
_FRAMES = itertools.count()


@dataclass(frozen=True)
class Tiny:
    """Folders and digests of the models that the tests' workers use."""

    edge: Path
    edge_digest: str
    labeller: Path
    labeller_digest: str
    sam: Path
    sam_digest: str

    def sources(self) -> dict[str, ModelSource]:
        """`labeller` and `sam` as a config names them."""
        return {
            "labeller": ModelSource(uri=self.labeller.as_uri(), digest=self.labeller_digest),
            "sam": ModelSource(uri=self.sam.as_uri(), digest=self.sam_digest),
        }


@dataclass
class Said:
    """An answer as a router reads it."""

    header: CloudAnswerHeader
    labels: tuple[np.ndarray, ...]


@dataclass
class Worker:
    """A running cloud worker."""

    role: Any
    port: int
    config: CloudConfig
    edge_digest: str
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)

    def example(self, photo: bytes, **changes: Any) -> ExampleHeader:
        """The header of a new frame."""
        facts: dict[str, Any] = {
            "frame": f"edge-1/http/{next(_FRAMES)}",
            "digest": digest_of(photo),
            "size": len(photo),
            "media": "image/jpeg" if photo.startswith(b"\xff\xd8") else "image/png",
            "captured_at": 1.0,
            "model": ModelRef(line=LINE, digest=self.edge_digest),
            "keep": False,
        }
        return ExampleHeader(**{**facts, **changes})

    def post(self, header: ExampleHeader, photo: bytes, who: str | None = ROUTER) -> httpx.Response:
        """As it goes over the wire."""
        headers, body = wire.pack(header, (photo,))
        return self.raw(headers, body, who)

    def raw(self, headers: dict[str, str], body: bytes, who: str | None = ROUTER) -> httpx.Response:
        """Any body."""
        token = {"Authorization": f"Bearer {token_of(who)}"} if who else {}
        return self.http.post(routes.EXAMPLES, content=body, headers={**headers, **token})

    def ask(self, photo: bytes, **changes: Any) -> Said:
        """Ask about a new frame; the answer must be 200."""
        return self.read(self.post(self.example(photo, **changes), photo))

    def read(self, response: httpx.Response) -> Said:
        assert response.status_code == 200, response.text
        header, rest = wire.unpack(CloudAnswerHeader, response.headers.get(wire.HEADER_LENGTH), response.content)
        pictures = wire.split(rest, tuple(region.size for region in header.regions))
        return Said(header, tuple(np.asarray(Image.open(io.BytesIO(picture))) for picture in pictures))

    def metric(self, name: str) -> float:
        """The value of one series, 0 if it is not there yet."""
        lines = self.http.get(routes.METRICS).text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), 0.0)


def photo_of(seed: int = 0, width: int = 96, height: int = 64, kind: str = "JPEG") -> bytes:
    """A blotchy photo."""
    small = np.random.default_rng(seed).integers(1, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


def box(left: int, top: int, width: int, height: int) -> Box:
    return Box(left=left, top=top, width=width, height=height)


def start_worker(role: Any, free_port: Callable[[], int], tiny: Tiny, hub_url: str, config: CloudConfig) -> Worker:
    """A cloud worker process, not waited for."""
    port = free_port()
    endpoints = {listen("cloud"): f"http://127.0.0.1:{port}", HUB: hub_url}
    made = role("cloud", config, endpoints, token_of("cloud", NAMESPACE))
    (made.folder / "resource.key").write_text(resource_key(OPERATOR_KEY, NAMESPACE, RESOURCE).hex())
    return Worker(made.start(), port, config, tiny.edge_digest)


def config_of(tiny: Tiny, **changes: Any) -> CloudConfig:
    """Labeller and SAM, small bounds."""
    facts: dict[str, Any] = {
        "namespace": NAMESPACE,
        "resource": RESOURCE,
        "line": LINE,
        "threads": 1,
        "max_image_bytes": 200_000,
        "max_image_pixels": 100_000,
        **tiny.sources(),
    }
    return CloudConfig(**{**facts, **changes})
