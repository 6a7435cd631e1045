"""One look at the hub: sign what waits and may be signed, say once why something may not."""

from collections.abc import Callable
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from umiak_workers.contract.artefact import parse_manifest
from umiak_workers.contract.errors import ArtefactError, Refused, ReleaseError
from umiak_workers.contract.release import Envelope, Release
from umiak_workers.core.release import sign
from umiak_workers.signer import policy
from umiak_workers.signer.book import Book

log = structlog.get_logger()


class Hub(Protocol):
    """What the signer needs of the hub."""

    def signing(self) -> tuple[Release, ...]:
        """Releases that wait."""
        ...

    def manifest_bytes(self, digest: str) -> bytes | None:
        """A model's manifest."""
        ...

    def put_signed(self, release: Release, envelope: Envelope) -> None:
        """Hand in a signature."""
        ...


class Signer:
    """Holds the key; `step` may be called for ever."""

    def __init__(self, hub: Hub, key: Ed25519PrivateKey, book: Book) -> None:
        self._hub, self._key, self._book = hub, key, book
        self._said: set[tuple[str, int, str]] = set()

    def step(self, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Sign everything that waits and passes the policy; returns how many. Raises Unavailable, IdentityError."""
        waiting = self._hub.signing()
        there = {(release.line, release.sequence) for release in waiting}
        self._said = {said for said in self._said if said[:2] in there}
        count = 0
        for release in waiting:
            if should_stop():
                break
            count += self._one(release)
        return count

    def _one(self, release: Release) -> bool:
        try:
            self._check(release)
            self._book.enter(release)
            self._hub.put_signed(release, sign(release, self._key))
        except (ReleaseError, ArtefactError, Refused) as error:
            self._refuse(release, str(error))
            return False
        log.info("signed", line=release.line, sequence=release.sequence, digest=release.to_digest, owner=release.owner)
        return True

    def _check(self, release: Release) -> None:
        text = self._hub.manifest_bytes(release.to_digest)
        if text is None:
            raise ReleaseError(f"the hub has no model {release.to_digest}")
        policy.check(release, self._book.lines, parse_manifest(text))

    def _refuse(self, release: Release, reason: str) -> None:
        said = (release.line, release.sequence, reason)
        if said not in self._said:
            log.error("not signed", line=release.line, sequence=release.sequence, reason=reason)
        self._said.add(said)
