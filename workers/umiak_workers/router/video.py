"""A video as a source: a thread reads it, its frames become JPEG photos and go the way of every other photo.

Of a live video (a stream, a camera, a file that plays at its own speed) the newest frame wins: one frame at a time is
at the edge server, and one that comes while another is still waiting takes its place. The one that waited is dropped
and counted. A file's frames wait instead, are answered in order, and are numbered alike after a restart (see reel.py).
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import structlog

from umiak_workers.adapters import camera
from umiak_workers.adapters.answer_log import AnswerLog
from umiak_workers.adapters.camera import Picture, Place
from umiak_workers.adapters.clock import Clock
from umiak_workers.contract import config
from umiak_workers.contract.errors import (
    InvalidInput,
    InvalidPrediction,
    MessageError,
    Refused,
    UmiakError,
    Unavailable,
)
from umiak_workers.core.backoff import delay
from umiak_workers.core.sampling import Sampling
from umiak_workers.router.door import Door
from umiak_workers.router.frames import Frame, Outcome
from umiak_workers.router.mailbox import Mailbox
from umiak_workers.router.reel import Book, Pass, identity

MOST_IN_HAND = 32
MOST_AHEAD = 512
"""numbers between the oldest frame of a file in hand and the newest: what is looked at again after a restart"""
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""seconds between two tries to open a video"""
LOOK_SECONDS = 1.0
"""between two looks at a file; also how long it must have been still"""
AGAIN_SECONDS = 0.5
"""until a file's frame is offered again while the edge server is away"""
Result = Literal["answered", "dropped", "undecodable", "refused"]
State = Literal["connecting", "playing", "waiting", "ended"]
log = structlog.get_logger()


class Answering(Protocol):
    """What answers frames."""

    async def answer(self, frame: Frame) -> Outcome:
        """See Pipeline.answer."""
        ...


@dataclass(frozen=True)
class Status:
    """What the video does; `reason` says why it does not play."""

    state: State = "connecting"
    reason: str = ""


@dataclass
class Shot:
    """A frame as the reading thread hands it over. `index`: its place among the wanted ones of this pass."""

    index: int
    picture: Picture | None
    """None once it is a photo: a decoded frame is large, and its answer may take seconds."""
    seconds: float
    """By the video's own clock."""
    at: float
    """Seconds since the epoch at which it was read."""

    def photo(self) -> bytes:
        """The frame as JPEG, once; raises InvalidInput."""
        picture, self.picture = self.picture, None
        assert picture is not None
        return picture.jpeg()


