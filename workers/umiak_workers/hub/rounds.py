"""What training Jobs reported: one row per round of a LifelongLearning, the newest few are kept and shown."""

from sqlalchemy import Connection, delete, insert, select, update

from umiak_workers.contract.errors import Refused
from umiak_workers.contract.messages import RoundReport
from umiak_workers.contract.wire import parse
from umiak_workers.hub import tables
from umiak_workers.hub.change import Change

SHOWN = 20
KEPT = 200
_rounds, _owners = tables.rounds.c, tables.owners.c


def put(change: Change, namespace: str, resource: str, report: RoundReport) -> bool:
    """Take a report; the same round again replaces it, and only a new one is True.

    Raises Refused 404 for an unknown LifelongLearning.
    """
    owner = (
        _owners.kind == "LifelongLearning",
        _owners.namespace == namespace,
        _owners.name == resource,
    )
    uid = change.sql.execute(select(_owners.uid).where(*owner)).scalar()
    if uid is None:
        raise Refused(f"no LifelongLearning {namespace}/{resource} is held here", 404)
    here = (_rounds.namespace == namespace, _rounds.resource == resource)
    body = report.model_dump_json()
    again = update(tables.rounds).where(*here, _rounds.round == report.round).values(body=body)
    is_new = change.sql.execute(again).rowcount == 0
    if is_new:
        row = {"namespace": namespace, "resource": resource, "round": report.round, "body": body}
        change.sql.execute(insert(tables.rounds).values(**row))
        newest = select(_rounds.row).where(*here).order_by(_rounds.row.desc()).limit(KEPT)
        change.sql.execute(delete(tables.rounds).where(*here, _rounds.row.not_in(newest)))
    change.ring([uid])
    return is_new


def newest(sql: Connection, namespace: str, resource: str, most: int = SHOWN) -> tuple[RoundReport, ...]:
    """The last `most` reports, oldest first."""
    found = select(_rounds.body).where(_rounds.namespace == namespace, _rounds.resource == resource)
    texts = sql.execute(found.order_by(_rounds.row.desc()).limit(most)).scalars().all()
    return tuple(parse(RoundReport, text) for text in reversed(texts))
