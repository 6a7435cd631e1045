"""Bytes on disk by their own digest: a blob is there whole or not at all, and all of them stay under one bound.

Writing goes to `incoming/`, is hashed on the way, fsynced, renamed to `sha256/<2 hex>/<64 hex>` and the folder fsynced.
"""

import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from umiak_workers.adapters.configfile import fsync_folder
from umiak_workers.contract.errors import InvalidInput, Refused

FULL = 507
TOO_LARGE = 413


class Room:
    """How many bytes a state folder may hold, shared by everything that is kept in it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """bytes"""
        return self._used

    def take(self, count: int) -> None:
        """Reserve bytes; raises Refused 507 when they would pass the bound."""
        with self._lock:
            if self._used + count > self.most:
                raise Refused(f"no room: {self._used} of {self.most} bytes are used", FULL)
            self._used += count

    def give(self, count: int) -> None:
        """Return bytes that are no longer kept; a negative count records bytes that are already there."""
        with self._lock:
            self._used -= count


class BlobStore:
    """Content-addressed files under one folder; safe for several threads."""

    def __init__(self, folder: Path, max_bytes: int, room: Room) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._max_bytes = max_bytes
        self._room = room
        self._placing = threading.Lock()

    def start(self) -> None:
        """Make the folders, drop what a killed process left half-written, count what is there."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        for file in self._incoming.iterdir():
            file.unlink()
        for _, size, _ in self.every():
            self._room.give(-size)

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        name = digest.removeprefix("sha256:")
        return self._folder / "sha256" / name[:2] / name

    def size(self, digest: str) -> int | None:
        """Bytes of a blob, None when it is not here."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def touch(self, digest: str) -> int | None:
        """Bytes of a blob whose use is announced: it counts as new again; None when it is not here."""
        try:
            os.utime(self.path(digest))
        except FileNotFoundError:
            return None
        return self.size(digest)

    def every(self) -> Iterator[tuple[str, int, float]]:
        """(digest, bytes, modified at) of each blob."""
        for file in (self._folder / "sha256").glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                facts = file.stat()
                yield f"sha256:{file.name}", facts.st_size, facts.st_mtime

    def write(self, digest: str) -> "BlobWriter":
        """A context in which the blob's bytes arrive; see BlobWriter."""
        return BlobWriter(self, digest, self._incoming / secrets.token_hex(8), self._max_bytes, self._room)

    def adopt(self, digest: str, file: Path) -> None:
        """Copy a file in; raises InvalidInput unless it has this digest."""
        if self.size(digest) is not None:
            return
        with self.write(digest) as writer, file.open("rb") as handle:
            while chunk := handle.read(1 << 20):
                writer.add(chunk)
            writer.commit()

    def place(self, digest: str, file: Path) -> bool:
        """Rename a fsynced file to where its digest belongs; False when that blob is already there."""
        goal = self.path(digest)
        with self._placing:
            if goal.exists():
                return False
            goal.parent.mkdir(parents=True, exist_ok=True)
            file.replace(goal)
        fsync_folder(goal.parent)
        fsync_folder(goal.parent.parent)
        return True

    def remove(self, digest: str) -> None:
        """Forget a blob; no error when it is not here."""
        size = self.size(digest)
        if size is not None:
            self.path(digest).unlink(missing_ok=True)
            self._room.give(size)


class BlobWriter:
    """`with store.write(digest) as writer: writer.add(chunk)...; writer.commit()`; leaving without commit drops it."""

    def __init__(self, store: BlobStore, digest: str, file: Path, most: int, room: Room) -> None:
        self._store, self._digest, self._file, self._most, self._room = store, digest, file, most, room
        self._hash = hashlib.sha256()
        self._size = 0
        self._kept = False

    def __enter__(self) -> Self:
        self._handle = self._file.open("xb")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # what could not be written to a full disk is dropped below
            self._handle.close()
        if not self._kept:
            self._file.unlink(missing_ok=True)
            self._room.give(self._size)

    def expect(self, size: int) -> None:
        """Refuse early what is announced as too large."""
        if size > self._most:
            raise Refused(f"a blob may have at most {self._most} bytes, this one has {size}", TOO_LARGE)

    def add(self, chunk: bytes) -> None:
        """Take the next bytes; raises Refused 413 or 507."""
        self.expect(self._size + len(chunk))
        self._room.take(len(chunk))
        self._size += len(chunk)
        self._hash.update(chunk)
        with _disk():
            self._handle.write(chunk)

    def commit(self) -> int:
        """Make the blob visible and durable; returns its bytes; raises InvalidInput when the digest does not fit."""
        found = "sha256:" + self._hash.hexdigest()
        if found != self._digest:
            raise InvalidInput(f"these bytes have digest {found}, not {self._digest}")
        with _disk():
            self._handle.flush()
            os.fsync(self._handle.fileno())
        self._kept = self._store.place(self._digest, self._file)
        return self._size


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """A disk that is full is said as such."""
    try:
        yield
    except OSError as error:
        raise Refused(f"no room: {error.strerror or error}", FULL) from error
