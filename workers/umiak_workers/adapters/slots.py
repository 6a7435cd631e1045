"""The two model slots of an edge's state volume, shared by the edge server and the agent.

Who may write what is the whole protocol: the edge counts an attempt before it loads a model (so that a model that
kills its process is noticed), only the agent moves `current` and marks a model good.

    slots/a, slots/b    artefact folders         current            {"slot": "a", "digest": "sha256:..."}
    good/<digest>       proved itself once       attempts/<digest>  loads begun since it was last marked good
"""

import hashlib
from pathlib import Path
from typing import Literal

from umiak_workers.adapters.configfile import durable_write
from umiak_workers.contract.artefact import MANIFEST
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.messages import Digest
from umiak_workers.contract.wire import Message, parse

SlotName = Literal["a", "b"]
SLOTS: tuple[SlotName, SlotName] = ("a", "b")
MOST_ATTEMPTS = 3
"""A model that was begun this often and never marked good is not tried again at start."""


class Current(Message):
    """Which slot is in force, and the digest of the model in it."""

    slot: SlotName
    digest: Digest


class Slots:
    """The slots under one state folder. Every write is durable before it returns."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def folder(self, slot: SlotName) -> Path:
        """Where a slot's artefact lies; the folder itself need not exist."""
        return self._state / "slots" / slot

    def held(self, slot: SlotName) -> str | None:
        """The digest that a slot's manifest claims (its files are verified on load), None for an empty slot."""
        try:
            manifest = (self.folder(slot) / MANIFEST).read_bytes()
        except OSError:
            return None
        return "sha256:" + hashlib.sha256(manifest).hexdigest()

    def find(self, digest: str) -> SlotName | None:
        """The slot that holds a model, the current one first."""
        current = self.read_current()
        ordered = sorted(SLOTS, key=lambda slot: current is None or slot != current.slot)
        return next((slot for slot in ordered if self.held(slot) == digest), None)

    def read_current(self) -> Current | None:
        """What is in force; None before the first model. Raises MessageError for an unreadable file."""
        file = self._state / "current"
        try:
            return parse(Current, file.read_bytes())
        except FileNotFoundError:
            return None
        except MessageError as error:
            raise MessageError(f"{file}: {error}") from error

    def other_slot(self) -> SlotName:
        """Where the next model may be installed: never the current slot."""
        current = self.read_current()
        return "b" if current is not None and current.slot == "a" else "a"

    def write_current(self, slot: SlotName, digest: str) -> None:
        """Agent only: put a slot in force."""
        durable_write(self._state / "current", Current(slot=slot, digest=digest).model_dump_json().encode())

    def is_good(self, digest: str) -> bool:
        """Whether this model has proved itself on this edge."""
        return self._mark("good", digest).exists()

    def mark_good(self, digest: str) -> None:
        """Agent only: the edge serves with it. Forgets its attempts."""
        self._write("good", digest, b"")
        self._mark("attempts", digest).unlink(missing_ok=True)

    def attempts(self, digest: str) -> int:
        """Loads begun since the model was last marked good."""
        try:
            text = self._mark("attempts", digest).read_text()
        except OSError:
            return 0
        return int(text) if text.isdigit() else 0

    def begin_attempt(self, digest: str) -> int:
        """Edge only, before a load: the number of this attempt (1 is the first)."""
        count = self.attempts(digest) + 1
        self._write("attempts", digest, str(count).encode())
        return count

    def worn_out(self, digest: str) -> bool:
        """Whether a model was begun too often without ever being marked good."""
        return not self.is_good(digest) and self.attempts(digest) >= MOST_ATTEMPTS

    def forget_absent(self) -> None:
        """Agent only: drop the marks of models that no slot holds, so that they stay few."""
        kept = {_file_name(digest) for slot in SLOTS if (digest := self.held(slot))}
        for folder in ("good", "attempts"):
            for mark in (self._state / folder).glob("sha256-*"):
                if mark.name not in kept:
                    mark.unlink(missing_ok=True)

    def _mark(self, folder: str, digest: str) -> Path:
        return self._state / folder / _file_name(digest)

    def _write(self, folder: str, digest: str, data: bytes) -> None:
        (self._state / folder).mkdir(parents=True, exist_ok=True)
        durable_write(self._mark(folder, digest), data)


def _file_name(digest: str) -> str:
    return digest.replace(":", "-")
