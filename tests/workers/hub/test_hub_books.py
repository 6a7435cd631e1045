"""The hub's books by themselves, on SQLite and on a real PostgreSQL."""

import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_kit import NOBODY, SIGNING_KEY, HubKit, digest_of, hub_config, png, router_state, sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_kit import Postgres
from sqlalchemy import text, update

from umiak_workers.adapters.database import Database
from umiak_workers.contract.artefact import FILES, FileFact, Manifest, model_digest
from umiak_workers.contract.errors import ConfigError, Refused, Unavailable
from umiak_workers.contract.fleet import ReplaySpec
from umiak_workers.contract.messages import RoundReport
from umiak_workers.contract.release import Release
from umiak_workers.contract.wire import parse
from umiak_workers.core.release import files_of, sign
from umiak_workers.hub import housekeeping, replay, tables
from umiak_workers.hub.hub import Hub

KIT = HubKit(None, 0, Path())
"""Only for its specs; no process behind it."""


class Moment:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "sqlite":
        return None
    found: str = request.getfixturevalue("postgres").new()
    return found


def over(url: str | None, state: Path, clock: Moment) -> Hub:
    """A hub that is not started yet; `url` None: SQLite under its state."""
    return Hub(hub_config(silence_seconds=30), state, clock, Database(url) if url else None)


@pytest.fixture
def clock() -> Moment:
    return Moment()


@pytest.fixture
def hub(url: str | None, tmp_path: Path, clock: Moment) -> Iterator[Hub]:
    made = over(url, tmp_path, clock)
    made.start()
    yield made
    made.close()


def _facts(seed: int) -> dict[str, FileFact]:
    texts = {name: f"{name}-{seed}".encode() for name in FILES}
    return {name: FileFact(sha256=digest_of(data)[7:], size=len(data)) for name, data in texts.items()}


def give_model(hub: Hub, seed: int) -> str:
    """A model of four files, without meaning."""
    for name in FILES:
        data = f"{name}-{seed}".encode()
        sha = digest_of(data)
        with hub.blobs.write(sha) as writer:
            writer.add(data)
            writer.commit()
    manifest = Manifest(files=_facts(seed))
    hub.put_manifest(model_digest(manifest), manifest.canonical_bytes())
    return model_digest(manifest)


def sign_all(hub: Hub) -> list[int]:
    done = []
    while waiting := hub.signing():
        for release in (parse(Release, one) for one in waiting):
            hub.signed(release.line, release.sequence, sign(release, SIGNING_KEY))
            done.append(release.sequence)
    return done


def put_sample(hub: Hub, number: int, photo: bytes = b"abc") -> str:
    header, image, label = sample(f"edge-1/cam/{number}", photo, png(1))
    return hub.put_sample("plant", "watch", header, image, label).outcome


def test_the_whole_life_of_a_line(hub: Hub) -> None:
    first, second = give_model(hub, 1), give_model(hub, 2)
    ji = KIT.joint_inference("builtin:x", first)
    patch = KIT.patch(first, second)
    hub.put_owner(ji.owner.uid, ji)
    assert sign_all(hub) == [1]
    view = hub.put_owner(patch.owner.uid, patch)
    assert view.release is not None
    assert view.release.state == "WaitingForSignature"
    assert sign_all(hub) == [2]
    view = hub.owner_view(patch.owner.uid)
    assert view.release is not None
    assert view.release.state == "Published"
    release = parse(Release, hub.head("plant/yard").payload_bytes())
    assert release.files == files_of(Manifest.model_validate_json(hub.manifest(second)))
    hub.drop_owner(ji.owner.uid)
    hub.drop_owner(patch.owner.uid)
    with pytest.raises(Refused, match="no owner"):
        hub.owner_view(ji.owner.uid)
    assert parse(Release, hub.head("plant/yard").payload_bytes()).to_digest == second


def test_a_hub_that_starts_again_knows_everything(hub: Hub, url: str | None, tmp_path: Path, clock: Moment) -> None:
    first = give_model(hub, 1)
    ji = KIT.joint_inference("builtin:x", first)
    hub.put_owner(ji.owner.uid, ji)
    put_sample(hub, 1)
    hub.agent_said(("plant", "watch", "edge-1"), KIT.agent_state(first))
    hub.router_said(("plant", "watch", "edge-2"), router_state(5))
    before, changes = hub.owner_view(ji.owner.uid), hub.changes(0)
    hub.close()
    (tmp_path / "replay" / "left-over").write_bytes(b"half a sample")
    (tmp_path / "blobs" / "incoming" / "left-over").write_bytes(b"half a blob")
    again = over(url, tmp_path, clock)
    again.start()
    assert again.owner_view(ji.owner.uid) == before
    assert again.changes(0) == changes
    assert again.room.used == hub.room.used
    assert len(list((tmp_path / "replay").iterdir())) == 1
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []
    assert sign_all(again) == [1]
    again.close()


