"""Moving whole models between a folder and the hub: resumable, bounded, and verified before anything is seen.

A download grows in `<name>.part` beside its goal and is renamed into place only once every digest fits, so a killed
process resumes where it was and a reader never sees half a model.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from umiak_workers.adapters.artefacts import read_artefact
from umiak_workers.adapters.configfile import durable_write, fsync_folder
from umiak_workers.contract.artefact import MANIFEST, Manifest, model_digest, parse_manifest
from umiak_workers.contract.errors import ArtefactError, Refused, Unavailable
from umiak_workers.contract.release import ReleaseFile
from umiak_workers.core.release import files_of

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


class Blobs(Protocol):
    """The part of the hub's client that moving models needs."""

    def manifest_bytes(self, digest: str) -> bytes | None:
        """Canonical manifest, None when unknown."""

    def has_blob(self, digest: str) -> bool:
        """Whether the bytes are there."""

    def blob(self, digest: str, start: int) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        """(offset of the first byte, chunks)."""

    def put_blob(self, digest: str, file: Path) -> None:
        """Upload one file."""

    def put_manifest(self, digest: str, manifest: bytes) -> None:
        """Make the model known."""


def fetch(hub: Blobs, digest: str, into: Path, max_bytes: int, progress: Progress | None) -> Path:
    """Download a model to the folder `into` (an old folder there is replaced); returns `into`.

    Raises ArtefactError (altered, too large), Refused 404 (unknown model), Unavailable (call again to resume).
    """
    manifest = _manifest(hub, digest)
    files = files_of(manifest)
    total = sum(file.size for file in files)
    if total > max_bytes:
        raise ArtefactError(f"model {digest} has {total} bytes, at most {max_bytes} are allowed")
    part = into.with_name(f"{into.name}.{digest.removeprefix('sha256:')[:16]}.part")
    part.mkdir(parents=True, exist_ok=True)
    done = 0
    for file in files:
        _fetch_file(hub, file, part / file.name, _shifted(progress, done, total))
        done += file.size
    durable_write(part / MANIFEST, manifest.canonical_bytes())
    _replace(part, into)
    return into


def _shifted(progress: Progress | None, base: int, total: int) -> Callable[[int], None]:
    def said(bytes_of_file: int) -> None:
        if progress:
            progress(base + bytes_of_file, total)

    return said


def _manifest(hub: Blobs, digest: str) -> Manifest:
    text = hub.manifest_bytes(digest)
    if text is None:
        raise Refused(f"the hub has no model {digest}", 404)
    manifest = parse_manifest(text)
    if model_digest(manifest) != digest:
        raise ArtefactError(f"the manifest of model {digest} has another digest: altered on its way")
    return manifest


def _fetch_file(hub: Blobs, file: ReleaseFile, to: Path, progress: Callable[[int], None]) -> None:
    start = to.stat().st_size if to.exists() else 0
    if start > file.size:
        to.unlink()
        start = 0
    if start < file.size or not to.exists():
        _append(hub, file, to, start, progress)
    if file_digest(to) != file.digest:
        to.unlink()
        raise ArtefactError(f"{file.name}: the downloaded bytes do not have digest {file.digest}")
    progress(file.size)


def _append(hub: Blobs, file: ReleaseFile, to: Path, start: int, progress: Callable[[int], None]) -> None:
    with hub.blob(file.digest, start) as (offset, chunks), to.open("r+b" if to.exists() else "wb") as handle:
        handle.truncate(offset)
        handle.seek(offset)
        written = offset
        for chunk in chunks:
            written += len(chunk)
            if written > file.size:
                raise ArtefactError(f"{file.name}: longer than the {file.size} bytes its manifest states")
            handle.write(chunk)
            progress(written)
        handle.flush()
        os.fsync(handle.fileno())
    if written < file.size:
        raise Unavailable(f"{file.name}: the download ended after {written} of {file.size} bytes")


def _replace(part: Path, into: Path) -> None:
    fsync_folder(part)
    if into.exists():
        shutil.rmtree(into)
    part.replace(into)
    fsync_folder(into.parent)


def push(hub: Blobs, folder: Path) -> str:
    """Upload a model folder, verified first: missing blobs, then the manifest; returns the model's digest."""
    artefact = read_artefact(folder)
    for file in files_of(artefact.manifest):
        if not hub.has_blob(file.digest):
            hub.put_blob(file.digest, folder / file.name)
    hub.put_manifest(artefact.digest, artefact.manifest.canonical_bytes())
    return artefact.digest


def file_digest(file: Path) -> str:
    """`sha256:<hex>` of a file, read in pieces."""
    with file.open("rb") as handle:
        return "sha256:" + hashlib.file_digest(handle, "sha256").hexdigest()
