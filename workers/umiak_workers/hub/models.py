"""The models that the hub holds whole: a manifest is taken only when every blob it names is there and fits."""

from sqlalchemy import Connection, insert, select

from umiak_workers.adapters.blobstore import BlobStore
from umiak_workers.contract.artefact import Manifest, model_digest, parse_manifest
from umiak_workers.contract.errors import InvalidInput
from umiak_workers.core.release import files_of
from umiak_workers.hub import lines, tables
from umiak_workers.hub.change import Change

_models = tables.models.c


def manifest_text(sql: Connection, digest: str) -> str | None:
    """The canonical manifest, None for a model that is not here."""
    text: str | None = sql.execute(select(_models.manifest).where(_models.digest == digest)).scalar()
    return text


def check(blobs: BlobStore, digest: str, text: bytes) -> Manifest:
    """The manifest if it is canonical, has this digest and all its blobs are here.

    Raises ArtefactError or InvalidInput that names what is missing or does not fit.
    """
    manifest = parse_manifest(text)
    if model_digest(manifest) != digest:
        raise InvalidInput(f"this manifest has digest {model_digest(manifest)}, not {digest}")
    for file in files_of(manifest):
        size = blobs.size(file.digest)
        if size is None:
            raise InvalidInput(f"{file.name}: put blob {file.digest} first")
        if size != file.size:
            raise InvalidInput(f"{file.name}: blob {file.digest} has {size} bytes, the manifest says {file.size}")
    return manifest


def add(change: Change, digest: str, manifest: Manifest) -> None:
    """Hold a checked model, and let releases that waited for it go on."""
    if manifest_text(change.sql, digest) is not None:
        return
    size = sum(file.size for file in files_of(manifest))
    row = {"digest": digest, "manifest": manifest.canonical_bytes().decode(), "bytes": size, "stored_at": change.now}
    change.sql.execute(insert(tables.models).values(**row))
    for line in lines.with_model(change.sql, digest):
        lines.advance(change, line)


def blobs_in_use(sql: Connection) -> set[str]:
    """Digests of every blob that a held model names."""
    texts = sql.execute(select(_models.manifest)).scalars()
    return {file.digest for text in texts for file in files_of(parse_manifest(text.encode()))}
