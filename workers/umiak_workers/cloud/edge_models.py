"""The edge models that uploads name: fetched from the hub by digest, verified, kept while they are in use.

Their folders are a cache under a byte limit; losing all of it costs one download per model.
"""

import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.contract.errors import ArtefactError, IdentityError, Refused, UmiakError, Unavailable
from umiak_workers.contract.messages import Task
from umiak_workers.predictors.answering import Answering, answering

IN_MEMORY = 4
"""Models kept ready; the fleet runs one or two digests of a line at any time."""
REFUSED_SECONDS = 3.0
"""How long a digest that could not be had is answered from memory."""
_MOST_REFUSED = 256
Fetch = Callable[[str, Path, int], object]
"""(digest, folder, most bytes): put the model there; raises Refused, Unavailable, ArtefactError, IdentityError."""
log = structlog.get_logger()


class EdgeModels:
    """Models of one task by digest. Methods block and may be called from several threads; one is fetched at a time."""

    def __init__(
        self,
        folder: Path,
        most_bytes: int,
        threads: int,
        fetch: Fetch,
        task: Task = "semantic-segmentation",
        gpu: bool = False,
    ) -> None:
        self._folder, self._most, self._fetch = folder, most_bytes, fetch
        self._prepare = partial(answering, threads=threads, task=task, gpu=gpu)
        self._ready: OrderedDict[str, Answering] = OrderedDict()
        self._refused: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._fetching = threading.Lock()

    def __len__(self) -> int:
        return len(self._ready)

    def known(self, digest: str) -> Answering | None:
        """The model if it is ready; never waits."""
        found = self._ready.get(digest)
        if found is not None:
            self._ready.move_to_end(digest)
        return found

    def get(self, digest: str) -> Answering:
        """The model, fetched if need be; raises Unavailable with the reason when it cannot be had now."""
        with self._fetching:
            found = self.known(digest)
            if found is not None:
                return found
            until, reason = self._refused.get(digest, (0.0, ""))
            if time.monotonic() < until:
                raise Unavailable(reason)
            try:
                return self._keep(digest, self._load(digest))
            except UmiakError as error:
                raise Unavailable(self._refuse(digest, error)) from error
            except OSError as error:
                raise Unavailable(self._refuse(digest, error)) from error

    def _load(self, digest: str) -> Answering:
        into = self._folder / digest.removeprefix("sha256:")
        try:
            return self._prepared(into, digest)
        except (ArtefactError, OSError):
            shutil.rmtree(into, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._fetch(digest, into, self._most)
        self._make_room(into)
        log.info("edge model fetched", digest=digest)
        return self._prepared(into, digest)

    def _prepared(self, folder: Path, digest: str) -> Answering:
        loaded = self._prepare(load_model(folder, digest))
        loaded.check_golden()
        return loaded

    def _keep(self, digest: str, loaded: Answering) -> Answering:
        self._ready[digest] = loaded
        while len(self._ready) > IN_MEMORY:
            self._ready.popitem(last=False)
        return loaded

    def _refuse(self, digest: str, error: Exception) -> str:
        why = "the hub does not have it" if isinstance(error, Refused) and error.status == 404 else str(error)
        if isinstance(error, IdentityError):
            why = f"the hub does not let this cloud worker have it ({error})"
        reason = f"edge model {digest}: {why}"
        self._refused[digest] = (time.monotonic() + REFUSED_SECONDS, reason)
        while len(self._refused) > _MOST_REFUSED:
            self._refused.popitem(last=False)
        log.warning("edge model cannot be had", digest=digest, reason=why)
        return reason

    def _make_room(self, newest: Path) -> None:
        """Remove the oldest folders until all of them fit; the newest one stays."""
        folders = sorted(
            (entry for entry in self._folder.iterdir() if entry.is_dir()), key=lambda entry: entry.stat().st_mtime
        )
        sizes = {entry: sum(file.stat().st_size for file in entry.iterdir()) for entry in folders}
        total = sum(sizes.values())
        for entry in folders:
            if total <= self._most:
                return
            if entry != newest:
                shutil.rmtree(entry, ignore_errors=True)
                total -= sizes[entry]
