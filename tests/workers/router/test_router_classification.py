"""A router that carries classes: the same way, the same queue, and nothing that knows which task it is."""

import ast
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import httpx
import numpy as np
import pytest

import umiak_workers.router
from umiak_workers.adapters.memory import FakeClock
from umiak_workers.contract import wire
from umiak_workers.contract.errors import InvalidPrediction
from umiak_workers.contract.messages import (
    Box,
    CloudAnswerHeader,
    ExampleHeader,
    PredictionHeader,
    Region,
    Scores,
    Task,
)
from umiak_workers.core.tasks.classification import pack
from umiak_workers.router.clients import HttpEdge
from umiak_workers.router.frames import CloudReply, Prediction

Make = Callable[..., Any]
NAMES = ("nobody", "person")
EDGE, CLOUD = pack(NAMES, np.array([0.6, 0.4])), pack(NAMES, np.array([0.1, 0.9]))
CLASSES: Task = "image-classification"


class EdgeOfClasses:
    """Not sure."""

    async def predict(self, photo: bytes, media: str) -> Prediction:
        header = PredictionHeader(
            task=CLASSES,
            model="sha256:" + "a" * 64,
            line="yard/watch",
            width=8,
            height=6,
            scores=Scores(margin=0.2, max_probability=0.6, entropy=0.67),
            inference_milliseconds=1,
            mask_size=len(EDGE),
        )
        return Prediction(header, EDGE)


class CloudOfClasses:
    """Answers `payload` as an answer of `task` after `seconds`."""

    def __init__(self, clock: FakeClock, hub: Any, payload: bytes = CLOUD, task: Task = CLASSES, seconds: float = 0.3):
        self.clock, self.hub, self.payload, self.task, self.seconds = clock, hub, payload, task, seconds
        self.asked: list[ExampleHeader] = []

    async def ask(self, header: ExampleHeader, photo: bytes) -> CloudReply:
        self.asked.append(header)
        await self.clock.sleep(self.seconds)
        region = Region(box=Box(left=0, top=0, width=8, height=6), size=len(self.payload), confidence=0.9)
        said = CloudAnswerHeader(
            frame=header.frame,
            task=self.task,
            regions=(region,),
            receipt=self.hub.put(header),
            models={"labeller": "l"},
        )
        return CloudReply(said, (self.payload,), len(photo), 40)


def world_of(inside: Make, clock: FakeClock, **cloud: Any) -> Any:
    world = inside()
    world.pipeline._edge = EdgeOfClasses()
    world.cloud = CloudOfClasses(clock, world.hub, **cloud)
    world.gate._cloud = world.cloud
    return world


async def answered(world: Any, clock: FakeClock, seconds: float = 60) -> Any:
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await clock.advance(seconds)
    return task.result()


async def test_a_hard_photo_gets_the_clouds_class(inside: Make, clock: FakeClock) -> None:
    world = world_of(inside, clock)
    outcome = await answered(world, clock)
    assert (outcome.answer.task, outcome.answer.answered_by, outcome.answer.reason) == (
        CLASSES,
        "cloud",
        "CloudAnswered",
    )
    assert (outcome.payloads.final, outcome.payloads.edge, outcome.payloads.cloud) == (CLOUD, EDGE, CLOUD)
    assert [header.task for header in world.cloud.asked] == [CLASSES]
    assert await world.waiting() == 0
    assert [answer.task for answer in await world.log()] == [CLASSES]


async def test_a_late_class_is_a_later_revision(inside: Make, clock: FakeClock) -> None:
    world = world_of(inside, clock, seconds=5.0)
    outcome = await answered(world, clock)
    assert (outcome.answer.reason, outcome.payloads.final) == ("DeadlineNear", EDGE)
    late = await world.answers.find(outcome.answer.frame, 1)
    assert (late.answer.task, late.payloads.final, late.payloads.edge) == (CLASSES, CLOUD, EDGE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "semantic-segmentation"},
        {"payload": b"{}"},
        {"payload": pack(("cat", "dog"), np.array([0.5, 0.5]))},
    ],
)
async def test_an_answer_that_does_not_fit_leaves_the_edges(inside: Make, clock: FakeClock, wrong: Any) -> None:
    outcome = await answered(world_of(inside, clock, **wrong), clock)
    assert (outcome.answer.answered_by, outcome.answer.reason) == ("edge", "CloudUnreachable")
    assert outcome.payloads.final == EDGE


async def test_an_edge_server_of_another_task_gives_no_answer() -> None:
    header = PredictionHeader(
        model="sha256:" + "a" * 64,
        line="yard/watch",
        width=8,
        height=6,
        scores=Scores(margin=0.2, max_probability=0.6, entropy=0.67),
        inference_milliseconds=1,
        mask_size=2,
    )
    headers, body = wire.pack(header, (b"{}",))
    said = httpx.MockTransport(lambda request: httpx.Response(200, headers=headers, content=body))
    for task, fits in (("semantic-segmentation", True), (CLASSES, False)):
        async with HttpEdge("http://127.0.0.1:9", 1.0, task) as edge:
            await edge._http.aclose()
            edge._http = httpx.AsyncClient(transport=said, base_url="http://127.0.0.1:9")
            if fits:
                assert (await edge.predict(b"photo", "image/jpeg")).payload == b"{}"
                continue
            with pytest.raises(InvalidPrediction, match="answers semantic-segmentation, asked for is image-class"):
                await edge.predict(b"photo", "image/jpeg")


def test_nothing_in_the_router_names_a_task() -> None:
    for file in Path(umiak_workers.router.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} & set(get_args(Task))
        assert not named, file.name
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & {"umiak_workers.core.mask_png", "umiak_workers.core.fuse"}, file.name
