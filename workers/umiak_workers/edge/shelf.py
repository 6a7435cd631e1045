"""The model in use: chosen at start, replaced while requests go on, never by anything that did not prove itself.

A load counts an attempt first, verifies every byte, binds the weights, answers the golden input, and only then takes
the place of the model in use, by one assignment. A request keeps the model that it began with.
"""

import threading
import time
from dataclasses import dataclass
from functools import partial

import structlog

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.adapters.slots import SLOTS, SlotName, Slots
from umiak_workers.contract.errors import InvalidPrediction, Refused, UmiakError, Unavailable
from umiak_workers.contract.messages import Task
from umiak_workers.core.model import Model
from umiak_workers.predictors.answering import Answering, answering

NO_MODEL = "no model yet: the agent has not installed one"
log = structlog.get_logger()


@dataclass(frozen=True)
class Status:
    """What is served and what there is to say about it."""

    active: str | None
    reason: str


class Shelf:
    """One active model over the two slots of a state folder, of one task. Its methods block; call them from a
    thread."""

    def __init__(self, slots: Slots, threads: int, task: Task = "semantic-segmentation", gpu: bool = False) -> None:
        self._slots = slots
        self._prepare = partial(_prepared, threads=threads, task=task, gpu=gpu)
        self._active: Answering | None = None
        self._reason = NO_MODEL
        self._tried: str | None = None
        self._loading = threading.Lock()

    def active(self) -> Answering:
        """The model in use; raises Unavailable while there is none."""
        active = self._active
        if active is None:
            raise Unavailable(self._reason)
        return active

    def status(self) -> Status:
        """Digest in use (None: none) and a line about it, empty when all is well."""
        active = self._active
        return Status(active.digest if active else None, self._reason)

    def take_current(self) -> None:
        """While nothing is in use: load what `current` names, or a good other slot if that one keeps failing."""
        with self._loading:
            if self._active is not None:
                return
            try:
                current = self._slots.read_current()
            except UmiakError as error:
                self._reason = str(error)
                return
            if current is not None and current.digest != self._tried:
                self._tried = current.digest
                self._start_with(current.slot, current.digest)

    def reload(self, digest: str) -> str:
        """Load a model by digest beside the one in use and swap; returns the digest.

        Raises Refused 404 if no slot holds it, 422 if it does not prove itself (the model in use goes on).
        """
        with self._loading:
            if self._active is not None and self._active.digest == digest:
                return digest
            slot = self._slots.find(digest)
            if slot is None:
                raise Refused(f"no slot holds {digest}", 404)
            try:
                self._take(self._load(slot, digest))
            except UmiakError as error:
                log.warning("model refused", digest=digest, reason=str(error))
                raise Refused(f"{digest} was not taken: {error}", 422) from error
            return digest

    def _start_with(self, slot: SlotName, digest: str) -> None:
        if self._slots.worn_out(digest):
            return self._fall_back(
                slot, f"{digest} was begun {self._slots.attempts(digest)} times and never proved good"
            )
        try:
            self._take(self._load(slot, digest))
        except UmiakError as error:
            self._fall_back(slot, str(error))
        return None

    def _fall_back(self, broken: SlotName, why: str) -> None:
        log.warning("the current model cannot be used", slot=broken, reason=why)
        other = next(slot for slot in SLOTS if slot != broken)
        digest = self._slots.held(other)
        self._reason = why
        if digest is None or not self._slots.is_good(digest):
            return
        try:
            self._take(self._load(other, digest))
            self._reason = f"serving the other slot: {why}"
        except UmiakError as error:
            self._reason = f"{why}; the other slot: {error}"
        log.warning("fell back", slot=other, digest=digest, reason=self._reason)

    def _load(self, slot: SlotName, digest: str) -> Answering:
        self._slots.begin_attempt(digest)
        begun = time.monotonic()
        loaded = self._prepare(load_model(self._slots.folder(slot), digest))
        log.info("model loaded", digest=digest, slot=slot, seconds=round(time.monotonic() - begun, 3))
        return loaded

    def _take(self, loaded: Answering) -> None:
        self._active = loaded
        self._reason = ""


def _prepared(model: Model, threads: int, task: Task, gpu: bool) -> Answering:
    """A bound model that has answered its golden input; raises ArtefactError or InvalidPrediction."""
    loaded = answering(model, threads, task, gpu)
    try:
        loaded.check_golden()
    except UmiakError as error:
        raise InvalidPrediction(f"{model.card.name}: {error}") from error
    return loaded
