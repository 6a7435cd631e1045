"""A folder as a source: every photo put there becomes one frame, then leaves; one that cannot be used is set aside.

A file counts once it has not changed between two looks. Its number is on the disk before it is looked at, so after a
crash the same file is the same frame. Files are taken oldest first, and none waits for a hard one before it.
"""

import asyncio
from dataclasses import replace
from typing import Protocol

import structlog

from umiak_workers.adapters.answer_log import AnswerLog, Arrival
from umiak_workers.adapters.clock import Clock
from umiak_workers.contract.errors import InvalidInput, InvalidPrediction, Refused, UmiakError, Unavailable
from umiak_workers.router.door import Door
from umiak_workers.router.folder import Folder, Photo, names_of
from umiak_workers.router.frames import Frame, Outcome

LOOK_SECONDS = 0.25
"""between two looks; also how long a file must have been still"""
MOST_IN_HAND = 32
MOST_TRIES = 5
"""of a photo for which the model answers nonsense"""
log = structlog.get_logger()


class Answering(Protocol):
    """What answers frames."""

    async def answer(self, frame: Frame) -> Outcome:
        """See Pipeline.answer."""
        ...


class DirectorySource:
    """One folder; `run` until cancelled, or `look` by look."""

    def __init__(
        self, name: str, folder: Folder, door: Door, pipeline: Answering, answers: AnswerLog, clock: Clock, most: int
    ) -> None:
        self._name = name
        self._folder = folder
        self._door = door
        self._pipeline = pipeline
        self._answers = answers
        self._clock = clock
        self._most_bytes = most
        self._seen: dict[str, str] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._answered: list[Photo] = []
        self._tries: dict[str, int] = {}

    async def run(self) -> None:
        """Look again and again."""
        self._folder.create()
        try:
            while True:
                try:
                    await self.look()
                except (OSError, UmiakError) as error:
                    log.error("the folder cannot be worked on", source=self._name, reason=str(error))
                await self._clock.sleep(LOOK_SECONDS)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def look(self) -> int:
        """One look: let answered photos go, start still ones; returns how many were started."""
        await self._let_go()
        photos = await asyncio.to_thread(self._folder.photos)
        still = [photo for photo in photos if self._seen.get(photo.name) == photo.identity]
        self._seen = {photo.name: photo.identity for photo in photos}
        self._tries = {name: tries for name, tries in self._tries.items() if name in self._seen}
        waiting = [photo for photo in still if photo.name not in self._busy]
        chosen = waiting[: MOST_IN_HAND - len(self._busy)]
        if not chosen:
            return 0
        arrivals = [Arrival(photo.name, photo.identity) for photo in chosen]
        numbers = await self._answers.take_in(self._name, arrivals)
        for photo in chosen:  # read one after the other, so that they reach the pipeline in order
            data = await asyncio.to_thread(self._folder.read, photo, self._most_bytes)
            if data is not None:
                self._start(photo, numbers[photo.name], data)
        return len(chosen)

    def _start(self, photo: Photo, number: int, data: bytes) -> None:
        task = asyncio.ensure_future(self._one(photo, number, data))
        self._busy[photo.name] = task
        task.add_done_callback(lambda done: self._ended(photo, done))

    def _ended(self, photo: Photo, task: "asyncio.Task[None]") -> None:
        del self._busy[photo.name]
        if not task.cancelled() and (error := task.exception()):
            log.error("a photo cannot be worked on", source=self._name, photo=photo.name, reason=repr(error))

    async def _one(self, photo: Photo, number: int, data: bytes) -> None:
        try:
            frame = await self._door.frame(self._name, number, data)
            await self._pipeline.answer(replace(frame, patient=True))
        except (InvalidInput, Refused) as error:
            await self._reject(photo, str(error))
        except InvalidPrediction as error:
            self._tries[photo.name] = self._tries.get(photo.name, 0) + 1
            if self._tries[photo.name] >= MOST_TRIES:
                await self._reject(photo, str(error))
        except Unavailable as error:  # the photo stays where it is and is looked at again
            log.warning("a photo has to wait", source=self._name, photo=photo.name, reason=str(error))
        else:
            self._answered.append(photo)

    async def _reject(self, photo: Photo, reason: str) -> None:
        log.warning("a photo was set aside", source=self._name, photo=photo.name, reason=reason)
        await asyncio.to_thread(self._folder.reject, photo, reason)
        await self._answers.let_go(self._name, [photo.name])

    async def _let_go(self) -> None:
        """Files first, then their numbers: a file without a number would become a second frame."""
        gone, self._answered = self._answered, []
        if gone:
            await asyncio.to_thread(self._folder.remove, gone)
            await self._answers.let_go(self._name, names_of(gone))
