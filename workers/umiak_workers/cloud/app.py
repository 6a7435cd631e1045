"""The cloud worker's one route: a hard example in, regions and a receipt out."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response

from umiak_workers.adapters import serving
from umiak_workers.adapters.auth import Gate
from umiak_workers.adapters.photo import media_of, upload_media_of
from umiak_workers.cloud.desk import Desk, Example, Thought
from umiak_workers.cloud.edge_models import EdgeModels
from umiak_workers.cloud.metrics import CloudMetrics
from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.store import Store
from umiak_workers.cloud.waiting import WaitingRoom
from umiak_workers.contract import routes, wire
from umiak_workers.contract.config import CloudConfig
from umiak_workers.contract.errors import InvalidInput, Refused, UmiakError, Unavailable
from umiak_workers.contract.identity import Principal, verify_within
from umiak_workers.contract.messages import CloudAnswerHeader, ExampleHeader, Receipt, SampleHeader
from umiak_workers.predictors.answering import Answering

HEADER_BYTES = 64 * 1024
"""Most bytes of an example's JSON header."""
FETCHES = 4
"""Edge models that may be on their way from the hub at once."""


@dataclass
class Cloud:
    """What the route works with."""

    config: CloudConfig
    key: bytes
    models: EdgeModels
    store: Store
    metrics: CloudMetrics
    reason: str = "the models are being loaded"
    fetches: dict[str, "asyncio.Task[Answering]"] = field(default_factory=dict)
    desk: Desk = field(init=False)
    room: WaitingRoom[Example, Thought] = field(init=False)

    def __post_init__(self) -> None:
        self.desk = Desk(self.config, self.metrics)
        together = self.config.batch if self.config.sam else 1  # nothing else is faster for several at once
        self.room = WaitingRoom(self.config.max_waiting, together, self.desk.begin)

    def readiness(self) -> Mapping[str, object]:
        """Ready once labeller and SAM have answered their golden inputs."""
        return {"ready": self.desk.mind is not None, "reason": "" if self.desk.mind else self.reason}

    def close(self) -> None:
        """Let go of the threads."""
        self.room.close()
        self.store.close()


def build(cloud: Cloud) -> FastAPI:
    """The app; it does not listen."""
    app = serving.new_app("cloud", cloud.readiness, cloud.metrics.registry)
    gate = Gate(partial(verify_within, cloud.key))
    cloud.metrics.watch("umiak_cloud_waiting", "Examples that run or wait", lambda: cloud.room.waiting)
    cloud.metrics.watch("umiak_cloud_edge_models", "Edge models kept ready", lambda: len(cloud.models))
    cloud.metrics.watch("umiak_cloud_cache_bytes", "Answers remembered", lambda: cloud.desk.opinions.bytes)

    @app.post(routes.EXAMPLES)
    async def example(request: Request, who: Annotated[Principal, Depends(gate)]) -> Response:
        """An ExampleHeader and its photo in, a CloudAnswerHeader and payloads out."""
        try:
            answer = await _answer(cloud, request, who)
        except UmiakError as error:
            cloud.metrics.examples.labels(type(error).__name__).inc()
            raise
        cloud.metrics.examples.labels("answered").inc()
        return answer

    return app


async def _answer(cloud: Cloud, request: Request, who: Principal) -> Response:
    _may_ask(who, cloud.config)
    if cloud.desk.mind is None:
        raise Unavailable(cloud.reason)
    cloud.room.check()
    body = await serving.read_body(request, cloud.config.max_image_bytes + HEADER_BYTES)
    header, photo = read_example(body, request.headers.get(wire.HEADER_LENGTH), who, cloud.config)
    edge = await _edge_model(cloud, header.model.digest)
    stages = Stages()
    thought = await cloud.room.ask(Example(header, photo, edge, stages), stages)
    with stages.timed("store"):
        receipt = await _keep(cloud, header, photo, thought) if header.keep else None
    cloud.metrics.took(stages.milliseconds)
    said = CloudAnswerHeader(
        frame=header.frame,
        task=header.task,
        regions=thought.regions,
        receipt=receipt,
        models=thought.opinion.models,
        stages_milliseconds=stages.milliseconds,
    )
    headers, packed = wire.pack(said, thought.pictures)
    return Response(packed, headers=headers)


def _may_ask(who: Principal, config: CloudConfig) -> None:
    if (who.namespace, who.resource, who.role) != (config.namespace, config.resource, "router"):
        raise Refused(f"{who} is no router of {config.namespace}/{config.resource}", 403)


def read_example(body: bytes, length: str | None, who: Principal, config: CloudConfig) -> tuple[ExampleHeader, bytes]:
    """(header, photo) of a request, each fact that can be checked without decoding the photo checked.

    Raises MessageError, InvalidInput, or Refused 403.
    """
    header, rest = wire.unpack(ExampleHeader, length, body)
    (photo,) = wire.split(rest, (header.size,))
    if who.edge not in ("-", header.frame.partition("/")[0]):
        raise Refused(f"{who} may not send frames of {header.frame.partition('/')[0]}", 403)
    if header.model.line != config.line:
        raise InvalidInput(f"model.line: {header.model.line} is not answered here, {config.line} is")
    if header.task != config.task:
        raise InvalidInput(f"task: {header.task} is not answered here, {config.task} is")
    if not header.answer and not header.keep:
        raise InvalidInput("answer and keep are both false: nothing is asked for")
    media = media_of(photo) if header.keep else upload_media_of(photo)  # only photos as they came are kept
    if media != header.media:
        raise InvalidInput(f"media: {header.media} was announced, the photo is {media}")
    digest = "sha256:" + hashlib.sha256(photo).hexdigest()
    if digest != header.digest:
        raise InvalidInput(f"digest: {header.digest} was announced, the photo has {digest}")
    return header, photo


async def _edge_model(cloud: Cloud, digest: str) -> Answering:
    """The edge model an example names; who asks for the same one meanwhile waits for the same download."""
    found = cloud.models.known(digest)
    if found is not None:
        return found
    if digest not in cloud.fetches:
        if len(cloud.fetches) >= FETCHES:
            raise Unavailable(f"edge model {digest}: {len(cloud.fetches)} others are being fetched")
        task = asyncio.create_task(asyncio.to_thread(cloud.models.get, digest))
        cloud.fetches[digest] = task
        task.add_done_callback(lambda done: _fetched(cloud, digest, done))
    return await asyncio.shield(cloud.fetches[digest])


def _fetched(cloud: Cloud, digest: str, task: "asyncio.Task[Answering]") -> None:
    del cloud.fetches[digest]
    if not task.cancelled():
        task.exception()  # read, so that callers who left do not make a warning of it


async def _keep(cloud: Cloud, header: ExampleHeader, photo: bytes, thought: Thought) -> Receipt | None:
    """The hub's receipt, or None while the hub is away; raises Unavailable then if only the receipt is wanted."""
    sample = SampleHeader(
        frame=header.frame,
        task=header.task,
        digest=header.digest,
        image_size=len(photo),
        label_size=len(thought.whole),
        media=media_of(photo),
        captured_at=header.captured_at,
        edge_model=header.model.digest,
        scores=thought.opinion.scores,
        confidence=thought.confidence,
        models=thought.opinion.models,
    )
    try:
        receipt = await cloud.store.put(sample, photo, thought.whole)
    except Unavailable:
        cloud.metrics.samples.labels("unavailable").inc()
        if not header.answer:
            raise
        return None
    cloud.metrics.samples.labels(receipt.outcome).inc()
    return receipt
