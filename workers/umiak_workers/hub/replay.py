"""The replay store's books: which samples are kept, where, and what was promised for each frame.

Invariant I1: a receipt says that an example is stored exactly once or durably rejected. Receipts outlive the samples
they speak of, so an example that was evicted is not stored again; positions only grow.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from umiak_workers.contract.errors import Refused
from umiak_workers.contract.fleet import ReplaySpec, ReplayView
from umiak_workers.contract.messages import Receipt, SampleHeader, SampleInfo, SampleList
from umiak_workers.contract.wire import parse
from umiak_workers.hub import tables
from umiak_workers.hub.change import Change

RECEIPTS_KEPT_SECONDS = 90 * 86_400.0
"""How long a receipt outlives its sample at least; a queue that is older asks again and is stored again."""
_replays, _receipts, _samples = tables.replays.c, tables.receipts.c, tables.samples.c


def ensure(change: Change, namespace: str, resource: str) -> None:
    """Open an empty replay store unless there is one."""
    if _books(change.sql, namespace, resource) is None:
        row = {"namespace": namespace, "resource": resource, "watermark": 0, "samples": 0, "bytes": 0}
        change.sql.execute(insert(tables.replays).values(**row))


def _books(sql: Connection, namespace: str, resource: str) -> Row[tuple[object, ...]] | None:
    here = (_replays.namespace == namespace, _replays.resource == resource)
    return sql.execute(select(tables.replays).where(*here)).first()


def view(sql: Connection, namespace: str, resource: str) -> ReplayView | None:
    """Fill and watermark; None where no replay is kept."""
    books = _books(sql, namespace, resource)
    return books and ReplayView(watermark=books.watermark, samples=books.samples, bytes=books.bytes)


def receipt(sql: Connection, namespace: str, resource: str, frame: str, digest: str | None) -> Receipt | None:
    """What was decided about a frame: about these bytes if `digest` is given, else the stored one before a rejected."""
    found = (
        select(tables.receipts)
        .where(_receipts.namespace == namespace, _receipts.resource == resource, _receipts.frame == frame)
        .order_by(_receipts.outcome.desc(), _receipts.stored_at)
    )
    row = sql.execute(found if digest is None else found.where(_receipts.digest == digest)).first()
    return (
        None
        if row is None
        else Receipt(**{name: row._mapping[name] for name in Receipt.model_fields if name != "version"})
    )


def decide(change: Change, namespace: str, resource: str, header: SampleHeader, refusal: str) -> Receipt | None:
    """The receipt of a sample that needs no storing: an old promise, or a rejection written down now; else None."""
    known = receipt(change.sql, namespace, resource, header.frame, header.digest)
    if known:
        return known
    if _books(change.sql, namespace, resource) is None:
        raise Refused(f"no JointInference {namespace}/{resource} keeps a replay here", 404)
    other = receipt(change.sql, namespace, resource, header.frame, None)
    if other and other.outcome == "stored":
        refusal = f"frame {header.frame} was stored before with other bytes ({other.digest})"
    return _promise(change, namespace, resource, header, "rejected", refusal) if refusal else None


def _promise(change: Change, namespace: str, resource: str, header: SampleHeader, outcome: str, reason: str) -> Receipt:
    row = {
        "frame": header.frame,
        "digest": header.digest,
        "outcome": outcome,
        "reason": reason,
        "stored_at": change.now,
    }
    change.sql.execute(insert(tables.receipts).values(namespace=namespace, resource=resource, **row))
    return Receipt.model_validate(row)


def store(change: Change, namespace: str, resource: str, header: SampleHeader, file: str) -> Receipt:
    """Enter a sample whose bytes are durably in `file`, as the newest."""
    books = _books(change.sql, namespace, resource)
    assert books is not None, "decide() looked"
    size = header.image_size + header.label_size
    change.sql.execute(
        insert(tables.samples).values(
            namespace=namespace,
            resource=resource,
            position=books.watermark + 1,
            frame=header.frame,
            digest=header.digest,
            header=header.model_dump_json(),
            bytes=size,
            file=file,
            stored_at=change.now,
        )
    )
    _count(change, namespace, resource, 1, size, watermark=books.watermark + 1)
    return _promise(change, namespace, resource, header, "stored", "")


def _count(
    change: Change, namespace: str, resource: str, samples: int, size: int, watermark: int | None = None
) -> None:
    values: dict[str, Any] = {"samples": _replays.samples + samples, "bytes": _replays.bytes + size}
    if watermark is not None:
        values["watermark"] = watermark
    here = (_replays.namespace == namespace, _replays.resource == resource)
    change.sql.execute(update(tables.replays).where(*here).values(**values))


def evict(change: Change, namespace: str, resource: str, bounds: ReplaySpec) -> list[str]:
    """Let the oldest samples go until the capacity holds; returns their files, to be removed after the commit."""
    books = _books(change.sql, namespace, resource)
    if books is None or books.samples <= bounds.capacity:
        return []
    here = (_samples.namespace == namespace, _samples.resource == resource)
    newest = select(_samples.position).where(*here).order_by(_samples.position.desc())
    last_to_go = change.sql.execute(newest.offset(bounds.capacity).limit(1)).scalar_one()
    return _remove(change, namespace, resource, _samples.position <= last_to_go)


def expire(change: Change, namespace: str, resource: str, bounds: ReplaySpec) -> list[str]:
    """Let samples go that are kept longer than the retention; returns their files as `evict` does."""
    left = _remove(change, namespace, resource, _samples.stored_at < change.now - bounds.retention_seconds)
    _forget_receipts(change, namespace, resource)
    return left


def _remove(change: Change, namespace: str, resource: str, which: ColumnElement[bool]) -> list[str]:
    go = (_samples.namespace == namespace, _samples.resource == resource, which)
    rows = change.sql.execute(select(_samples.file, _samples.bytes).where(*go)).all()
    if rows:
        change.sql.execute(delete(tables.samples).where(*go))
        _count(change, namespace, resource, -len(rows), -sum(row.bytes for row in rows))
    return [row.file for row in rows]


def _forget_receipts(change: Change, namespace: str, resource: str) -> None:
    here = (_receipts.namespace == namespace, _receipts.resource == resource)
    kept = select(_samples.frame).where(_samples.namespace == namespace, _samples.resource == resource)
    old = _receipts.stored_at < change.now - RECEIPTS_KEPT_SECONDS
    change.sql.execute(delete(tables.receipts).where(*here, old, _receipts.frame.not_in(kept)))


def forget(change: Change, namespace: str, resource: str) -> list[str]:
    """Drop a replay store with all its books; returns the files to remove after the commit."""
    here = (_samples.namespace == namespace, _samples.resource == resource)
    files = list(change.sql.execute(select(_samples.file).where(*here)).scalars())
    for table in (tables.samples, tables.receipts, tables.replays):
        tables.forget_resource(change.sql, table, namespace, resource)
    return files


def page(sql: Connection, namespace: str, resource: str, after: int, until: int | None, limit: int) -> SampleList:
    """Samples with after < position <= until, oldest first; raises Refused 404 where no replay is kept."""
    books = _books(sql, namespace, resource)
    if books is None:
        raise Refused(f"no JointInference {namespace}/{resource} keeps a replay here", 404)
    found = (
        select(tables.samples)
        .where(_samples.namespace == namespace, _samples.resource == resource, _samples.position > after)
        .order_by(_samples.position)
        .limit(limit)
    )
    if until is not None:
        found = found.where(_samples.position <= until)
    return SampleList(samples=tuple(_info(row) for row in sql.execute(found)), watermark=books.watermark)


def _info(row: Row[tuple[object, ...]]) -> SampleInfo:
    header = parse(SampleHeader, row.header)
    return SampleInfo(
        position=row.position,
        frame=row.frame,
        digest=row.digest,
        media=header.media,
        captured_at=header.captured_at,
        confidence=header.confidence,
        bytes=row.bytes,
    )


def sample(sql: Connection, namespace: str, resource: str, position: int) -> tuple[SampleHeader, str]:
    """(header, file) of one sample; raises Refused 404 when it is not there or no longer."""
    here = (_samples.namespace == namespace, _samples.resource == resource, _samples.position == position)
    row = sql.execute(select(_samples.header, _samples.file).where(*here)).first()
    if row is None:
        raise Refused(f"no sample {position} of {namespace}/{resource}, or it was evicted", 404)
    return parse(SampleHeader, row.header), row.file


def files(sql: Connection) -> set[str]:
    """Every file that a sample is in."""
    return set(sql.execute(select(_samples.file)).scalars())


def totals(sql: Connection) -> tuple[int, int]:
    """(samples, bytes) over all resources."""
    row = sql.execute(select(func.sum(_replays.samples), func.sum(_replays.bytes))).one()
    return int(row[0] or 0), int(row[1] or 0)
