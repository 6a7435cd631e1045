"""Moving whole models between a folder and the hub: resumable, bounded, and verified before anything is seen.

A download grows in `<name>.part` beside its goal and is renamed into place only once every digest fits, so a killed
process resumes where it was and a reader never sees half a model.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from umiak_workers.adapters.configfile import durable_write, fsync_folder
from umiak_workers.contract.errors import ArtefactError, Refused, Unavailable
from umiak_workers.contract.release import ReleaseFile
from umiak_workers.contract.wire import explain

MANIFEST_FILE = "manifest.json"
Progress = Callable[[int, int], None]
_FILES = TypeAdapter(tuple[ReleaseFile, ...])


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
    files = listing(manifest)
    total = sum(file.size for file in files) + len(manifest)
    if total > max_bytes:
        raise ArtefactError(f"model {digest} has {total} bytes, at most {max_bytes} are allowed")
    part = into.with_name(f"{into.name}.{digest.removeprefix('sha256:')[:16]}.part")
    part.mkdir(parents=True, exist_ok=True)
    done = 0
    for file in files:
        _fetch_file(hub, file, part / file.name, _shifted(progress, done, total))
        done += file.size
    durable_write(part / MANIFEST_FILE, manifest)
    _replace(part, into)
    return into


def _shifted(progress: Progress | None, base: int, total: int) -> Callable[[int], None]:
    def said(bytes_of_file: int) -> None:
        if progress:
            progress(base + bytes_of_file, total)

    return said


def _manifest(hub: Blobs, digest: str) -> bytes:
    manifest = hub.manifest_bytes(digest)
    if manifest is None:
        raise Refused(f"the hub has no model {digest}", 404)
    if sha256(manifest) != digest:
        raise ArtefactError(f"the manifest of model {digest} has digest {sha256(manifest)}: altered on its way")
    return manifest


def listing(manifest: bytes) -> tuple[ReleaseFile, ...]:
    """The files that a manifest names; raises ArtefactError."""
    try:
        return _FILES.validate_python(json.loads(manifest)["files"])
    except ValidationError as error:
        raise ArtefactError(f"manifest: {explain(error)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError("manifest: not a JSON object with `files`") from error


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
    """Upload a model folder: missing blobs first, the manifest last; returns the model's digest."""
    try:
        manifest = (folder / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise ArtefactError(f"{folder / MANIFEST_FILE}: {error.strerror or error}") from error
    digest = sha256(manifest)
    for file in listing(manifest):
        if not hub.has_blob(file.digest):
            hub.put_blob(file.digest, folder / file.name)
    hub.put_manifest(digest, manifest)
    return digest


def sha256(data: bytes) -> str:
    """`sha256:<hex>` of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def file_digest(file: Path) -> str:
    """`sha256:<hex>` of a file, read in pieces."""
    with file.open("rb") as handle:
        return "sha256:" + hashlib.file_digest(handle, "sha256").hexdigest()
