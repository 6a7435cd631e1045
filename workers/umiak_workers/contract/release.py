"""Releases of a model line: the record, its canonical bytes and the signed envelope around it.

The envelope follows DSSE (Dead Simple Signing Envelope, protocol 1.0.2): what is signed is the pre-authentication
encoding of type and payload, so a signature cannot be moved to another kind of document.
"""

import base64
import json
from typing import Annotated, Literal

from pydantic import Field

from umiak_workers.contract.errors import ReleaseError
from umiak_workers.contract.messages import Digest
from umiak_workers.contract.wire import Message, parse

PAYLOAD_TYPE = "application/vnd.umiak.release.v1+json"
LINE_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"


class ReleaseFile(Message):
    """One file to fetch, by its own digest: today a file of the whole artefact, later a patch."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$")]
    digest: Digest
    size: Annotated[int, Field(ge=0)]


class Release(Message):
    """What a line's head is, from `sequence` on. `from_digest` is the head it replaces (None: the first)."""

    version: Literal[1] = 1
    line: Annotated[str, Field(pattern=LINE_PATTERN)]
    sequence: Annotated[int, Field(ge=1)]
    from_digest: Digest | None = None
    to_digest: Digest
    codec: Literal["whole"] = "whole"
    files: tuple[ReleaseFile, ...]
    owner: str = ""
    """uid of the ModelPatch that asked for it; empty for the initial model."""
    created_at: float

    def canonical(self) -> bytes:
        """Bytes that are the same wherever the same release is written."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()


class Signature(Message):
    """One signature: the key's id (SHA-256 of the raw public key, hex) and base64 of the Ed25519 signature."""

    keyid: str
    sig: str


class Envelope(Message):
    """A DSSE envelope."""

    payload_type: str = PAYLOAD_TYPE
    payload: str
    signatures: tuple[Signature, ...]

    def payload_bytes(self) -> bytes:
        """The decoded payload; raises ReleaseError."""
        try:
            return base64.b64decode(self.payload, validate=True)
        except ValueError as error:
            raise ReleaseError("the release's payload is not base64") from error


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """DSSE PAE: what is really signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def release_of(envelope: Envelope) -> Release:
    """The release inside an envelope whose signature was already verified (`core.release`)."""
    return parse(Release, envelope.payload_bytes())
