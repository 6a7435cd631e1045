"""Model lines: one signed head each, moved by one release at a time.

`advance` is level-triggered: call it after anything that may matter (a model arrived, a head moved, an owner came or
went); it takes every unfinished release of the line one step further, as `steps.next_step` says.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from umiak_workers.contract import topics
from umiak_workers.contract.artefact import parse_manifest
from umiak_workers.contract.errors import Refused, ReleaseError
from umiak_workers.contract.fleet import FleetSpec, LineView, ReleaseSpec, ReleaseView
from umiak_workers.contract.release import Envelope, Release
from umiak_workers.contract.wire import parse
from umiak_workers.core.release import files_of, verify
from umiak_workers.hub import tables
from umiak_workers.hub.change import Change
from umiak_workers.hub.steps import UNFINISHED, LineFacts, Wish, next_step

INITIAL = ""
"""The owner of a line's initial release."""
_releases, _lines, _owners = tables.releases.c, tables.lines.c, tables.owners.c


def head(sql: Connection, line: str) -> Envelope | None:
    """The signed head, None while the line is empty."""
    text = sql.execute(select(_lines.envelope).where(_lines.line == line)).scalar()
    return None if text is None else parse(Envelope, text)


def waiting_for_signature(sql: Connection) -> list[str]:
    """The canonical JSON of each release that the signer should look at, oldest first."""
    found = select(_releases.record).where(_releases.state == "WaitingForSignature").order_by(_releases.row)
    return [text for text in sql.execute(found).scalars() if text]


def ensure(change: Change, line: str) -> None:
    """Make the line known, empty."""
    if change.sql.execute(select(_lines.line).where(_lines.line == line)).first() is None:
        change.sql.execute(insert(tables.lines).values(line=line, sequence=0, issued=0, problem=""))


def first_user(sql: Connection, line: str) -> FleetSpec | None:
    """The oldest JointInference of the line: its initial model counts."""
    found = select(_owners.spec).where(_owners.line == line, _owners.kind == "JointInference").order_by(_owners.row)
    text = sql.execute(found.limit(1)).scalar()
    return None if text is None else parse(FleetSpec, text)


def settle_initial(change: Change, line: str) -> None:
    """While the line is empty, exactly one release leads to the initial model of its oldest user."""
    user = first_user(change.sql, line)
    wanted = user.line.initial.digest if user and user.line else None
    row = change.sql.execute(select(_lines.digest).where(_lines.line == line)).first()
    if row is None or row.digest is not None:
        return
    ours = (_releases.line == line, _releases.owner == INITIAL, _releases.state.in_(UNFINISHED))
    there = change.sql.execute(select(_releases.to_digest).where(*ours)).scalar()
    if there == wanted:
        return
    change.sql.execute(delete(tables.releases).where(*ours))
    change.sql.execute(update(tables.lines).where(_lines.line == line).values(problem=""))
    if wanted:
        _add(change, INITIAL, ReleaseSpec(line=line, from_digest=None, to_digest=wanted))


def request(change: Change, uid: str, wanted: ReleaseSpec | None) -> None:
    """An owner's release: asked for once; another wish withdraws an unfinished one."""
    last = _last(change.sql, uid)
    if last and wanted and (last.line, last.from_digest, last.to_digest) == _wish(wanted):
        return
    withdraw(change, uid)
    if wanted:
        ensure(change, wanted.line)
        _add(change, uid, wanted)


def withdraw(change: Change, uid: str) -> None:
    """Forget an owner's unfinished release; its sequence, if it had one, is never used again."""
    change.sql.execute(delete(tables.releases).where(_releases.owner == uid, _releases.state.in_(UNFINISHED)))


def view(sql: Connection, uid: str) -> ReleaseView | None:
    """How far an owner's release has come."""
    row = _last(sql, uid)
    return None if row is None else ReleaseView(state=row.state, message=row.message, sequence=row.sequence)


def _wish(spec: ReleaseSpec) -> tuple[str, str | None, str]:
    return spec.line, spec.from_digest, spec.to_digest


def _last(sql: Connection, uid: str) -> Row[tuple[object, ...]] | None:
    found = select(tables.releases).where(_releases.owner == uid).order_by(_releases.row.desc()).limit(1)
    return sql.execute(found).first()


def _add(change: Change, uid: str, spec: ReleaseSpec) -> None:
    change.sql.execute(
        insert(tables.releases).values(
            owner=uid, state="WaitingForLine", message="", changed_at=change.now, **spec.model_dump()
        )
    )


def advance(change: Change, line: str) -> None:
    """Take each unfinished release of the line as far as it goes."""
    found = (
        select(tables.releases)
        .where(_releases.line == line, _releases.state.in_(UNFINISHED))
        .order_by(_releases.state != "WaitingForSignature", _releases.row)
    )
    coming: set[str] = set()
    busy = False
    for row in change.sql.execute(found).all():
        if row.state == "WaitingForSignature":
            busy = True
        else:
            busy = _step(change, row, _facts(change.sql, line, frozenset(coming), busy)) or busy
        coming.add(row.to_digest)