def test_samples_leave_by_age_and_receipts_much_later(hub: Hub, clock: Moment, tmp_path: Path) -> None:
    ji = KIT.joint_inference("builtin:x", NOBODY, replay=ReplaySpec(capacity=10, retention_seconds=60))
    hub.put_owner(ji.owner.uid, ji)
    put_sample(hub, 1)
    clock.at += 50
    put_sample(hub, 2)
    clock.at += 20
    housekeeping.expire_samples(hub)
    view = hub.owner_view(ji.owner.uid).replay
    assert view is not None
    assert (view.watermark, view.samples) == (2, 1)
    assert len(list((tmp_path / "replay").iterdir())) == 1
    assert put_sample(hub, 1) == "stored"
    assert hub.owner_view(ji.owner.uid).replay == view
    clock.at += 100 * 86_400
    housekeeping.expire_samples(hub)
    with pytest.raises(Refused):
        hub.receipt("plant", "watch", "edge-1/cam/1", None)


def test_models_that_nothing_names_leave_and_the_others_stay(hub: Hub, clock: Moment) -> None:
    first, second, running, candidate, stray = (give_model(hub, seed) for seed in range(5))
    ji, patch, night = KIT.joint_inference("builtin:x", first), KIT.patch(first, second), KIT.learning()
    for spec in (ji, patch, night):
        hub.put_owner(spec.owner.uid, spec)
    sign_all(hub)
    hub.agent_said(("plant", "watch", "edge-1"), KIT.agent_state(running))
    hub.round_done("plant", "night", _round("night-1", first, candidate))
    housekeeping.sweep_models(hub)
    assert hub.manifest(stray)
    clock.at = time.time() + 30 * 86_400
    used = hub.room.used
    housekeeping.sweep_models(hub)
    for digest in (first, second, running, candidate):
        assert all(hub.blobs.size(file.digest) for file in files_of(Manifest.model_validate_json(hub.manifest(digest))))
    with pytest.raises(Refused, match="no model"):
        hub.manifest(stray)
    assert used - hub.room.used == sum(len(f"{name}-4") for name in FILES)


def test_silence_and_speech_wake_the_operator(hub: Hub, clock: Moment) -> None:
    ji = KIT.joint_inference("builtin:x", NOBODY)
    hub.put_owner(ji.owner.uid, ji)
    hub.router_said(("plant", "watch", "edge-1"), router_state())

    def woken() -> bool:
        before = hub.changes(0).cursor
        housekeeping.notice_silence(hub)
        return bool(hub.changes(before).owners)

    assert woken()
    assert not woken()
    clock.at += 29.9
    assert not woken()
    clock.at += 0.1
    assert woken()
    assert not hub.owner_view(ji.owner.uid).edges[0].reporting
    hub.router_said(("plant", "watch", "edge-1"), router_state())
    assert woken()


def test_facts_ring_at_once_and_figures_only_when_gathered(hub: Hub) -> None:
    first, second = give_model(hub, 1), give_model(hub, 2)
    ji, patch, night = KIT.joint_inference("builtin:x", first), KIT.patch(first, second), KIT.learning()
    for spec in (ji, night):
        hub.put_owner(spec.owner.uid, spec)
    position = hub.changes(0).cursor

    def woken() -> set[str]:
        nonlocal position
        page = hub.changes(position)
        position = page.cursor
        return set(page.owners)

    assert sign_all(hub) == [1]
    assert woken() == {ji.owner.uid, night.owner.uid}
    hub.put_owner(patch.owner.uid, patch)
    assert woken() == {ji.owner.uid, night.owner.uid, patch.owner.uid}
    state = KIT.agent_state(first)
    hub.agent_said(("plant", "watch", "edge-1"), state)
    assert woken() == {ji.owner.uid, night.owner.uid, patch.owner.uid}
    hub.round_done("plant", "night", _round("night-1", first, None))
    assert woken() == {night.owner.uid}
    for number in range(20):
        hub.router_said(("plant", "watch", "edge-1"), router_state(number))
        hub.agent_said(("plant", "watch", "edge-1"), state.model_copy(update={"at": 5.0, "bytes_downloaded": number}))
        put_sample(hub, number)
    assert woken() == set()
    hub.ring_gathered()
    assert hub.changes(0).cursor == position + 1
    assert woken() == {ji.owner.uid, night.owner.uid}
    hub.ring_gathered()
    assert woken() == set()


def _round(name: str, base: str, candidate: str | None) -> RoundReport:
    return RoundReport(
        round=name,
        outcome="Promoted" if candidate else "Refused",
        reason="Gain",
        message="",
        base=base,
        candidate=candidate,
        watermark=1,
        samples=1,
        finished_at=1.0,
    )


def test_many_threads_write_and_read_at_once(hub: Hub) -> None:
    ji = KIT.joint_inference("builtin:x", NOBODY)
    hub.put_owner(ji.owner.uid, ji)

    def act(number: int) -> str:
        hub.router_said(("plant", "watch", f"edge-{1 + number % 2}"), router_state(number))
        hub.agent_said(("plant", "watch", f"edge-{1 + number % 2}"), KIT.agent_state(None, sequence=number))
        hub.owner_view(ji.owner.uid)
        return put_sample(hub, number // 2)

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(act, range(80))) == {"stored"}
    view = hub.owner_view(ji.owner.uid).replay
    assert view is not None
    assert (view.watermark, view.samples) == (40, 40)


