"""The signer signs the next release of a line for the model that is really there, whatever else it is asked."""

from pathlib import Path

import pytest
from hub_kit import SIGNING_KEY, TRUSTED, digest_of
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.artefact import FILES, FileFact, Manifest, model_digest
from umiak_workers.contract.errors import ConfigError, Refused, ReleaseError, Unavailable
from umiak_workers.contract.release import Envelope, Release, ReleaseFile
from umiak_workers.core.release import files_of, verify
from umiak_workers.signer import policy
from umiak_workers.signer.book import Book
from umiak_workers.signer.loop import Signer


def manifest_of(seed: int) -> Manifest:
    sha = digest_of(str(seed).encode()).removeprefix("sha256:")
    return Manifest(files={name: FileFact(sha256=sha, size=1 + seed) for name in FILES})


def release_of(sequence: int, seed: int = 0, line: str = "plant/yard", created_at: float = 1.0) -> Release:
    manifest = manifest_of(seed)
    return Release(
        line=line,
        sequence=sequence,
        to_digest=model_digest(manifest),
        files=files_of(manifest),
        created_at=created_at,
    )


class HubTwin:
    """A hub that may lie: it asks for what it likes and serves any manifest."""

    def __init__(self) -> None:
        self.asks: list[Release] = []
        self.got: list[Envelope] = []
        self.manifests = {model_digest(manifest_of(seed)): manifest_of(seed).canonical_bytes() for seed in range(4)}
        self.fails: Exception | None = None

    def signing(self) -> tuple[Release, ...]:
        return tuple(self.asks)

    def manifest_bytes(self, digest: str) -> bytes | None:
        return self.manifests.get(digest)

    def put_signed(self, release: Release, envelope: Envelope) -> None:
        if self.fails:
            raise self.fails
        self.got.append(envelope)


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3), st.sampled_from(("a/a", "a/b"))), max_size=25))
def test_whatever_a_hub_asks_no_number_is_signed_for_two_releases(asked: list[tuple[int, int, str]]) -> None:
    book: dict[str, policy.Signed] = {}
    signed: dict[tuple[str, int], str] = {}
    highest: dict[str, int] = {}
    for sequence, seed, line in asked:
        release = release_of(sequence, seed, line)
        try:
            policy.check(release, book, manifest_of(seed))
        except ReleaseError:
            continue
        text = release.canonical().decode()
        assert signed.setdefault((line, sequence), text) == text
        assert sequence >= highest.get(line, 0)
        highest[line] = sequence
        book[line] = policy.Signed(sequence, text)


@pytest.mark.parametrize("sequence", [policy.LARGEST_STEP + 1, 2**62])
def test_numbers_are_not_used_up_at_once(sequence: int) -> None:
    with pytest.raises(ReleaseError, match="the last one signed is 0"):
        policy.check(release_of(sequence), {}, manifest_of(0))


def test_files_that_are_not_the_models_are_refused() -> None:
    good = release_of(1)
    policy.check(good, {}, manifest_of(0))
    for files in ((), good.files[:-1], (*good.files, ReleaseFile(name="extra", digest=good.to_digest, size=1))):
        with pytest.raises(ReleaseError, match="files"):
            policy.check(good.model_copy(update={"files": files}), {}, manifest_of(0))
    with pytest.raises(ReleaseError, match="manifest at the hub"):
        policy.check(good, {}, manifest_of(1))


def test_what_is_signed_verifies_and_is_remembered(tmp_path: Path) -> None:
    hub, book = HubTwin(), Book(tmp_path)
    hub.asks = [release_of(1)]
    assert Signer(hub, SIGNING_KEY, book).step() == 1
    assert verify(hub.got[0], TRUSTED) == hub.asks[0]
    again = Book(tmp_path)
    again.open()
    assert again.lines == book.lines
    hub.asks = [release_of(1, seed=2)]
    assert Signer(hub, SIGNING_KEY, again).step() == 0
    assert len(hub.got) == 1


def test_a_hub_that_died_before_it_took_the_signature_gets_it_again(tmp_path: Path) -> None:
    hub, book = HubTwin(), Book(tmp_path)
    hub.asks, hub.fails = [release_of(1)], Unavailable("hub: connection refused")
    signer = Signer(hub, SIGNING_KEY, book)
    with pytest.raises(Unavailable):
        signer.step()
    hub.fails = None
    assert signer.step() == 1


def test_one_bad_release_does_not_hold_up_the_others(tmp_path: Path) -> None:
    hub = HubTwin()
    altered = release_of(1, line="plant/bad").model_copy(update={"files": ()})
    unknown = release_of(1, line="plant/none").model_copy(update={"to_digest": digest_of(b"never")})
    hub.asks = [altered, unknown, release_of(1)]
    hub.manifests[digest_of(b"broken")] = b"{}"
    assert Signer(hub, SIGNING_KEY, Book(tmp_path)).step() == 1
    assert [verify(envelope, TRUSTED).line for envelope in hub.got] == ["plant/yard"]


def test_a_refused_hand_in_is_not_an_end(tmp_path: Path) -> None:
    hub = HubTwin()
    hub.asks, hub.fails = [release_of(1)], Refused("withdrawn", 404)
    signer = Signer(hub, SIGNING_KEY, Book(tmp_path))
    assert signer.step() == 0
    hub.asks, hub.fails = [release_of(2, seed=1)], None
    assert signer.step() == 1


def test_a_damaged_book_stops_the_signer(tmp_path: Path) -> None:
    (tmp_path / "signed.json").write_text('{"lines": {"plant/yard": {"sequence": "1"}}}')
    with pytest.raises(ConfigError, match=r"signed\.json.*old numbers"):
        Book(tmp_path).open()
