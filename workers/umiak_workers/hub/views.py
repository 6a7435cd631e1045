"""What the hub has seen for one owner, put together from its books: the operator's only window."""

from sqlalchemy import Connection, select

from umiak_workers.contract.fleet import EdgeView, FleetSpec, FleetView, LineView
from umiak_workers.hub import lines, owners, replay, rounds, tables
from umiak_workers.hub.reports import Reports


def fleet_view(sql: Connection, reports: Reports, spec: FleetSpec, now: float) -> FleetView:
    """The view of an owner that the hub holds."""
    owner = spec.owner
    line = owners.line_of(sql, spec)
    source = spec.replay_of if spec.replay_of else owner.name
    has_replay = owner.kind != "ModelPatch"
    is_learning = owner.kind == "LifelongLearning"
    return FleetView(
        owner=owner,
        line=line_view(sql, line, spec) if line else None,
        edges=_edges(sql, reports, spec, line, now),
        replay=replay.view(sql, owner.namespace, source) if has_replay else None,
        release=lines.view(sql, owner.uid) if spec.release else None,
        rounds=rounds.newest(sql, owner.namespace, owner.name) if is_learning else (),
        settings_version=spec.settings.settings_version if spec.settings else 0,
    )


def line_view(sql: Connection, line: str, spec: FleetSpec | None) -> LineView:
    """The head of a line, and for one that starts it why its initial model was not taken."""
    row = sql.execute(select(tables.lines).where(tables.lines.c.line == line)).first()
    if row is None:
        return LineView(line=line, digest=None, sequence=0)
    conflict = _conflict(sql, line, spec) if spec and spec.line else ""
    return LineView(line=line, digest=row.digest, sequence=row.sequence, conflict=conflict or row.problem)


def _conflict(sql: Connection, line: str, spec: FleetSpec) -> str:
    first = lines.first_user(sql, line)
    if first is None or first.line is None or spec.line is None or first.owner.uid == spec.owner.uid:
        return ""
    if first.line.initial.digest == spec.line.initial.digest:
        return ""
    return f"line {line} starts with {first.line.initial.digest} for JointInference {first.owner.name}"


def _edges(sql: Connection, reports: Reports, spec: FleetSpec, line: str | None, now: float) -> tuple[EdgeView, ...]:
    if spec.owner.kind == "JointInference":
        return edges_of(reports, spec, now)
    if spec.owner.kind == "ModelPatch" and line:
        return tuple(view for user in users(sql, line) for view in edges_of(reports, user, now))
    return ()


def users(sql: Connection, line: str) -> list[FleetSpec]:
    """The JointInferences of a line, oldest first."""
    return [spec for spec in owners.every(sql) if spec.line and spec.line.line == line]


def edges_of(reports: Reports, spec: FleetSpec, now: float) -> tuple[EdgeView, ...]:
    """Every edge that a JointInference names, heard of or not."""
    return tuple(reports.view((spec.owner.namespace, spec.owner.name, edge), now) for edge in spec.edges)
