"""The disk side of a directory source: what lies in the folder, what leaves it, what is set aside as unusable.

All of it blocks; the source calls it from a thread.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from umiak_workers.adapters.configfile import fsync_folder

MOST_REJECTED = 100
"""files kept aside, the newest ones"""
UNFINISHED = (".part", ".tmp", ".crdownload")


@dataclass(frozen=True)
class Photo:
    """A file of the folder. `identity` tells it from a later file of the same name."""

    name: str
    identity: str
    size: int
    modified: int
    """nanoseconds"""


class Folder:
    """A folder that photos are put into, and a second one for those that cannot be used."""

    def __init__(self, inbox: Path, rejected: Path) -> None:
        self._inbox = inbox
        self._rejected = rejected

    def create(self) -> None:
        """Make both folders."""
        self._inbox.mkdir(parents=True, exist_ok=True)
        self._rejected.mkdir(parents=True, exist_ok=True)

    def photos(self) -> list[Photo]:
        """Every plain file that does not look unfinished, oldest first."""
        found = []
        with os.scandir(self._inbox) as entries:
            for entry in entries:
                photo = None if _hidden(entry.name) else _photo(entry)
                if photo:
                    found.append(photo)
        return sorted(found, key=lambda photo: (photo.modified, photo.name))

    def read(self, photo: Photo, most: int) -> bytes | None:
        """Its bytes, at most one more than `most`; None if it is gone."""
        try:
            with open(self._inbox / photo.name, "rb") as file:
                return file.read(most + 1)
        except FileNotFoundError:
            return None

    def remove(self, photos: Sequence[Photo]) -> None:
        """Take answered photos out durably; a file that was replaced meanwhile stays."""
        for photo in photos:
            if self._still(photo):
                (self._inbox / photo.name).unlink(missing_ok=True)
        fsync_folder(self._inbox)

    def reject(self, photo: Photo, reason: str) -> None:
        """Set a photo aside with its reason; the oldest ones there make room."""
        if self._still(photo):
            (self._inbox / photo.name).replace(self._rejected / photo.name)
            (self._rejected / f"{photo.name}.reason.txt").write_text(reason + "\n")
        fsync_folder(self._inbox)
        self._keep_newest()

    def _still(self, photo: Photo) -> bool:
        try:
            facts = (self._inbox / photo.name).stat()
        except FileNotFoundError:
            return False
        return _identity(facts) == photo.identity

    def _keep_newest(self) -> None:
        files = [entry for entry in os.scandir(self._rejected) if not entry.name.endswith(".reason.txt")]
        by_age = sorted(files, key=lambda entry: entry.stat().st_ctime_ns)
        for entry in by_age[: max(0, len(by_age) - MOST_REJECTED)]:
            Path(entry.path).unlink(missing_ok=True)
            Path(entry.path + ".reason.txt").unlink(missing_ok=True)


def names_of(photos: Collection[Photo]) -> list[str]:
    """Their names."""
    return [photo.name for photo in photos]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.endswith(UNFINISHED) or not name.isprintable()


def _photo(entry: "os.DirEntry[str]") -> Photo | None:
    try:
        if not entry.is_file(follow_symlinks=False):
            return None
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Photo(entry.name, _identity(facts), facts.st_size, facts.st_mtime_ns)


def _identity(facts: os.stat_result) -> str:
    return f"{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ctime_ns}"
