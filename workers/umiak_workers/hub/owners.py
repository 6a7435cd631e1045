"""What the operator told the hub to hold: one FleetSpec per resource, keyed by its uid.

Putting the same spec again changes nothing and wakes nobody. A resource that came back under the same name has a new
uid: the old one is dropped first, whatever order the operator's calls arrive in.
"""

from sqlalchemy import Connection, delete, insert, select, update

from umiak_workers.contract import topics
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.fleet import FleetSpec
from umiak_workers.contract.messages import LiveSettings
from umiak_workers.contract.wire import parse
from umiak_workers.hub import lines, replay, tables
from umiak_workers.hub.change import Change

_owners = tables.owners.c


def spec_of(sql: Connection, uid: str) -> FleetSpec | None:
    """What an owner asked for."""
    text = sql.execute(select(_owners.spec).where(_owners.uid == uid)).scalar()
    return None if text is None else parse(FleetSpec, text)


def joint_inference(sql: Connection, namespace: str, name: str) -> FleetSpec | None:
    """The JointInference of that name."""
    found = select(_owners.spec).where(
        _owners.kind == "JointInference", _owners.namespace == namespace, _owners.name == name
    )
    text = sql.execute(found).scalar()
    return None if text is None else parse(FleetSpec, text)


def every(sql: Connection) -> list[FleetSpec]:
    """All owners, oldest first."""
    return [parse(FleetSpec, text) for text in sql.execute(select(_owners.spec).order_by(_owners.row)).scalars()]


def line_of(sql: Connection, spec: FleetSpec) -> str | None:
    """The line that an owner starts, moves or follows."""
    if spec.line:
        return spec.line.line
    if spec.release:
        return spec.release.line
    if spec.replay_of:
        followed = joint_inference(sql, spec.owner.namespace, spec.replay_of)
        return followed.line.line if followed and followed.line else None
    return None


def put(change: Change, uid: str, spec: FleetSpec) -> list[str]:
    """Hold a spec; returns files that nobody needs any more. Raises MessageError when the uid is another one's."""
    if spec.owner.uid != uid:
        raise MessageError(f"owner.uid: is {spec.owner.uid!r}, the path says {uid!r}")
    before = spec_of(change.sql, uid)
    if before == spec:
        return []
    if before and before.owner != spec.owner:
        raise MessageError(f"owner: uid {uid} belongs to {before.owner.kind} {before.owner.name}")
    old_lines = _lines_of(before)
    left = _drop_namesake(change, spec) if before is None else []
    _write(change, uid, spec, is_new=before is None)
    left += _apply(change, spec)
    _touch_lines(change, old_lines | _lines_of(spec))
    change.ring([uid])
    return left


def _lines_of(spec: FleetSpec | None) -> set[str]:
    found = (spec.line, spec.release) if spec else ()
    return {part.line for part in found if part}


def _drop_namesake(change: Change, spec: FleetSpec) -> list[str]:
    owner = spec.owner
    found = select(_owners.uid).where(
        _owners.kind == owner.kind, _owners.namespace == owner.namespace, _owners.name == owner.name
    )
    return [file for uid in change.sql.execute(found).scalars().all() for file in drop(change, uid)]


def _write(change: Change, uid: str, spec: FleetSpec, is_new: bool) -> None:
    values = {
        "line": next(iter(_lines_of(spec)), None),
        "follows": spec.replay_of,
        "spec": spec.model_dump_json(),
    }
    if is_new:
        named = spec.owner.model_dump(include={"kind", "namespace", "name"})
        change.sql.execute(insert(tables.owners).values(uid=uid, cursor=0, **named, **values))
    else:
        change.sql.execute(update(tables.owners).where(_owners.uid == uid).values(**values))


def _apply(change: Change, spec: FleetSpec) -> list[str]:
    owner = spec.owner
    lines.request(change, owner.uid, spec.release)
    if owner.kind != "JointInference":
        return []
    for line in _lines_of(spec):
        lines.ensure(change, line)
        change.hint(topics.line_hint(line), str(_sequence(change, line)))
    if spec.settings:
        version = str(spec.settings.settings_version)
        change.hint(topics.settings_hint(owner.namespace, owner.name), version)
    _drop_reports(change, owner.namespace, owner.name, keep=spec.edges)
    if spec.replay is None:
        return replay.forget(change, owner.namespace, owner.name)
    replay.ensure(change, owner.namespace, owner.name)
    return replay.evict(change, owner.namespace, owner.name, spec.replay)


def _sequence(change: Change, line: str) -> int:
    found: int = change.sql.execute(select(tables.lines.c.sequence).where(tables.lines.c.line == line)).scalar_one()
    return found


def settings(sql: Connection, namespace: str, resource: str) -> LiveSettings:
    """Live settings of a JointInference, with the operator's own version; version 0 while there are none."""
    spec = joint_inference(sql, namespace, resource)
    return spec.settings if spec and spec.settings else LiveSettings()


def _drop_reports(change: Change, namespace: str, resource: str, keep: tuple[str, ...]) -> None:
    """Forget edges that are no longer in the spec, and clear what they left on the broker."""
    reports = tables.reports.c
    gone = (reports.namespace == namespace, reports.resource == resource, reports.edge.not_in(keep))
    for edge in change.sql.execute(select(reports.edge).where(*gone)).scalars().all():
        change.hint(topics.presence(namespace, resource, edge), None)
    change.sql.execute(delete(tables.reports).where(*gone))


def drop(change: Change, uid: str) -> list[str]:
    """The owner is gone: its unfinished release, settings, replay, reports and retained topics go; heads stay.

    Returns files that nobody needs any more. No error when the hub does not know the owner.
    """
    spec = spec_of(change.sql, uid)
    if spec is None:
        return []
    owner = spec.owner
    lines.withdraw(change, uid)
    change.sql.execute(delete(tables.owners).where(_owners.uid == uid))
    left: list[str] = []
    if owner.kind == "JointInference":
        left = replay.forget(change, owner.namespace, owner.name)
        change.hint(topics.settings_hint(owner.namespace, owner.name), None)
        for edge in spec.edges:
            change.hint(topics.presence(owner.namespace, owner.name, edge), None)
        _drop_reports(change, owner.namespace, owner.name, keep=())
        change.ring_resource(owner.namespace, owner.name)
    if owner.kind == "LifelongLearning":
        tables.forget_resource(change.sql, tables.rounds, owner.namespace, owner.name)
    _touch_lines(change, _lines_of(spec))
    return left


def _touch_lines(change: Change, touched: set[str]) -> None:
    for line in sorted(touched):
        lines.settle_initial(change, line)
        lines.advance(change, line)
        if lines.first_user(change.sql, line) is None:
            change.hint(topics.line_hint(line), None)
        change.ring_line(line)
