"""After a kill: frames whose hard example reached the disk but whose answer did not are answered first of all."""

import structlog

from umiak_workers.adapters.clock import Clock
from umiak_workers.contract.errors import UmiakError, Unavailable
from umiak_workers.router.followup import FollowUp
from umiak_workers.router.pipeline import Pipeline, Stores

PAUSE = 0.2
"""seconds"""
log = structlog.get_logger()


class Recovery:
    """`find` before anything else runs, then `run` beside everything else."""

    def __init__(self, pipeline: Pipeline, stores: Stores, follow_up: FollowUp, clock: Clock) -> None:
        self._pipeline = pipeline
        self._stores = stores
        self._follow_up = follow_up
        self._clock = clock
        self._lost: list[str] = []

    async def find(self) -> int:
        """Look for such frames and hold their examples back from delivery; returns how many there are."""
        self._lost = await self._stores.answers.unanswered(await self._stores.queue.frames())
        for frame in self._lost:
            self._follow_up.hold(frame)
        return len(self._lost)

    async def run(self) -> None:
        """Answer them one by one, however long the edge server takes to come up."""
        for frame in self._lost:
            await self._answer(frame)
            self._follow_up.forget(frame)
        if self._lost:
            log.info("frames from before the restart are answered", frames=len(self._lost))

    async def _answer(self, frame: str) -> None:
        while (example := await self._stores.queue.get(frame)) is not None:
            try:
                await self._pipeline.answer_again(example)
            except Unavailable:
                await self._clock.sleep(PAUSE)
            except UmiakError as error:
                log.error("a frame from before the restart cannot be answered", frame=frame, reason=str(error))
                return
            else:
                return
