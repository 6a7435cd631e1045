"""`umiak up` while it runs: plans meet the local runtime, files are watched, the picture is kept current."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from watchfiles import awatch

from umiak_operators.api.resource import Key
from umiak_operators.cli.manifests import SUFFIXES, load
from umiak_operators.cli.metrics import OperatorMetrics
from umiak_operators.cli.up_table import short
from umiak_operators.plan.desired import desired
from umiak_operators.reconcile import Pace, Reconciler
from umiak_operators.runtime.clock import SystemClock
from umiak_operators.runtime.fleet import Doorbells
from umiak_operators.runtime.local.files import write_private
from umiak_operators.runtime.local.world import LocalWorld, Options
from umiak_workers.contract.errors import UmiakError
from umiak_workers.contract.world import STATUS_FILE, World

_PACE = Pace(resync_seconds=30, longest_backoff=5, figures_seconds=2)
_AT_MOST_EVERY = 0.2
_AT_LEAST_EVERY = 2.0
_SETTLE_MILLISECONDS = 200
_SECOND_LOOK = 1.0
_ASK_AGAIN = 1.0

Show = Callable[[World, Mapping[str, str]], None]
"""The picture, and what the edges of each resource (`Kind/namespace/name`) run."""


class Drive:
    """One run of `umiak up`."""

    def __init__(
        self,
        files: Sequence[Path],
        options: Options,
        say: Callable[[str], None],
        show: Show,
        metrics: OperatorMetrics,
    ) -> None:
        """`say` gets lines for a person, `show` every new picture, `metrics` hears of every look."""
        self._files = tuple(files)
        self._options = options
        self._say = say
        self._show = show
        self._metrics = metrics
        self._dirty = asyncio.Event()
        self._reconciler: Reconciler | None = None
        self.stop = asyncio.Event()
        """Set it, and everything ends."""

    async def run(self) -> None:
        """Until `stop` is set. Raises UmiakError when the files or the state folder cannot be used."""
        bodies = load(self._files).bodies
        async with LocalWorld(self._options, self._ring, self._dirty.set) as world:
            self._reconciler = Reconciler(
                world.runtime, desired, SystemClock(), random.Random(), _PACE, self._metrics.looked
            )
            self._metrics.follow(self._reconciler.queue.waiting, time.time)
            world.runtime.set_files(bodies)
            world.runtime.ring_all()
            jobs = (self._reconciler.run(), self._follow(world), self._watch(world), self._keep_status(world))
            tasks = [asyncio.create_task(job) for job in (*jobs, self.stop.wait())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._say("stopping")
                await _end(tasks)
        self._write(world.status(time.time()).model_copy(update={"pid": 0, "endpoints": {}}))

    def _ring(self, key: Key) -> None:
        if self._reconciler is not None:
            self._reconciler.ring(key)

    async def _follow(self, world: LocalWorld) -> None:
        returned = asyncio.Event()

        def back() -> None:
            world.runtime.ring_all()
            returned.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(world.fleet.follow(Doorbells(world.runtime.ring_uid, back)))
            while True:
                await returned.wait()
                returned.clear()
                await world.runtime.drop_strangers()

    async def _watch(self, world: LocalWorld) -> None:
        async for _ in _changes(self._files):
            try:
                changed = world.runtime.set_files(load(await _still_there(self._files)).bodies)
            except UmiakError as error:
                self._say(f"the files changed, but {error}; going on with what was")
                continue
            if changed:
                self._say(f"the files changed: {changed} resource{'s' if changed > 1 else ''} to look at")

    async def _keep_status(self, world: LocalWorld) -> None:
        while True:
            self._dirty.clear()
            picture = world.status(time.time())
            self._write(picture)
            self._show(picture, _models(world))
            await asyncio.sleep(_AT_MOST_EVERY)
            await _wait(self._dirty, _AT_LEAST_EVERY - _AT_MOST_EVERY)

    def _write(self, picture: World) -> None:
        if not (self._options.throwaway and picture.pid == 0):
            write_private(self._options.state / STATUS_FILE, picture.model_dump_json(indent=1).encode())


def _models(world: LocalWorld) -> dict[str, str]:
    """Resource -> digests that its edges say they run."""
    views = world.runtime.views.items()
    return {str(key): short([edge.agent.active for edge in view.edges if edge.agent]) for key, view in views}


async def _changes(files: Sequence[Path]) -> AsyncIterator[None]:
    """One item whenever something about these files, or below these folders, changed."""
    while True:
        watched = _folders(files)
        async for _ in awatch(*watched, watch_filter=_ours(files), debounce=_SETTLE_MILLISECONDS, recursive=False):
            yield
            if _folders(files) != watched:
                break  # a folder came or went: watch anew


def _folders(files: Sequence[Path]) -> set[Path]:
    """A file is watched through its folder, as editors replace files; a folder with everything below it."""
    below = (child for file in files if file.is_dir() for child in file.rglob("*") if child.is_dir())
    return {folder.resolve() for folder in (*below, *(file if file.is_dir() else file.parent for file in files))}


def _ours(files: Sequence[Path]) -> Callable[[object, str], bool]:
    wanted = {file.resolve() for file in files}

    def ours(_: object, changed: str) -> bool:
        path = Path(changed)
        return path in wanted or any(folder in path.parents and folder.is_dir() for folder in wanted)

    return ours


async def _still_there(files: Sequence[Path]) -> list[Path]:
    """The files, and folders with files, that exist; what is missing is looked for once more, as an editor may just be
    replacing it."""
    if not all(map(_usable, files)):
        await asyncio.sleep(_SECOND_LOOK)
    return [file for file in files if _usable(file)]


def _usable(file: Path) -> bool:
    return any(one.suffix in SUFFIXES for one in file.rglob("*")) if file.is_dir() else file.exists()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):  # (3.11's wait_for can lose a cancellation)
            await event.wait()
    except TimeoutError:
        return


async def _end(tasks: Sequence[asyncio.Task[object]]) -> None:
    """Cancel all, again where something swallowed it; raise what one of them had failed with before."""
    failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_ASK_AGAIN)
    for task in failed:
        task.result()
