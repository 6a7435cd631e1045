"""A router that carries classes, boxes and joints: one way, one queue, and nothing that knows which task it is.

Whatever the task, the cloud's answer stands if it fits the edge's.
"""

import ast
import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import httpx
import numpy as np
import pytest

import umiak_workers.router
from umiak_workers.adapters.memory import FakeClock
from umiak_workers.contract import wire
from umiak_workers.contract.config import MinerRule
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
from umiak_workers.core.detection import Detections, encode_boxes
from umiak_workers.core.keypoints import JOINTS, Pose, encode_joints
from umiak_workers.core.scores import box_scores, certainty_scores
from umiak_workers.core.tasks.classification import pack
from umiak_workers.router.clients import HttpEdge
from umiak_workers.router.frames import CloudReply, Prediction

Make = Callable[..., Any]
BOX_RULES = (MinerRule(miner="BoxThreshold", threshold=0.5, nothing_found=1),)


def kinds(*shares: float, names: tuple[str, ...] = ("nobody", "person")) -> bytes:
    return pack(names, np.array(shares))


def boxes(*confidences: float) -> bytes:
    sides = np.tile(np.float32([1, 1, 3, 3]), (len(confidences), 1))
    return encode_boxes(Detections(sides, np.zeros(len(confidences), np.int64), np.float32(confidences)), ("person",))


def joints(sure: float, names: tuple[str, ...] = JOINTS) -> bytes:
    count = len(names)
    return encode_joints(Pose(np.ones((count, 2), np.float32), np.full(count, sure, np.float32)), names)


def header_of(task: Task, scores: Scores, size: int) -> PredictionHeader:
    return PredictionHeader(
        task=task,
        model="sha256:" + "a" * 64,
        line="yard/watch",
        width=8,
        height=6,
        scores=scores,
        inference_milliseconds=1,
        mask_size=size,
    )


@dataclass
class Edge:
    """Answers `payload` of `task`."""

    task: Task
    payload: bytes
    scores: Scores

    async def predict(self, photo: bytes, media: str) -> Prediction:
        return Prediction(header_of(self.task, self.scores, len(self.payload)), self.payload)


@dataclass
class Cloud:
    """Answers `payload` of `task` after `seconds`."""

    clock: FakeClock
    hub: Any
    payload: bytes
    task: Task
    seconds: float = 0.3
    asked: list[ExampleHeader] = field(default_factory=list)

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


async def answered(inside: Make, clock: FakeClock, edge: Edge, cloud: bytes, **changes: Any) -> tuple[Any, Any]:
    """(outcome, world) of one photo."""
    world = inside(**({"rules": BOX_RULES} if edge.task == "object-detection" else {}))
    world.pipeline._edge = edge
    world.cloud = Cloud(clock, world.hub, cloud, **{"task": edge.task, **changes})
    world.gate._cloud = world.cloud
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await clock.advance(60)
    return task.result(), world


def classifier() -> Edge:
    """Not sure."""
    scores = Scores(margin=0.2, max_probability=0.6, entropy=0.67)
    return Edge("image-classification", kinds(0.6, 0.4), scores)


def detector(*confidences: float) -> Edge:
    return Edge("object-detection", boxes(*confidences), box_scores(np.float32(confidences)))


def poser(sure: float) -> Edge:
    return Edge("keypoint-detection", joints(sure), certainty_scores(sure, np.full(14, sure)))


EACH = pytest.mark.parametrize(
    ("edge", "cloud"),
    [(classifier(), kinds(0.1, 0.9)), (detector(0.4), boxes(0.95)), (poser(0.4), joints(0.8))],
    ids=["classes", "boxes", "joints"],
)


@EACH
async def test_a_hard_photo_gets_the_clouds_answer(inside: Make, clock: FakeClock, edge: Edge, cloud: bytes) -> None:
    outcome, world = await answered(inside, clock, edge, cloud)
    answer, payloads = outcome.answer, outcome.payloads
    assert (answer.task, answer.answered_by, answer.reason) == (edge.task, "cloud", "CloudAnswered")
    assert (payloads.final, payloads.edge, payloads.cloud) == (cloud, edge.payload, cloud)
    assert [header.task for header in world.cloud.asked] == [edge.task]
    assert await world.waiting() == 0
    assert [(logged.task, logged.scores) for logged in await world.log()] == [(edge.task, edge.scores)]


@EACH
async def test_a_late_answer_is_a_later_revision(inside: Make, clock: FakeClock, edge: Edge, cloud: bytes) -> None:
    outcome, world = await answered(inside, clock, edge, cloud, seconds=5.0)
    assert (outcome.answer.reason, outcome.payloads.final) == ("DeadlineNear", edge.payload)
    late = await world.answers.find(outcome.answer.frame, 1)
    assert (late.answer.task, late.payloads.final, late.payloads.edge) == (edge.task, cloud, edge.payload)


@pytest.mark.parametrize(
    ("edge", "cloud", "changes"),
    [
        (classifier(), kinds(0.1, 0.9), {"task": "semantic-segmentation"}),
        (classifier(), b"{}", {}),
        (classifier(), kinds(0.5, 0.5, names=("cat", "dog")), {}),
        (detector(0.4), b'{"boxes":7}', {}),
        (detector(0.4), joints(0.9), {}),
        (poser(0.3), joints(0.9, ("neck",)), {}),
        (poser(0.3), boxes(0.9), {}),
    ],
)
async def test_an_answer_that_does_not_fit_leaves_the_edges(
    inside: Make, clock: FakeClock, edge: Edge, cloud: bytes, changes: Any
) -> None:
    outcome, _ = await answered(inside, clock, edge, cloud, **changes)
    assert (outcome.answer.answered_by, outcome.answer.reason) == ("edge", "CloudUnreachable")
    assert outcome.payloads.final == edge.payload


@pytest.mark.parametrize(
    ("edge", "rule"),
    [
        (detector(0.9, 0.7), ""),
        (detector(0.9, 0.05), ""),
        (detector(0.4), "BoxThreshold"),
        (detector(), "BoxThreshold"),
        (poser(0.6), ""),
        (poser(0.4), "ScoreMargin"),
    ],
)
async def test_what_was_found_is_judged_by_how_sure_the_edge_is(
    inside: Make, clock: FakeClock, edge: Edge, rule: str
) -> None:
    cloud = boxes(0.95) if edge.task == "object-detection" else joints(0.8)
    outcome, world = await answered(inside, clock, edge, cloud)
    assert outcome.answer.rule == rule
    assert (outcome.answer.answered_by, outcome.payloads.final) == (
        ("cloud", cloud) if rule else ("edge", edge.payload)
    )
    assert len(world.cloud.asked) == bool(rule)
    assert [answer.scores for answer in await world.log()] == [edge.scores]


async def test_an_edge_server_of_another_task_gives_no_answer() -> None:
    headers, body = wire.pack(header_of("semantic-segmentation", classifier().scores, 2), (b"{}",))
    said = httpx.MockTransport(lambda request: httpx.Response(200, headers=headers, content=body))
    for task, fits in (("semantic-segmentation", True), ("image-classification", False)):
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
