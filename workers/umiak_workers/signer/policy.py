"""Pure: may this release be signed? The signer asks this itself and believes the hub in nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from umiak_workers.contract.artefact import Manifest, model_digest
from umiak_workers.contract.errors import ReleaseError
from umiak_workers.contract.release import Release
from umiak_workers.core.release import files_of

LARGEST_STEP = 1000
"""A hub may withdraw what it asked for, so numbers may be left out; it may not use them all up at once."""


@dataclass(frozen=True)
class Signed:
    """The last release signed for a line: its sequence and the canonical text that was signed."""

    sequence: int
    record: str


def check(release: Release, book: Mapping[str, Signed], manifest: Manifest) -> None:
    """Raise ReleaseError unless `release` is the next of its line and names exactly the files of its model.

    The very release that was signed last may be signed again: the hub may have died before it took the signature.
    """
    last = book.get(release.line, Signed(0, ""))
    if not last.sequence < release.sequence <= last.sequence + LARGEST_STEP and not is_again(release, book):
        raise ReleaseError(f"sequence {release.sequence} of {release.line}: the last one signed is {last.sequence}")
    if model_digest(manifest) != release.to_digest:
        raise ReleaseError(f"the manifest at the hub is {model_digest(manifest)}, the release says {release.to_digest}")
    if release.codec == "whole" and release.files != files_of(manifest):
        raise ReleaseError(f"the files of release {release.sequence} of {release.line} are not those of its model")


def is_again(release: Release, book: Mapping[str, Signed]) -> bool:
    """Whether exactly this was signed last."""
    last = book.get(release.line)
    return last is not None and last.record == release.canonical().decode()
