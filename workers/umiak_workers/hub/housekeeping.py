"""What the hub does by itself: write figures down, notice silence, let old samples and unneeded models go.

Each chore is one short blocking call with its own period; a chore that fails is logged and tried again.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, delete, select

from umiak_workers.contract.errors import UmiakError
from umiak_workers.hub import models, owners, replay, rounds, tables
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.steps import UNFINISHED

GATHER_SECONDS = 3.0
"""Fast figures wake an operator at most this often."""
KEEP_MODELS_SECONDS = 7 * 86_400.0
"""A model that nothing names any more is kept this long."""
KEEP_BLOBS_SECONDS = 86_400.0
"""A blob that no model names (an upload under way, or given up) is kept this long."""
KEEP_RELEASES = 20
"""Published releases per line whose models are kept."""
log = structlog.get_logger()


@dataclass(frozen=True)
class Chore:
    """A blocking call and its period in seconds."""

    name: str
    every: float
    act: Callable[[], None]


def chores(hub: Hub) -> tuple[Chore, ...]:
    """All of them."""
    return (
        Chore("write reports", 1.0, hub.write_reports),
        Chore("notice silence", 1.0, lambda: notice_silence(hub)),
        Chore("tell figures", GATHER_SECONDS, hub.ring_gathered),
        Chore("expire samples", 10.0, lambda: expire_samples(hub)),
        Chore("sweep models", 600.0, lambda: sweep_models(hub)),
    )


async def keep_house(todo: Iterable[Chore], stop: asyncio.Event) -> None:
    """Run every chore in its own rhythm until `stop`."""
    await asyncio.gather(*(_repeat(chore, stop) for chore in todo))


async def _repeat(chore: Chore, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await asyncio.to_thread(chore.act)
        except (UmiakError, OSError) as error:
            log.warning("a chore failed and will be tried again", chore=chore.name, reason=str(error))
        try:
            await asyncio.wait_for(stop.wait(), chore.every)
        except TimeoutError:
            continue


def notice_silence(hub: Hub) -> None:
    """Wake the operators of edges that fell silent or spoke again."""
    flipped = hub.reports.flipped(hub.now())
    if not flipped:
        return
    with hub.reports.noticing(flipped), hub.change() as change:
        for namespace, resource in sorted({key[:2] for key in flipped}):
            change.ring_resource(namespace, resource)
            spec = owners.joint_inference(change.sql, namespace, resource)
            if spec and spec.line:
                change.ring_line(spec.line.line)


def expire_samples(hub: Hub) -> None:
    """Let samples go that are older than their retention."""
    with hub.database.read() as sql:
        keeping = [spec for spec in owners.every(sql) if spec.replay]
    for spec in keeping:
        assert spec.replay is not None
        with hub.change() as change:
            left = replay.expire(change, spec.owner.namespace, spec.owner.name, spec.replay)
            if left:
                change.ring_resource(spec.owner.namespace, spec.owner.name)
        hub.remove_samples(left)


def sweep_models(hub: Hub) -> None:
    """Forget models that nothing names and blobs that no model names, once they are old enough."""
    now = hub.now()
    with hub.database.write() as sql:
        old = select(tables.models.c.digest).where(tables.models.c.stored_at < now - KEEP_MODELS_SECONDS)
        going = set(sql.execute(old).scalars()) - named(sql) - hub.reports.running()
        for digest in sorted(going):
            sql.execute(delete(tables.models).where(tables.models.c.digest == digest))
    with hub.database.write() as sql:  # nobody adds a model meanwhile; what the books still name was committed
        in_use = models.blobs_in_use(sql)
        for digest, _, touched_at in list(hub.blobs.every()):
            if digest not in in_use and touched_at < now - KEEP_BLOBS_SECONDS:
                hub.blobs.remove(digest)
    if going:
        log.info("models forgotten", digests=sorted(going))


def named(sql: Connection) -> set[str]:
    """Every digest that a line, an unfinished or recent release, an owner or a recent round names."""
    found = {digest for digest in sql.execute(select(tables.lines.c.digest)).scalars() if digest}
    for row in sql.execute(select(tables.releases).where(tables.releases.c.state.in_(UNFINISHED))):
        found |= {row.from_digest, row.to_digest}
    for line in sql.execute(select(tables.lines.c.line)).scalars().all():
        newest = select(tables.releases.c.to_digest).where(tables.releases.c.line == line)
        found |= set(sql.execute(newest.order_by(tables.releases.c.row.desc()).limit(KEEP_RELEASES)).scalars())
    for spec in owners.every(sql):
        found |= {spec.line.initial.digest} if spec.line else set()
        found |= {spec.release.from_digest, spec.release.to_digest} if spec.release else set()
        found |= {report.candidate for report in rounds.newest(sql, spec.owner.namespace, spec.owner.name)}
    return {digest for digest in found if digest}