def _facts(sql: Connection, line: str, coming: frozenset[str], busy: bool) -> LineFacts:
    digest = sql.execute(select(_lines.digest).where(_lines.line == line)).scalar()
    past = sql.execute(select(_releases.to_digest).where(_releases.line == line, _releases.state == "Published"))
    return LineFacts(line, digest, frozenset(past.scalars()), coming, busy)


def _step(change: Change, row: Row[tuple[object, ...]], facts: LineFacts) -> bool:
    """True when the release went to the signer."""
    manifest = change.sql.execute(
        select(tables.models.c.manifest).where(tables.models.c.digest == row.to_digest)
    ).scalar()
    step = next_step(Wish(row.from_digest, row.to_digest), facts, manifest is not None)
    if (step.state, step.message) == (row.state, row.message):
        return False
    values = {"state": step.state, "message": step.message, "changed_at": change.now}
    if step.state == "WaitingForSignature" and manifest is not None:
        values |= _issue(change, row, manifest)
    change.sql.execute(update(tables.releases).where(_releases.row == row.row).values(**values))
    change.ring_line(row.line)
    return step.state == "WaitingForSignature"


def _issue(change: Change, row: Row[tuple[object, ...]], manifest: str) -> dict[str, object]:
    """Number the release and write down what has to be signed."""
    issued = change.sql.execute(select(_lines.issued).where(_lines.line == row.line)).scalar_one() + 1
    change.sql.execute(update(tables.lines).where(_lines.line == row.line).values(issued=issued))
    record = Release(
        line=row.line,
        sequence=issued,
        from_digest=row.from_digest,
        to_digest=row.to_digest,
        files=files_of(parse_manifest(manifest.encode())),
        owner=row.owner,
        created_at=change.now,
    )
    return {"sequence": issued, "record": record.canonical().decode()}


def publish(change: Change, envelope: Envelope, trusted_keys: tuple[str, ...], line: str, sequence: int) -> None:
    """Take a signature: the line's head moves. The same signature again changes nothing.

    Raises ReleaseError (not signed by a trusted key), Refused 404 or 409 (nothing waits for it, or not this).
    """
    release = verify(envelope, trusted_keys)
    if (release.line, release.sequence) != (line, sequence):
        raise ReleaseError(f"signed is {release.line} {release.sequence}, handed in as {line} {sequence}")
    found = select(tables.releases).where(_releases.line == line, _releases.sequence == sequence)
    row = change.sql.execute(found).first()
    if row is None:
        raise Refused(f"no release {sequence} of {line} waits for a signature", 404)
    if row.record is None or row.record.encode() != envelope.payload_bytes():
        raise Refused(f"release {sequence} of {line} is not the one that was signed", 409)
    if row.state == "WaitingForSignature":
        _move(change, release, envelope)


def _move(change: Change, release: Release, envelope: Envelope) -> None:
    where = (_lines.line == release.line, _lines.digest.is_not_distinct_from(release.from_digest))
    moved = change.sql.execute(
        update(tables.lines)
        .where(*where)
        .values(digest=release.to_digest, sequence=release.sequence, envelope=envelope.model_dump_json(), problem="")
    )
    if moved.rowcount != 1:
        raise Refused(f"the head of {release.line} is no longer {release.from_digest}", 409)
    done = {"state": "Published", "message": f"head of {release.line} since sequence {release.sequence}"}
    one = (_releases.line == release.line, _releases.sequence == release.sequence)
    change.sql.execute(update(tables.releases).where(*one).values(changed_at=change.now, **done))
    change.hint(topics.line_hint(release.line), str(release.sequence))
    change.ring_line(release.line)
    advance(change, release.line)


def with_model(sql: Connection, digest: str) -> Iterator[str]:
    """The lines that have an unfinished release to this model."""
    found = select(_releases.line).where(_releases.to_digest == digest, _releases.state.in_(UNFINISHED)).distinct()
    yield from sql.execute(found).scalars().all()


def count_unfinished(sql: Connection) -> int:
    """Releases that are under way."""
    return sql.execute(select(func.count()).where(_releases.state.in_(UNFINISHED))).scalar_one()


@dataclass(frozen=True)
class Standing:
    """Every line's head; by namespace, releases by state and since when the oldest unfinished one has stood still."""

    lines: tuple[LineView, ...]
    releases: Mapping[str, Counter[str]]
    waiting_since: Mapping[str, float]


def standing(sql: Connection) -> Standing:
    """How all lines stand, for whoever counts."""
    heads = select(_lines.line, _lines.digest, _lines.sequence).order_by(_lines.line)
    found = tuple(LineView(line=row.line, digest=row.digest, sequence=row.sequence) for row in sql.execute(heads))
    releases: dict[str, Counter[str]] = {}
    since: dict[str, float] = {}
    by_state = select(_releases.line, _releases.state, func.count(), func.min(_releases.changed_at))
    for line, state, count, oldest in sql.execute(by_state.group_by(_releases.line, _releases.state)):
        namespace = line.partition("/")[0]
        releases.setdefault(namespace, Counter())[state] += count
        if state in UNFINISHED:
            since[namespace] = min(oldest, since.get(namespace, oldest))
    return Standing(found, releases, since)