def test_a_database_of_another_schema_is_refused(hub: Hub, url: str | None, tmp_path: Path, clock: Moment) -> None:
    with hub.database.write() as sql:
        sql.execute(update(tables.schema).values(version=99))
    newer = over(url, tmp_path, clock)
    with pytest.raises(ConfigError, match="schema 99"):
        newer.start()
    newer.database.close()


def test_books_and_state_of_different_hubs_are_refused(
    hub: Hub, url: str | None, tmp_path: Path, clock: Moment, postgres: Postgres
) -> None:
    """A changed or emptied database would let the next start sweep every sample away."""
    hub.put_owner("plant.watch", KIT.joint_inference("builtin:x", NOBODY))
    put_sample(hub, 1)
    elsewhere = over(postgres.new(), tmp_path, clock)
    with pytest.raises(ConfigError, match=r"is empty, and .* is not"):
        elsewhere.start()
    elsewhere.database.close()
    assert len(list((tmp_path / "replay").iterdir())) == 1
    (tmp_path / "home").write_text("another")
    stranger = over(url, tmp_path, clock)
    with pytest.raises(ConfigError, match="belong to the state folder of another hub"):
        stranger.start()
    stranger.database.close()


def test_a_full_disk_takes_nothing_and_promises_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    ji = KIT.joint_inference("builtin:x", NOBODY)
    hub.put_owner(ji.owner.uid, ji)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Refused, match="No space left") as refused:
            put_sample(hub, 1)
        with pytest.raises(Refused, match="No space left"):
            give_model(hub, 1)
    assert refused.value.status == 507
    assert hub.room.used == 0
    assert put_sample(hub, 1) == "stored"
    assert give_model(hub, 1)


def test_a_commit_that_may_have_happened_keeps_its_file(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database says no, but nobody knows whether it did: the file stays until the next start counts."""
    ji = KIT.joint_inference("builtin:x", NOBODY)
    hub.put_owner(ji.owner.uid, ji)

    def lost(*args: object) -> None:
        raise Unavailable("database: connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(replay, "store", lost)
        with pytest.raises(Unavailable):
            put_sample(hub, 1)
    assert len(list((hub.state / "replay").iterdir())) == 1
    assert put_sample(hub, 1) == "stored"
    hub.start()
    assert len(list((hub.state / "replay").iterdir())) == 1


def test_a_failed_change_leaves_nothing(hub: Hub) -> None:
    ji = KIT.joint_inference("builtin:x", NOBODY)
    hub.put_owner(ji.owner.uid, ji)
    before = hub.changes(0)

    def fail() -> None:
        with hub.change() as change:
            change.ring([ji.owner.uid])
            change.sql.execute(update(tables.owners).values(name="gone"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert hub.changes(0) == before
    assert hub.owner_view(ji.owner.uid).owner.name == "watch"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(("ask", "drop", "sign", "model")), st.integers(0, 3), st.integers(0, 3)), max_size=20
    )
)
def test_whatever_is_asked_a_line_only_moves_forward(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int, int]]
) -> None:
    """I2, I3: heads are whole models, sequences only grow, one release at a time, each from the head before it."""
    hub = Hub(hub_config(), tmp_path_factory.mktemp("line"), Moment())
    hub.start()
    digests = [model_digest(Manifest(files=_facts(seed))) for seed in range(4)]
    try:
        ji = KIT.joint_inference("builtin:x", digests[0])
        hub.put_owner(ji.owner.uid, ji)
        heads: list[Release] = []
        for act, a, b in acts:
            _act(hub, digests, act, a, b)
            waiting = [parse(Release, one) for one in hub.signing()]
            assert len(waiting) <= 1
            heads += _head(hub, heads)
        for old, new in itertools.pairwise(heads):
            assert new.sequence > old.sequence
            assert new.from_digest == old.to_digest
    finally:
        hub.close()


def _act(hub: Hub, digests: list[str], act: str, a: int, b: int) -> None:
    patch = KIT.patch(digests[a], digests[b], f"patch-{a}-{b}")
    if act == "ask":
        hub.put_owner(patch.owner.uid, patch)
    elif act == "drop":
        hub.drop_owner(patch.owner.uid)
    elif act == "model":
        assert give_model(hub, a) == digests[a]
    elif waiting := hub.signing():
        release = parse(Release, waiting[0])
        hub.signed(release.line, release.sequence, sign(release, SIGNING_KEY))


def _head(hub: Hub, heads: list[Release]) -> list[Release]:
    try:
        release = parse(Release, hub.head("plant/yard").payload_bytes())
    except Refused:
        return []
    assert hub.manifest(release.to_digest)
    return [] if heads and heads[-1] == release else [release]


def test_a_database_that_is_away_is_later_not_never(tmp_path: Path, clock: Moment) -> None:
    hub = Hub(hub_config(), tmp_path, clock)
    hub.start()
    with hub.database.write() as sql:
        sql.execute(text("DROP TABLE hub_owners"))
    with pytest.raises(Unavailable, match="database"):
        hub.changes(0)
    hub.close()
