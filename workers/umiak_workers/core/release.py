"""Signing releases, and deciding whether a signed one may be believed and taken.

The signature covers the DSSE pre-authentication encoding (payload type and payload), by Ed25519. Believing a release
(`verify`) and taking it (`check_acceptable`) are two questions: the first is about who said it, the second about what
this reader has accepted before (invariant I3: an accepted sequence never decreases).
"""

import base64
import hashlib
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from umiak_workers.contract.artefact import Manifest
from umiak_workers.contract.errors import ConfigError, MessageError, ReleaseError
from umiak_workers.contract.release import (
    PAYLOAD_TYPE,
    Envelope,
    Release,
    ReleaseFile,
    Signature,
    pre_authentication_encoding,
    release_of,
)


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half as configs state it: base64 of the 32 raw bytes."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def key_id(trusted: str) -> str:
    """SHA-256 (hex) of a public key that is given as base64 of its 32 raw bytes; raises ConfigError."""
    return hashlib.sha256(_raw(trusted)).hexdigest()


def _raw(trusted: str) -> bytes:
    try:
        raw = base64.b64decode(trusted, validate=True)
    except ValueError as error:
        raise ConfigError("trusted_keys: a key must be base64 of 32 raw Ed25519 bytes") from error
    if len(raw) != 32:
        raise ConfigError(f"trusted_keys: a key has {len(raw)} bytes, an Ed25519 public key has 32")
    return raw


def sign(release: Release, key: Ed25519PrivateKey) -> Envelope:
    """The signed envelope around a release's canonical bytes."""
    payload = release.canonical()
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return Envelope(
        payload=base64.b64encode(payload).decode(),
        signatures=(Signature(keyid=key_id(public_text(key)), sig=base64.b64encode(signature).decode()),),
    )


def verify(envelope: Envelope, trusted_keys: Iterable[str]) -> Release:
    """The release inside, if at least one trusted key signed it.

    `trusted_keys`: base64 of raw Ed25519 public keys. Raises ReleaseError: unsigned, only strangers' keys, another
    kind of document, altered, or a payload that is no release.
    """
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ReleaseError(f"the signed document is a {envelope.payload_type!r}, not a release")
    if not envelope.signatures:
        raise ReleaseError("the release is not signed")
    keys = {key_id(text): Ed25519PublicKey.from_public_bytes(_raw(text)) for text in trusted_keys}
    ours = [signature for signature in envelope.signatures if signature.keyid in keys]
    if not ours:
        raise ReleaseError("the release is signed by no key that is trusted here")
    signed = pre_authentication_encoding(envelope.payload_type, envelope.payload_bytes())
    if not any(_fits(keys[signature.keyid], signature.sig, signed) for signature in ours):
        raise ReleaseError("the release's signature does not fit its content: it was altered")
    try:
        return release_of(envelope)
    except MessageError as error:
        raise ReleaseError(f"the signed payload is not a release: {error}") from error


def _fits(key: Ed25519PublicKey, signature: str, signed: bytes) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def check_acceptable(release: Release, line: str, accepted_sequence: int, accepted_digest: str | None = None) -> None:
    """Raise ReleaseError unless a reader that follows `line` may take this verified release.

    `accepted_sequence` is the highest sequence taken so far (0: none) and `accepted_digest` what it led to. The same
    sequence again is fine (a restart), but only for the same model.
    """
    if release.line != line:
        raise ReleaseError(f"a release of line {release.line}, this is {line}")
    if release.sequence < accepted_sequence:
        raise ReleaseError(f"sequence {release.sequence} is older than the accepted {accepted_sequence}")
    if release.sequence == accepted_sequence and accepted_digest not in (None, release.to_digest):
        raise ReleaseError(f"sequence {release.sequence} was accepted before for {accepted_digest}")


def files_of(manifest: Manifest) -> tuple[ReleaseFile, ...]:
    """The blobs of a model by name, digest and size in bytes, sorted by name; the manifest is not among them."""
    return tuple(
        ReleaseFile(name=name, digest=f"sha256:{fact.sha256}", size=fact.size)
        for name, fact in sorted(manifest.files.items())
    )
