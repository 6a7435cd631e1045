"""A router that carries boxes and joints: rules of boxes judge them, the cloud's answer stands if it fits."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from umiak_workers.adapters.memory import FakeClock
from umiak_workers.contract.config import MinerRule
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
from umiak_workers.router.frames import CloudReply, Prediction

Make = Callable[..., Any]
RULES = (MinerRule(miner="BoxThreshold", threshold=0.5, nothing_found=1),)


def boxes(*confidences: float) -> bytes:
    sides = np.tile(np.float32([1, 1, 3, 3]), (len(confidences), 1))
    return encode_boxes(Detections(sides, np.zeros(len(confidences), np.int64), np.float32(confidences)), ("person",))


def joints(sure: float, names: tuple[str, ...] = JOINTS) -> bytes:
    count = len(names)
    return encode_joints(Pose(np.ones((count, 2), np.float32), np.full(count, sure, np.float32)), names)


@dataclass
class Edge:
    """Answers `payload` of `task`."""

    task: Task
    payload: bytes
    scores: Scores

    async def predict(self, photo: bytes, media: str) -> Prediction:
        header = PredictionHeader(
            task=self.task,
            model="sha256:" + "a" * 64,
            line="yard/watch",
            width=8,
            height=6,
            scores=self.scores,
            inference_milliseconds=1,
            mask_size=len(self.payload),
        )
        return Prediction(header, self.payload)


@dataclass
class Cloud:
    """Answers `payload` of `task` after `seconds`."""

    clock: FakeClock
    hub: Any
    task: Task
    payload: bytes
    seconds: float = 0.3
    asked: int = 0

    async def ask(self, header: ExampleHeader, photo: bytes) -> CloudReply:
        self.asked += 1
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
    world = inside(**({"rules": RULES} if edge.task == "object-detection" else {}))
    world.pipeline._edge = edge
    world.cloud = Cloud(clock, world.hub, edge.task, cloud, **changes)
    world.gate._cloud = world.cloud
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await clock.advance(60)
    return task.result(), world


def detector(*confidences: float) -> Edge:
    return Edge("object-detection", boxes(*confidences), box_scores(np.float32(confidences)))


@pytest.mark.parametrize(
    ("confidences", "hard"), [((0.9, 0.7), False), ((0.9, 0.05), False), ((0.4,), True), ((), True)]
)
async def test_boxes_are_judged_by_their_confidences(
    inside: Make, clock: FakeClock, confidences: tuple[float, ...], hard: bool
) -> None:
    edge, cloud = detector(*confidences), boxes(0.95)
    outcome, world = await answered(inside, clock, edge, cloud)
    assert (outcome.answer.task, outcome.answer.rule) == ("object-detection", "BoxThreshold" if hard else "")
    assert (outcome.answer.answered_by, outcome.payloads.final) == (
        ("cloud", cloud) if hard else ("edge", edge.payload)
    )
    assert world.cloud.asked == hard
    (logged,) = await world.log()
    assert logged.scores == edge.scores


async def test_joints_are_judged_by_how_sure_they_are(inside: Make, clock: FakeClock) -> None:
    for sure, by in ((0.4, "cloud"), (0.6, "edge")):
        pose = joints(sure)
        edge = Edge("keypoint-detection", pose, certainty_scores(sure, np.full(14, sure)))
        outcome, _ = await answered(inside, clock, edge, joints(0.8))
        assert outcome.answer.answered_by == by
        assert outcome.payloads.final == (joints(0.8) if by == "cloud" else pose)


@pytest.mark.parametrize(
    ("edge", "cloud"),
    [
        (detector(0.4), b'{"boxes":7}'),
        (detector(0.4), joints(0.9)),
        (Edge("keypoint-detection", joints(0.3), certainty_scores(0.3, np.full(14, 0.3))), joints(0.9, ("neck",))),
        (Edge("keypoint-detection", joints(0.3), certainty_scores(0.3, np.full(14, 0.3))), boxes(0.9)),
    ],
)
async def test_an_answer_that_does_not_fit_leaves_the_edges(
    inside: Make, clock: FakeClock, edge: Edge, cloud: bytes
) -> None:
    outcome, _ = await answered(inside, clock, edge, cloud)
    assert (outcome.answer.answered_by, outcome.answer.reason) == ("edge", "CloudUnreachable")
    assert outcome.payloads.final == edge.payload


async def test_late_boxes_are_a_later_revision(inside: Make, clock: FakeClock) -> None:
    edge = detector(0.4)
    outcome, world = await answered(inside, clock, edge, boxes(0.95), seconds=5.0)
    assert (outcome.answer.reason, outcome.payloads.final) == ("DeadlineNear", edge.payload)
    late = await world.answers.find(outcome.answer.frame, 1)
    assert (late.answer.task, late.payloads.final, late.payloads.edge) == (
        "object-detection",
        boxes(0.95),
        edge.payload,
    )
