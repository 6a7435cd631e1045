"""A router's inside on a clock moved by hand: real stores, judge, gate and follow-up; edge, cloud and hub by script."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from umiak_workers.adapters import answer_log, example_queue
from umiak_workers.adapters.answer_log import AnswerLog
from umiak_workers.adapters.database import Database
from umiak_workers.adapters.example_queue import ExampleQueue
from umiak_workers.adapters.memory import FakeClock, InlineLane
from umiak_workers.contract.config import Bounds, MinerRule
from umiak_workers.contract.errors import UmiakError
from umiak_workers.contract.messages import (
    Answer,
    Box,
    CloudAnswerHeader,
    ExampleHeader,
    LiveSettings,
    PredictionHeader,
    Receipt,
    Region,
    RouterState,
    Scores,
    Tiles,
)
from umiak_workers.core.judge import new_judge
from umiak_workers.core.mask_png import encode_mask
from umiak_workers.router.cloudgate import CloudGate
from umiak_workers.router.delivery import Delivery
from umiak_workers.router.door import Door
from umiak_workers.router.followup import FollowUp
from umiak_workers.router.foveate import Foveate
from umiak_workers.router.frames import CloudReply, Frame, Outcome, Prediction
from umiak_workers.router.pipeline import Pipeline, Stores
from umiak_workers.router.policy import Policy
from umiak_workers.router.recovery import Recovery

MODEL = "sha256:" + "a" * 64
HEIGHT, WIDTH = 6, 8
DEADLINE = 2.0
QUEUE = Bounds(items=100, bytes=1_000_000)
ANSWERS = Bounds(items=1000, bytes=10_000_000)
EDGE_MASK = encode_mask(np.zeros((HEIGHT, WIDTH), np.uint8))


def photo_bytes(value: int, width: int = WIDTH) -> bytes:
    """A PNG photo; another value is another photo."""
    file = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, width, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


@dataclass
class FakeEdge:
    """Answers with `margin`, `appeal` and `tiles` after `seconds`, or raises `error`."""

    clock: FakeClock
    margin: float = 0.1
    tiles: Tiles | None = None
    appeal: float | None = None
    seconds: float = 0.0
    error: UmiakError | None = None
    asked: int = 0

    async def predict(self, photo: bytes, media: str) -> Prediction:
        self.asked += 1
        await self.clock.sleep(self.seconds)
        if self.error:
            raise self.error
        header = PredictionHeader(
            model=MODEL,
            line="yard/street",
            width=WIDTH,
            height=HEIGHT,
            scores=Scores(margin=self.margin, max_probability=0.6, entropy=0.5, appeal=self.appeal),
            inference_milliseconds=self.seconds * 1000,
            mask_size=len(EDGE_MASK),
            tiles=self.tiles,
        )
        return Prediction(header, EDGE_MASK)


@dataclass
class FakeHub:
    """Stores what the cloud hands it while it is `up`; says so when asked."""

    up: bool = True
    error: UmiakError | None = None
    stored: dict[str, Receipt] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)
    live: LiveSettings = field(default_factory=LiveSettings)
    reports: list[RouterState] = field(default_factory=list)

    def put(self, header: ExampleHeader) -> Receipt | None:
        if not self.up:
            return None
        self.puts.append(header.frame)
        receipt = Receipt(frame=header.frame, digest=header.digest, outcome="stored", stored_at=1.0)
        return self.stored.setdefault(header.frame, receipt)

    def _check(self) -> None:
        if self.error:
            raise self.error

    async def receipt(self, frame: str, digest: str) -> Receipt | None:
        self._check()
        found = self.stored.get(frame)
        return found if found and found.digest == digest else None

    async def settings(self) -> LiveSettings:
        self._check()
        return self.live

    async def report(self, state: RouterState) -> None:
        self._check()
        self.reports.append(state)


@dataclass
class FakeCloud:
    """Labels what is asked for 7 after `seconds`, hands samples to the hub; or raises `error` after `seconds`."""

    clock: FakeClock
    hub: FakeHub
    seconds: float = 0.3
    seconds_per_byte: float = 0.0
    error: UmiakError | None = None
    width: int = WIDTH
    asked: list[ExampleHeader] = field(default_factory=list)

    async def ask(self, header: ExampleHeader, photo: bytes) -> CloudReply:
        self.asked.append(header)
        await self.clock.sleep(self.seconds + self.seconds_per_byte * len(photo))
        if self.error:
            raise self.error
        boxes = header.regions or (Box(left=0, top=0, width=self.width, height=HEIGHT),)
        labels = tuple(encode_mask(np.full((box.height, box.width), 7, np.uint8)) for box in boxes)
        regions = tuple(
            Region(box=box, size=len(label), confidence=0.9) for box, label in zip(boxes, labels, strict=True)
        )
        if not header.answer:
            regions = labels = ()
        receipt = self.hub.put(header) if header.keep else None
        said = CloudAnswerHeader(frame=header.frame, regions=regions, receipt=receipt, models={"edge": MODEL})
        return CloudReply(said, labels, len(photo), 40)


async def inline(work: Callable[[], Any]) -> Any:
    """No thread."""
    return work()


class Inside:
    """One router's inside over a state folder; `again` is the same folder after a kill."""

    def __init__(
        self,
        state: Path,
        clock: FakeClock,
        *,
        rules: tuple[MinerRule, ...] = (MinerRule(miner="ScoreMargin", threshold=0.5),),
        queue: Bounds = QUEUE,
        answers: Bounds = ANSWERS,
        in_flight: int = 2,
        foveate: Foveate | None = None,
        learn_parts: bool = True,
    ) -> None:
        self.state, self.clock = state, clock
        self.edge, self.hub = FakeEdge(clock), FakeHub()
        self.cloud = FakeCloud(clock, self.hub)
        self.databases = [Database(f"sqlite:///{state / name}.db") for name in ("answers", "queue")]
        self.databases[0].create(answer_log.TABLES)
        self.databases[1].create(example_queue.TABLES)
        lanes = [InlineLane(database) for database in self.databases]
        self.answers, self.queue = AnswerLog(lanes[0], answers), ExampleQueue(lanes[1], queue)
        self.told: list[Answer] = []
        self.policy = Policy(new_judge(rules), DEADLINE, lambda: 0.5)
        self.moved: list[tuple[int, int]] = []
        self.gate = CloudGate(self.cloud, clock, in_flight, lambda up, down: self.moved.append((up, down)))
        self.follow_up = FollowUp(self.answers, self.queue, clock, inline, lambda: 0.5, self._announce)
        stores = Stores(self.answers, self.queue)
        self.pipeline = Pipeline(
            self.policy, self.edge, self.gate, stores, self.follow_up, clock, inline, self._announce, foveate
        )
        self.door = Door("edge-1", self.answers, self.queue, self.policy, clock, 100_000)
        self.delivery = Delivery(
            self.answers, self.queue, self.gate, self.hub, self.follow_up, clock, lambda: 0.5, learn_parts
        )
        self.recovery = Recovery(self.pipeline, stores, self.follow_up, clock)

    def _announce(self, outcome: Outcome) -> None:
        self.told.append(outcome.answer)

    async def frame(self, sequence: int | None = None, value: int = 1) -> Frame:
        """A frame as the door makes it."""
        return await self.door.frame("http", sequence, photo_bytes(value))

    async def log(self) -> list[Answer]:
        """Every answer, oldest first."""
        return [answer for _, answer in await self.answers.page(0, 10_000)]

    async def waiting(self) -> int:
        """Examples in the queue."""
        return (await self.queue.fill(self.clock.now())).items

    def close(self) -> None:
        """Let go of the files."""
        for database in self.databases:
            database.close()


@pytest.fixture
def clock() -> FakeClock:
    """Stands still until advanced."""
    return FakeClock()


@pytest.fixture
def inside(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Inside]]:
    """`inside(**bounds)` -> Inside; calling it again is a restart on the same state folder."""
    made: list[Inside] = []

    def make(**changes: Any) -> Inside:
        made.append(Inside(tmp_path, clock, **changes))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def photo() -> Callable[..., bytes]:
    """`photo(value)` -> PNG bytes."""
    return photo_bytes
