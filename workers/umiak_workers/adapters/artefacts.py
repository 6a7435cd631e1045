"""Model artefacts on disk: a folder is read only when every byte is as its manifest says, and written whole."""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import load, save

import umiak_workers
from umiak_workers.contract.artefact import (
    CARD,
    GOLDEN,
    GRAPH,
    MANIFEST,
    WEIGHTS,
    Card,
    FileFact,
    Manifest,
    model_digest,
    parse_card,
    parse_manifest,
)
from umiak_workers.contract.errors import ArtefactError
from umiak_workers.core.model import Golden, Model, Tensors

LIMITS = {MANIFEST: 64 << 10, CARD: 1 << 20, GRAPH: 64 << 20, WEIGHTS: 8 << 30, GOLDEN: 256 << 20}
"""Largest size in bytes of each file that is read."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Artefact:
    """A folder whose bytes were verified against its manifest."""

    card: Card
    manifest: Manifest
    digest: str
    folder: Path


def read_artefact(folder: Path, expected: str | None = None) -> Artefact:
    """Verify every file of `folder`; raises ArtefactError that names the first thing wrong.

    With `expected` (`sha256:<hex>`) a folder that holds another model is refused as well.
    """
    names = _names(folder)
    if MANIFEST not in names:
        raise ArtefactError(f"{folder}: {MANIFEST} is missing; a model artefact is a folder with one")
    manifest = parse_manifest(_read_small(folder, MANIFEST))
    _compare(folder, names, {MANIFEST, *manifest.files})
    digest = model_digest(manifest)
    if expected is not None and digest != expected:
        raise ArtefactError(f"{folder} holds {digest}, not {expected}")
    for name, fact in manifest.files.items():
        _verify(folder, name, fact)
    card = parse_card(_read_small(folder, CARD))
    if (GRAPH in manifest.files) != (card.task != "promptable-segmentation"):
        raise ArtefactError(
            f"{folder}: a {card.task} model comes {'without' if GRAPH in manifest.files else 'with'} {GRAPH}"
        )
    return Artefact(card, manifest, digest, folder)


def write_artefact(folder: Path, card: Card, graph: bytes, weights: Tensors, golden: Golden) -> str:
    """Write a new artefact folder atomically and return its digest; raises ArtefactError if another model is there.

    An empty `graph` (a promptable model) is left out.
    """
    contents = {
        CARD: card.canonical_bytes(),
        GRAPH: graph,
        WEIGHTS: save({name: np.ascontiguousarray(tensor) for name, tensor in weights.items()}),
        GOLDEN: save(_golden_tensors(golden)),
    }
    if not graph:
        del contents[GRAPH]
    facts = {name: FileFact(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in contents.items()}
    manifest = Manifest(files=facts)
    digest = model_digest(manifest)
    if folder.exists():
        read_artefact(folder, digest)
        return digest
    _write_whole(folder, {**contents, MANIFEST: manifest.canonical_bytes()})
    return digest


def load_model(folder: Path, expected: str | None = None) -> Model:
    """Read a whole model; what is returned is made of the very bytes that were verified. Raises ArtefactError."""
    artefact = read_artefact(folder, expected)
    contents = {name: _read_verified(folder, name, fact) for name, fact in artefact.manifest.files.items()}
    weights = _tensors(folder / WEIGHTS, contents[WEIGHTS])
    golden = _golden(folder / GOLDEN, _tensors(folder / GOLDEN, contents[GOLDEN]))
    return Model(artefact.card, artefact.digest, contents.get(GRAPH, b""), weights, golden)


def builtin_folder(name: str) -> Path:
    """The folder of a model that comes with the package; raises ArtefactError that lists what there is."""
    home = Path(umiak_workers.__file__).parent / "builtin"
    known = sorted(entry.name for entry in home.iterdir() if (entry / MANIFEST).is_file()) if home.is_dir() else []
    if name not in known:
        raise ArtefactError(f"no built-in model is called {name!r}; there are {', '.join(known) or 'none'}")
    return home / name


def folder_named(text: str) -> Path:
    """The folder that a person means: `builtin:NAME` or a path; raises ArtefactError."""
    scheme, _, name = text.partition(":")
    return builtin_folder(name) if scheme == "builtin" else Path(text)


def _golden(path: Path, tensors: Tensors) -> Golden:
    if set(tensors) != {"image", "logits", "tolerance"}:
        raise ArtefactError(f"{path}: holds {sorted(tensors)}, expected image, logits, tolerance")
    image, logits, tolerance = tensors["image"], tensors["logits"], tensors["tolerance"]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ArtefactError(f"{path}: image must be HxWx3 uint8, it is {image.shape} {image.dtype}")
    if logits.dtype != np.float32 or logits.ndim not in (1, 2, 3) or not np.isfinite(logits).all():
        raise ArtefactError(
            f"{path}: logits must be finite float32, Cxhxw or C, they are {logits.shape} {logits.dtype}"
        )
    if tolerance.shape != (1,) or not 0 < float(tolerance[0]) < np.inf:
        raise ArtefactError(f"{path}: tolerance must be one positive number")
    return Golden(image, logits, float(tolerance[0]))


def _golden_tensors(golden: Golden) -> dict[str, NDArray[Any]]:
    return {
        "image": np.ascontiguousarray(golden.image),
        "logits": np.ascontiguousarray(golden.logits, dtype=np.float32),
        "tolerance": np.asarray([golden.tolerance], dtype=np.float64),
    }


def _tensors(path: Path, data: bytes) -> dict[str, NDArray[Any]]:
    try:
        return dict(load(data))
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ArtefactError(f"{path}: not a readable safetensors file ({error})") from error


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder)}
    except OSError as error:
        raise ArtefactError(f"{folder}: cannot be read as a model artefact ({error.strerror})") from error


def _compare(folder: Path, found: set[str], wanted: set[str]) -> None:
    if missing := sorted(wanted - found):
        raise ArtefactError(f"{folder}: {', '.join(missing)} missing")
    if extra := sorted(found - wanted):
        raise ArtefactError(f"{folder}: {', '.join(extra)} not in the manifest")


def _open_regular(folder: Path, name: str) -> int:
    """A descriptor of a regular file that is no link and within its limit."""
    path = folder / name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        why = "is a symbolic link" if error.errno == errno.ELOOP else str(error.strerror)
        raise ArtefactError(f"{path}: {why}") from error
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > LIMITS[name]:
        os.close(descriptor)
        raise ArtefactError(f"{path}: not a regular file of at most {LIMITS[name]} bytes")
    return descriptor


def _read_small(folder: Path, name: str) -> bytes:
    with os.fdopen(_open_regular(folder, name), "rb") as file:
        return file.read(LIMITS[name] + 1)


def _read_verified(folder: Path, name: str, fact: FileFact) -> bytes:
    with os.fdopen(_open_regular(folder, name), "rb") as file:
        data = file.read(LIMITS[name] + 1)
    if hashlib.sha256(data).hexdigest() != fact.sha256:
        raise ArtefactError(f"{folder / name}: its SHA-256 is not the manifest's")
    return data


def _verify(folder: Path, name: str, fact: FileFact) -> None:
    hashed, size = hashlib.sha256(), 0
    with os.fdopen(_open_regular(folder, name), "rb") as file:
        while chunk := file.read(CHUNK):
            hashed.update(chunk)
            size += len(chunk)
    if size != fact.size:
        raise ArtefactError(f"{folder / name}: {size} bytes, the manifest says {fact.size}")
    if hashed.hexdigest() != fact.sha256:
        raise ArtefactError(f"{folder / name}: its SHA-256 is not the manifest's")


def _write_whole(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.tmp"
    draft.mkdir()
    try:
        for name, data in contents.items():
            with open(draft / name, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(draft)
        draft.rename(folder)
        _sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise ArtefactError(f"{folder}: cannot be written ({error})") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
