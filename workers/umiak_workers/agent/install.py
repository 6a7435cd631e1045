"""Getting a whole, verified model into the slot that is not in force, from the hub or from this machine."""

import os
import shutil
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from umiak_workers.adapters.artefacts import builtin_folder, read_artefact
from umiak_workers.adapters.configfile import fsync_folder
from umiak_workers.adapters.model_transfer import Progress
from umiak_workers.adapters.slots import SLOTS, SlotName, Slots
from umiak_workers.contract.artefact import MANIFEST
from umiak_workers.contract.config import ModelSource
from umiak_workers.contract.errors import ArtefactError


class Models(Protocol):
    """The part of the hub that gives models."""

    def fetch_model(self, digest: str, into: Path, max_bytes: int, progress: Progress | None) -> Path:
        """Download into a folder, resumable; see `model_transfer.fetch`."""
        ...


def holds_whole(slots: Slots, slot: SlotName, digest: str) -> bool:
    """Whether every byte of this model is in the slot."""
    try:
        return read_artefact(slots.folder(slot), digest).digest == digest
    except ArtefactError:
        return False


def download(models: Models, slots: Slots, digest: str, most_bytes: int, progress: Progress) -> None:
    """Fetch a model from the hub into the other slot and read it back; raises ArtefactError, Refused, Unavailable."""
    slot = slots.other_slot()
    forget_downloads(slots, digest)
    into = slots.folder(slot)
    into.parent.mkdir(parents=True, exist_ok=True)
    models.fetch_model(digest, into, most_bytes, progress)
    read_artefact(into, digest)


def local_folder(source: ModelSource) -> Path | None:
    """Where a `builtin:` or `file:` model lies on this machine, None for any other URI or where there is none."""
    try:
        parts = urlsplit(source.uri)
    except ValueError:
        return None
    if parts.scheme == "builtin":
        try:
            return builtin_folder(parts.path)
        except ArtefactError:
            return None
    folder = Path(unquote(parts.path))
    return folder if parts.scheme == "file" and folder.is_dir() else None


def copy_local(source: Path, slots: Slots, digest: str, most_bytes: int) -> None:
    """Copy a model of this machine into the other slot; raises ArtefactError unless it is whole and has this digest."""
    artefact = read_artefact(source, digest)
    if (size := sum(fact.size for fact in artefact.manifest.files.values())) > most_bytes:
        raise ArtefactError(f"{source} has {size} bytes, at most {most_bytes} are allowed")
    into = slots.folder(slots.other_slot())
    draft = into.with_name(f"{into.name}.local.part")
    draft.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for name in (MANIFEST, *artefact.manifest.files):
        _copy_durably(source / name, draft / name)
    fsync_folder(draft)
    read_artefact(draft, digest)
    empty(into)
    draft.replace(into)
    fsync_folder(into.parent)


def _copy_durably(source: Path, to: Path) -> None:
    shutil.copyfile(source, to)
    with to.open("rb") as copied:
        os.fsync(copied.fileno())


def empty(folder: Path) -> None:
    """Remove an artefact folder, its manifest first, so that a half-removed one claims nothing."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def forget_downloads(slots: Slots, wanted: str | None) -> None:
    """Remove half downloads of every other model than `wanted`, so that they never add up."""
    parent = slots.folder(SLOTS[0]).parent
    mark = wanted.removeprefix("sha256:")[:16] if wanted else None
    for part in parent.glob("*.part"):
        if mark is None or mark not in part.name:
            shutil.rmtree(part, ignore_errors=True)
