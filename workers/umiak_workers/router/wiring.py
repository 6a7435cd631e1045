"""One router put together from its config: what is opened here is closed here, in the reverse order."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from umiak_workers.adapters import answer_log, example_queue
from umiak_workers.adapters.answer_log import AnswerLog
from umiak_workers.adapters.clock import Clock, SystemClock
from umiak_workers.adapters.configfile import Loaded
from umiak_workers.adapters.database import Database
from umiak_workers.adapters.example_queue import ExampleQueue
from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.adapters.lane import ThreadLane
from umiak_workers.adapters.mqtt import MqttLink
from umiak_workers.contract import endpoints
from umiak_workers.contract.config import RouterConfig
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.identity import claimed
from umiak_workers.core.judge import new_judge
from umiak_workers.router.app import Router
from umiak_workers.router.clients import HttpCloud, HttpEdge, HttpHub, NoCloud, cloud_seconds
from umiak_workers.router.cloudgate import CloudGate
from umiak_workers.router.delivery import Delivery
from umiak_workers.router.directory import DirectorySource
from umiak_workers.router.door import Door
from umiak_workers.router.folder import Folder
from umiak_workers.router.followup import FollowUp
from umiak_workers.router.foveate import Foveate, in_part
from umiak_workers.router.frames import CloudPort, Outcome
from umiak_workers.router.metrics import RouterMetrics
from umiak_workers.router.pipeline import Pipeline, Stores
from umiak_workers.router.policy import Policy
from umiak_workers.router.recovery import Recovery
from umiak_workers.router.report import Reporter
from umiak_workers.router.settings import SettingsLoop
from umiak_workers.router.voice import Voice, presence

if TYPE_CHECKING:
    from umiak_workers.router.video import VideoSource

EDGE_SECONDS = 30.0
"""longest prediction"""
HUB_SECONDS = 2.0
"""per network step; short, because nothing here waits for the hub and a stop must not either"""
KEEPALIVE_SECONDS = 10
REJECTED = "rejected"


@dataclass(frozen=True)
class Assembly:
    """A router ready to listen, and what runs beside its listener."""

    router: Router
    background: tuple[Callable[[], Awaitable[None]], ...]


@asynccontextmanager
async def assembled(loaded: Loaded[RouterConfig], state: Path) -> AsyncIterator[Assembly]:
    """Open everything a router needs; raises ConfigError in one line."""
    config, clock = loaded.config, SystemClock()
    randomness = random.Random(config.seed or None)
    policy = Policy(new_judge(config.rules), config.deadline_milliseconds / 1000, randomness.random)
    metrics = RouterMetrics()
    async with AsyncExitStack() as stack:
        stores = _stores(stack, config, state)
        hub = _hub(stack, loaded)
        link = _link(stack, loaded, clock)
        voice = Voice(config, link)

        def announce(outcome: Outcome) -> None:
            metrics.answered(outcome.answer, policy.deadline)
            voice.tell(outcome.answer)

        gate = CloudGate(await _cloud(stack, loaded), clock, config.in_flight, metrics.moved)
        edge = await stack.enter_async_context(
            HttpEdge(loaded.endpoints.resolve(endpoints.edge_server()), EDGE_SECONDS, config.task)
        )
        follow_up = FollowUp(stores.answers, stores.queue, clock, asyncio.to_thread, randomness.random, announce)
        stack.push_async_callback(follow_up.close)
        foveate = _foveate(stack, config)
        pipeline = Pipeline(policy, edge, gate, stores, follow_up, clock, asyncio.to_thread, announce, foveate)
        recovery = Recovery(pipeline, stores, follow_up, clock)
        await recovery.find()
        door = Door(config.edge, stores.answers, stores.queue, policy, clock, config.max_image_bytes)
        settings = SettingsLoop(hub, policy, state, config.heartbeat_seconds)
        settings.recall()
        voice.on_settings(settings.hint)
        voice.hello(clock.now())
        learn = config.regions is None or config.regions.learning != "None"
        delivery = Delivery(stores.answers, stores.queue, gate, hub, follow_up, clock, randomness.random, learn)
        reporter = Reporter(hub, stores, policy, metrics, clock, config.heartbeat_seconds)
        background = [recovery.run, delivery.run, settings.run, lambda: reporter.run(randomness.random)]
        if config.directory:
            background.append(_directory(config, state, door, pipeline, stores.answers, clock).run)
        video = _video(loaded, state, door, pipeline, stores.answers, metrics, clock, randomness.random)
        if video:
            background.append(video.run)
        yield Assembly(Router(config, door, pipeline, stores.answers, metrics, video), tuple(background))


async def _cloud(stack: AsyncExitStack, loaded: Loaded[RouterConfig]) -> CloudPort:
    config = loaded.config
    symbol = endpoints.cloud(config.namespace, config.resource)
    if symbol not in loaded.endpoints.known and all(rule.miner == "EdgeOnly" for rule in config.rules):
        return NoCloud()
    url, seconds = loaded.endpoints.resolve(symbol), cloud_seconds(config.deadline_milliseconds)
    return await stack.enter_async_context(HttpCloud(url, loaded.token, seconds, config.in_flight + 1, loaded.trust))


def _foveate(stack: AsyncExitStack, config: RouterConfig) -> Foveate | None:
    """One photo at a time: an edge has few cores, its model needs them, and a decoded photo is large."""
    regions = config.regions
    if regions is None:
        return None
    thread = ThreadPoolExecutor(1, "foveate")
    stack.callback(thread.shutdown, wait=False, cancel_futures=True)
    loop = asyncio.get_running_loop()
    return lambda whole, seen: loop.run_in_executor(thread, in_part, whole, seen, regions)


def _stores(stack: AsyncExitStack, config: RouterConfig, state: Path) -> Stores:
    lanes = []
    for name, tables in (("answers", answer_log.TABLES), ("queue", example_queue.TABLES)):
        database = Database(f"sqlite:///{state / name}.db")
        database.create(tables)
        lane = ThreadLane(database, name)
        lane.start()
        stack.push_async_callback(asyncio.to_thread, lane.close)
        lanes.append(lane)
    return Stores(AnswerLog(lanes[0], config.answers), ExampleQueue(lanes[1], config.queue))


def _hub(stack: AsyncExitStack, loaded: Loaded[RouterConfig]) -> HttpHub:
    config = loaded.config
    client = HubClient(loaded.endpoints.resolve(endpoints.HUB), loaded.token, HUB_SECONDS, loaded.trust)
    stack.callback(client.close)
    return HttpHub(client, config.namespace, config.resource, config.edge)


def _link(stack: AsyncExitStack, loaded: Loaded[RouterConfig], clock: Clock) -> MqttLink | None:
    """The broker, where the endpoint map knows one."""
    if endpoints.BROKER not in loaded.endpoints.known:
        return None
    url, config = loaded.endpoints.resolve(endpoints.BROKER), loaded.config
    principal, password = str(claimed(loaded.token)), loaded.token.partition(".")[2]
    link = MqttLink(url, principal, password, presence(config, False, clock.now()), KEEPALIVE_SECONDS, loaded.trust)
    link.start()
    stack.push_async_callback(lambda: asyncio.to_thread(link.stop, presence(config, False, clock.now())))
    return link


def _video(
    loaded: Loaded[RouterConfig],
    state: Path,
    door: Door,
    pipeline: Pipeline,
    answers: AnswerLog,
    metrics: RouterMetrics,
    clock: Clock,
    draw: Callable[[], float],
) -> "VideoSource | None":
    asked = loaded.config.video
    if asked is None:
        return None
    from umiak_workers.router.video import VideoSource  # it loads FFmpeg: 25 MB that other routers do not need
    from umiak_workers.router.videoplace import opened_from

    return VideoSource(
        asked,
        lambda: opened_from(asked, loaded.folder, state),
        state,
        door,
        pipeline,
        answers,
        clock,
        draw,
        metrics.filmed,
    )


def _directory(
    config: RouterConfig, state: Path, door: Door, pipeline: Pipeline, answers: AnswerLog, clock: Clock
) -> DirectorySource:
    source = config.directory
    if source is None or source.path == REJECTED:
        raise ConfigError(f"directory.path: {REJECTED!r} is where unusable photos go, choose another name")
    folder = Folder(state / source.path, state / REJECTED)
    return DirectorySource(source.name, folder, door, pipeline, answers, clock, config.max_image_bytes)