class VideoSource:
    """One video; `run` until cancelled.

    `count` hears what became of each frame, in any thread. `place` opens anew each time, so that a changed password
    is found.
    """

    def __init__(
        self,
        asked: config.VideoSource,
        place: Callable[[], Place],
        state: Path,
        door: Door,
        pipeline: Answering,
        answers: AnswerLog,
        clock: Clock,
        draw: Callable[[], float],
        count: Callable[[Result], None],
    ) -> None:
        self._asked = asked
        self._place = place
        self._file = state / asked.file if asked.file else None
        self._book = Book(state)
        self._door = door
        self._pipeline = pipeline
        self._answers = answers
        self._clock = clock
        self._draw = draw
        self._count = count
        self._known = 0
        self._turn = asyncio.Semaphore(1)
        self._hands = asyncio.Semaphore(MOST_IN_HAND)
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._started = 0
        self.status = Status()

    async def run(self) -> None:
        """Play, and try again where that fails."""
        failures = 0
        try:
            while True:
                begun = self._clock.monotonic()
                try:
                    await (self._play_file(self._file) if self._file else self._play_live())
                    failures = 0
                    continue
                except (OSError, UmiakError) as error:
                    steady = self._clock.monotonic() - begun > LONGEST_PAUSE
                    failures = 1 if steady else failures + 1
                    pause = delay(failures, SHORTEST_PAUSE, LONGEST_PAUSE, self._draw)
                    self._say("connecting", str(error), again_in_seconds=round(pause, 1))
                await self._clock.sleep(pause)
        finally:
            await self._settled(cancel=True)

    async def _play_live(self) -> None:
        """A stream or a device has no end of its own: one that ends is broken."""
        place = await asyncio.to_thread(self._place)
        await self._play(place, None, 0)
        raise Unavailable(f"{place.shown}: the stream ended")

    async def _play_file(self, path: Path) -> None:
        """One pass through the file, once it is there and still and has not been played."""
        found = await self._still(path)
        kept = await asyncio.to_thread(self._book.read)
        if kept is None or kept.identity != found or (kept.finished and self._asked.loop):
            first = await self._door.following(self._asked.name)
            kept = Pass(identity=found, first=first, started=self._clock.now())
            await asyncio.to_thread(self._book.write, kept)
        if kept.finished:
            self._say("ended")
            await self._clock.sleep(LOOK_SECONDS)
            return
        self._known = await self._answers.next_sequence(self._asked.name)
        skip = 0 if self._asked.realtime else max(0, self._known - kept.first - MOST_AHEAD)
        place = await asyncio.to_thread(self._place)
        if not await self._play(place, kept, skip):
            raise Unavailable(f"{place.shown}: holds no frame")
        await self._settled()
        await asyncio.to_thread(self._book.write, kept.model_copy(update={"finished": True}))

    async def _still(self, path: Path) -> str:
        """The identity of the file once two looks saw the same one. The file that was played last is still."""
        kept = await asyncio.to_thread(self._book.read)
        before = kept.identity if kept else None
        while True:
            seen = await asyncio.to_thread(identity, path, self._asked.frames_per_second)
            if seen is not None and seen == before:
                return seen
            before = seen
            self._say("waiting", f"{self._asked.file} is not there" if seen is None else "")
            await self._clock.sleep(LOOK_SECONDS)

    async def _play(self, place: Place, kept: Pass | None, skip: int) -> int:
        """Read until the end; returns how many frames were wanted. Raises Unavailable when it breaks."""
        box: Mailbox[Shot] = Mailbox(self._asked.live, lambda: self._count("dropped"))
        reader = _Reader(self._asked, place, kept, skip, box, self._clock, self._count)
        self._say("connecting")
        threading.Thread(target=reader.run, name="video", daemon=True).start()
        try:
            while True:
                await self._room_for_one()
                shot = await self._next(box, place)
                if shot is None:
                    self._turn.release()
                    self._hands.release()
                    return reader.wanted
                self._say("playing")
                self._start(shot, kept)
        except UmiakError:
            self._turn.release()
            self._hands.release()
            raise
        finally:
            box.close()

    async def _next(self, box: Mailbox[Shot], place: Place) -> Shot | None:
        """The next frame. A driver may block for ever where a stream times out, and cannot be called off: say so."""
        gap = 0.0 if self._asked.frames_per_second is None else 1 / self._asked.frames_per_second
        while place.live:
            try:
                return await asyncio.wait_for(box.take(), gap + camera.OPEN_SECONDS + camera.SILENCE_SECONDS)
            except TimeoutError:
                self._say("connecting", f"{place.shown}: nothing comes")
        return await box.take()

    async def _room_for_one(self) -> None:
        while self._busy and self._started - min(self._busy) >= MOST_AHEAD:
            await asyncio.wait([self._busy[min(self._busy)]])
        await self._hands.acquire()
        await self._turn.acquire()

    def _start(self, shot: Shot, kept: Pass | None) -> None:
        number, self._started = self._started, self._started + 1
        task = self._busy[number] = asyncio.ensure_future(self._one(shot, kept))
        task.add_done_callback(lambda done: self._ended(number, done))

    def _ended(self, number: int, task: "asyncio.Task[None]") -> None:
        del self._busy[number]
        self._hands.release()
        if not task.cancelled() and (error := task.exception()):
            log.error("a frame cannot be worked on", source=self._asked.name, reason=repr(error))

    async def _one(self, shot: Shot, kept: Pass | None) -> None:
        turn = _Once(self._turn.release)
        try:
            self._count(await self._answered(shot, kept, turn))
        finally:
            turn()

    async def _answered(self, shot: Shot, kept: Pass | None, turn: Callable[[], None]) -> Result:
        number = None if kept is None or self._asked.realtime else kept.first + shot.index
        try:
            photo = await asyncio.to_thread(shot.photo)
            frame = await self._door.frame(self._asked.name, number, photo)
            frame = replace(frame, captured_at=_moment(shot, kept), patient=not self._asked.live, looked_at=turn)
            while True:
                try:
                    await self._pipeline.answer(frame)
                    return "answered"
                except Unavailable as error:
                    if self._asked.live:
                        log.warning("a frame was dropped", frame=frame.id, reason=str(error))
                        return "dropped"
                await self._clock.sleep(AGAIN_SECONDS)
        except (InvalidInput, InvalidPrediction, MessageError, Refused) as error:
            if number is not None and number < self._known:
                return "answered"  # before the restart; the log has forgotten it or holds it
            log.warning("a frame cannot be answered", source=self._asked.name, index=shot.index, reason=str(error))
            return "refused"

    async def _settled(self, cancel: bool = False) -> None:
        """Every frame in hand has come to its end."""
        tasks = list(self._busy.values())
        for task in tasks if cancel else ():
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _say(self, state: State, reason: str = "", **more: object) -> None:
        """Remember it, and log what is new."""
        before, self.status = self.status, Status(state, reason)
        if reason and reason != before.reason:
            log.warning("the video does not play", source=self._asked.name, state=state, reason=reason, **more)
        elif state in ("playing", "ended") and state != before.state:
            log.info("the video plays" if state == "playing" else "the video has ended", source=self._asked.name)


class _Reader:
    """The thread's side of one pass."""

    def __init__(
        self,
        asked: config.VideoSource,
        place: Place,
        kept: Pass | None,
        skip: int,
        box: Mailbox[Shot],
        clock: Clock,
        count: Callable[[Result], None],
    ) -> None:
        self._place = place
        self._paced = kept.started if kept and asked.realtime else None
        self._by_file = kept is not None
        self._sampling = Sampling(asked.frames_per_second)
        self._skip = skip
        self._box = box
        self._clock = clock
        self._count = count
        self.wanted = 0

    def run(self) -> None:
        """Read to the end, or until nobody takes frames any more."""
        found: UmiakError | None = Unavailable(f"{self._place.shown}: reading it failed")
        try:
            self._read()
            found = None
        except UmiakError as error:
            found = error
        finally:
            self._box.end(found)

    def _read(self) -> None:
        for picture in camera.pictures(self._place, lambda: self._count("undecodable")):
            now = self._clock.now()
            early = 0.0 if self._paced is None else self._paced + picture.seconds - now
            if not self._box.rest(early):
                return
            if not self._sampling.wants(picture.seconds if self._by_file else now):
                continue
            index, self.wanted = self.wanted, self.wanted + 1
            if index >= self._skip:
                self._box.put(Shot(index, picture, picture.seconds, now + max(0.0, early)))


class _Once:
    """Calls something the first time that it is called."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call: Callable[[], object] | None = call

    def __call__(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


def _moment(shot: Shot, kept: Pass | None) -> float:
    """When a frame was captured: as it came, or the file's start plus its own time."""
    return shot.at if kept is None else kept.started + shot.seconds
