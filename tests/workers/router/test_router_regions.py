"""Uploads in part, end to end: a real edge server, cloud worker and hub, one router per way of sending, real HTTP."""

import io
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from cloud_kit import LINE, NAMESPACE, RESOURCE, ROUTER, Tiny, config_of, start_worker
from hub_kit import HubKit, digest_of, eventually, hub_config, make_hub, token_of

from umiak_workers.adapters.slots import Slots
from umiak_workers.contract import endpoints, routes, wire
from umiak_workers.contract.config import EdgeConfig, MinerRule, Regions, RouterConfig, Tiling
from umiak_workers.contract.messages import Answer, AnswerHeader, PredictionHeader, Tiles
from umiak_workers.core.mask_png import decode_mask
from umiak_workers.core.regions import Grid, hard_tiles

pytestmark = pytest.mark.processes
HEIGHT, WIDTH, SIDE = 256, 384, 32
LOOPBACK = "http://127.0.0.1:"


def photo_of(seed: int) -> bytes:
    """A photo full of detail."""
    rng = np.random.default_rng(seed)
    blotches = Image.fromarray(rng.integers(1, 256, (8, 12, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT))
    detail = np.asarray(blotches).astype(int) + rng.integers(-40, 41, (HEIGHT, WIDTH, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(detail, 1, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


@dataclass
class Yard:
    """Edge server, cloud worker and hub, all running, and where they are."""

    edge: str
    cloud: str
    hub: HubKit
    role: Callable[..., Any]
    free_port: Callable[[], int]

    def tiles(self, photo: bytes) -> Tiles:
        """Where the edge server says the photo is hard."""
        response = httpx.post(self.edge + routes.PREDICT, content=photo, timeout=60)
        header, _ = wire.unpack(PredictionHeader, response.headers[wire.HEADER_LENGTH], response.content)
        assert header.tiles is not None
        return header.tiles

    def router(self, state: Path, source: str, regions: Regions | None) -> "Site":
        """A running router that calls every frame hard."""
        port = self.free_port()
        config = RouterConfig(
            namespace=NAMESPACE,
            resource=RESOURCE,
            edge="edge-1",
            line=LINE,
            rules=(MinerRule(miner="CloudOnly"),),
            deadline_milliseconds=120_000,
            heartbeat_seconds=0.2,
            regions=regions,
        )
        known = {
            endpoints.edge_server(): self.edge,
            endpoints.listen("router"): f"{LOOPBACK}{port}",
            endpoints.cloud(NAMESPACE, RESOURCE): self.cloud,
            endpoints.HUB: self.hub.url,
        }
        process = self.role("router", config, known, token_of(ROUTER), state)
        process.start().wait_ready(port)
        return Site(f"{LOOPBACK}{port}", source, state)


@dataclass
class Site:
    """One running router."""

    url: str
    source: str
    state: Path

    def push(self, photo: bytes) -> tuple[Answer, dict[str, np.ndarray]]:
        """The final answer and all masks."""
        asked = {"source": self.source, "masks": "all"}
        response = httpx.post(self.url + routes.FRAMES, params=asked, content=photo, timeout=200)
        assert response.status_code == 200, response.text
        header, rest = wire.unpack(AnswerHeader, response.headers[wire.HEADER_LENGTH], response.content)
        pictures = wire.split(rest, tuple(header.masks.values()))
        return header.answer, {name: decode_mask(one) for name, one in zip(header.masks, pictures, strict=True)}

    def log(self) -> list[dict[str, Any]]:
        """Every answer so far."""
        page = httpx.get(self.url + routes.ANSWERS, timeout=20).json()
        return [entry["answer"] for entry in page["answers"]]

    def metric(self, name: str) -> float:
        """The value of one series."""
        lines = httpx.get(self.url + routes.METRICS, timeout=20).text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))

    def emptied(self) -> bool:
        """Whether no example is left on its disk."""
        with closing(sqlite3.connect(self.state / "queue.db")) as queue:
            return queue.execute("select count(*) from examples").fetchone() == (0,)


@pytest.fixture(scope="module")
def yard(shared_role: Any, free_port: Any, tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A tiny edge model and, in the cloud, another one as labeller."""
    root = tmp_path_factory.mktemp("yard")
    hub = make_hub(shared_role, root / "hub", hub_config(), {}).start()
    slots, port = Slots(root / "edge"), free_port()
    digest = tiny_model(slots.folder("a"), 1)
    slots.write_current("a", digest)
    edge = shared_role(
        "edge",
        EdgeConfig(line=LINE, regions=Tiling(side=SIDE)),
        {endpoints.listen("edge"): f"{LOOPBACK}{port}"},
        state=root / "edge",
    ).start()
    labeller = root / "labeller"
    tiny = Tiny(slots.folder("a"), digest, labeller, tiny_model(labeller, 2), root / "none", digest)
    hub.client("operator").push_model(tiny.edge)
    hub.replay_of_one()
    cloud = start_worker(shared_role, free_port, tiny, hub.url, config_of(tiny, sam=None))
    edge.wait_ready(port)
    cloud.role.wait_ready(cloud.port)
    yield Yard(f"{LOOPBACK}{port}", f"{LOOPBACK}{cloud.port}", hub, shared_role, free_port)
    cloud.http.close()
    hub.stop()


def upper_fifth(tiles: Tiles) -> float:
    """A threshold that about a fifth of the tiles is above."""
    return float(np.quantile(tiles.hardness, 0.8)) / 255


def sample_of(hub: HubKit, frame: str) -> bytes | None:
    """The photo that the hub keeps of a frame, None if it keeps none."""
    trainer = hub.client("trainer")
    kept = trainer.every_sample(NAMESPACE, RESOURCE, 10**6).samples
    found = next((one for one in kept if one.frame == frame), None)
    return None if found is None else trainer.sample_bytes(NAMESPACE, RESOURCE, found.position, "image")


def test_a_part_costs_fewer_bytes_and_the_whole_photo_is_learned_from_later(yard: Yard, tmp_path: Path) -> None:
    photo = photo_of(1)
    tiles = yard.tiles(photo)
    regions = Regions(threshold=upper_fifth(tiles))
    whole = yard.router(tmp_path / "whole", "whole", None)
    part = yard.router(tmp_path / "part", "part", regions)
    (all_of_it, _), (some, masks) = whole.push(photo), part.push(photo)
    assert (all_of_it.reason, some.reason) == ("CloudAnswered", "CloudAnswered")
    assert all_of_it.bytes_up > len(photo)
    assert some.bytes_up < all_of_it.bytes_up / 2
    assert "foveate" in some.stages_milliseconds
    sharp = Grid(HEIGHT, WIDTH, SIDE).pixels(hard_tiles(tiles, regions.threshold))
    assert some.sharp_area == pytest.approx(sharp.mean())
    assert 0.05 < sharp.mean() < 0.35
    assert np.array_equal(masks["final"][~sharp], masks["edge"][~sharp])
    assert (masks["cloud"][~sharp] == 255).all()
    assert np.array_equal(masks["final"][sharp], masks["cloud"][sharp])
    assert (masks["final"][sharp] != masks["edge"][sharp]).any()
    eventually(lambda: sample_of(yard.hub, some.frame), 120)
    assert sample_of(yard.hub, some.frame) == photo, "whole, and as it came"
    eventually(part.emptied, 60)
    assert [(entry["revision"], entry["answered_by"]) for entry in part.log()] == [(0, "cloud")]
    assert part.metric('umiak_bytes_total{direction="up"}') > some.bytes_up + len(photo)
    assert part.metric("umiak_sharp_area_ratio_count") == 1


def test_where_parts_are_not_learned_from_nothing_else_goes_up(yard: Yard, tmp_path: Path) -> None:
    photo = photo_of(2)
    regions = Regions(threshold=upper_fifth(yard.tiles(photo)), learning="None")
    site = yard.router(tmp_path / "state", "never", regions)
    answer, _ = site.push(photo)
    assert answer.reason == "CloudAnswered"
    assert answer.sharp_area is not None
    eventually(site.emptied, 60)
    assert site.metric('umiak_bytes_total{direction="up"}') == answer.bytes_up
    assert [entry["revision"] for entry in site.log()] == [0]
    assert yard.hub.client("router").receipt(NAMESPACE, RESOURCE, answer.frame, digest_of(photo)) is None
