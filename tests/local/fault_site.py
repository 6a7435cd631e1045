"""A small real world for tests that break things: edge, cloud, hub, signer and broker as processes of `umiak up`."""

import asyncio
import io
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml
from PIL import Image

from umiak_workers.adapters.artefacts import read_artefact
from umiak_workers.bench.demo.world import LocalWorld, holds, resource
from umiak_workers.contract import routes
from umiak_workers.contract.identity import Principal, token
from umiak_workers.contract.messages import Answer, AnswerHeader, SampleList
from umiak_workers.contract.wire import HEADER_LENGTH, parse, unpack
from umiak_workers.contract.world import ContainerStatus, World
from umiak_workers.datasets.source import open_dataset

BUILTIN = Path(__file__).parents[2] / "workers/umiak_workers/builtin"
NAMESPACE, NAME, EDGE = "default", "fault", "edge-1"
DEADLINE_SECONDS = 3.0
SLACK_SECONDS = 2.0
START_SECONDS = 120.0


def resource_yaml(miner: dict[str, object]) -> str:
    """A JointInference on the built-in yard models, without SAM (a lighter cloud)."""
    edge, labeller = (read_artefact(BUILTIN / name).digest for name in ("yard-edge", "yard-cloud"))
    spec = {
        "edge": {
            "model": {"line": "yard-edge", "uri": "builtin:yard-edge", "digest": edge},
            "nodes": {"matchLabels": {"umiak.dev/site": "fault"}},
            "source": {"http": {}},
        },
        "cloud": {"labeller": {"uri": "builtin:yard-cloud", "digest": labeller}},
        "hardExamples": {"miners": [miner]},
        "deadlineMilliseconds": int(DEADLINE_SECONDS * 1000),
    }
    kind = {"apiVersion": "umiak.dev/v1alpha1", "kind": "JointInference", "metadata": {"name": NAME}, "spec": spec}
    return yaml.safe_dump(kind)


def photo(index: int) -> bytes:
    """A JPEG of the `index`-th yard scene."""
    buffer = io.BytesIO()
    Image.fromarray(open_dataset("yard:day?seed=5&frames=1000")[index].image).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@dataclass
class Site:
    """The running world and what a test does to it."""

    local: LocalWorld
    state: Path
    client: httpx.AsyncClient

    async def ready(self) -> World:
        """Wait until edge and cloud serve."""
        return await self.local.until("Ready", serving, START_SECONDS)

    def now(self) -> World:
        world = self.local.status()
        assert world is not None
        return world

    def container(self, component: str, name: str) -> ContainerStatus:
        """The container `name` of the (only) pod of a component."""
        pods = [pod for pod in self.now().pods if pod.component == component]
        return next(box for pod in pods for box in pod.containers if box.name == name)

    def kill(self, component: str, name: str) -> int:
        """kill -9 one process, by its pid."""
        pid = self.container(component, name).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    async def returned(self, component: str, name: str, old: int) -> None:
        """Wait until the container serves again as another process."""

        def again(_: World) -> bool:
            box = self.container(component, name)
            return box.pid not in (None, old) and box.ready

        await self.local.until(f"{component}/{name} to return", again, START_SECONDS)

    @property
    def router(self) -> str:
        return self.now().routers[f"{NAMESPACE}/{NAME}/{EDGE}"]

    async def push(self, sequence: int, body: bytes | None = None) -> tuple[Answer, float]:
        """One photo in, its answer and the seconds it took."""
        began = time.monotonic()
        reply = await self.client.post(
            self.router + routes.FRAMES,
            params={"source": "test", "sequence": sequence},
            content=photo(sequence) if body is None else body,
            headers={"Content-Type": "image/jpeg"},
        )
        reply.raise_for_status()
        header, _ = unpack(AnswerHeader, reply.headers.get(HEADER_LENGTH), reply.content)
        return header.answer, time.monotonic() - began

    async def push_through(self, sequence: int) -> Answer:
        """Push until it is answered, as a camera's client would over a restart."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return (await self.push(sequence))[0]
            except (httpx.HTTPError, KeyError):
                assert time.monotonic() < end, f"frame {sequence} was never answered"
                await asyncio.sleep(0.2)

    async def answers(self) -> list[Answer]:
        """The whole answer log of the edge."""
        reply = await self.client.get(self.router + routes.ANSWERS, params={"after": 0, "limit": 1000})
        reply.raise_for_status()
        found = reply.json()
        rows = found["answers"] if isinstance(found, dict) else found
        return [Answer.model_validate(row.get("answer", row)) for row in rows]

    async def samples(self) -> SampleList:
        """What the hub's replay store holds."""
        world = self.now()
        key = bytes.fromhex(Path(world.operator_key_file).read_text().strip())
        bearer = token(key, Principal("-", "-", "-", "operator"))
        path = routes.SAMPLES.format(namespace=NAMESPACE, resource=NAME)
        reply = await self.client.get(
            world.endpoints["umiak://hub"] + path,
            params={"after": 0, "limit": 1000},
            headers={"Authorization": f"Bearer {bearer}"},
        )
        reply.raise_for_status()
        return parse(SampleList, reply.content)

    async def until_stored(self, count: int, seconds: float = 60.0) -> SampleList:
        """Wait until the hub has stored `count` samples."""
        return await self.until_samples(lambda found: len(found.samples) >= count, f"{count} samples", seconds)

    async def until_samples(self, happened: Callable[[SampleList], bool], what: str, seconds: float) -> SampleList:
        end = time.monotonic() + seconds
        while True:
            try:
                found = await self.samples()
            except httpx.HTTPError:
                found = SampleList(samples=(), watermark=0)
            if happened(found):
                return found
            assert time.monotonic() < end, f"waited {seconds} s for {what}, found {len(found.samples)}"
            await asyncio.sleep(0.3)


def serving(world: World) -> bool:
    """Ready, with a signed head and every container up."""
    found = resource(world, "JointInference", NAME)
    boxes = [box for pod in world.pods for box in pod.containers]
    return (
        holds(found, "Ready")
        and bool(found and found.status.get("line", {}).get("digest"))
        and all(b.ready for b in boxes)
    )
