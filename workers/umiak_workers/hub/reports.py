"""What edges say of themselves. Facts (a digest, a state) are durable before they are acknowledged and wake the
operator at once; running figures are kept in memory, written every second, and wake it every few seconds at most.

Whatever a database that went away did not take is still to be written, and a fact still to be told, when it is back.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, insert, select

from umiak_workers.contract.fleet import EdgeView
from umiak_workers.contract.messages import AgentState, RouterState
from umiak_workers.contract.wire import parse
from umiak_workers.hub import tables
from umiak_workers.hub.tally import Tally

Key = tuple[str, str, str]
"""namespace, resource, edge"""
_FIGURES = {"at", "bytes_downloaded"}
_reports = tables.reports.c


@dataclass(frozen=True)
class Report:
    """The last word of one edge. `gone`: its last will arrived after it was last heard of."""

    seen_at: float = 0.0
    agent: AgentState | None = None
    router: RouterState | None = None
    gone: bool = False


class Reports:
    """Every edge's last report, in memory; `going` and `write` make it durable."""

    def __init__(self, silence_seconds: float, tally: Tally) -> None:
        self._silence = silence_seconds
        self._tally = tally
        self._lock = threading.Lock()
        self._known: dict[Key, Report] = {}
        self._dirty: set[Key] = set()
        self._untold: dict[Key, AgentState] = {}
        self._reporting: dict[Key, bool] = {}
        self._spoke: set[Key] = set()

    def load(self, sql: Connection) -> None:
        """Read what a former process wrote."""
        for row in sql.execute(select(tables.reports)):
            agent = parse(AgentState, row.agent) if row.agent else None
            router = parse(RouterState, row.router) if row.router else None
            self._known[(row.namespace, row.resource, row.edge)] = Report(row.seen_at, agent, router)

    def agent(self, key: Key, state: AgentState, now: float) -> bool:
        """Take an agent's word; True when a fact changed, and until `told` says that it is known."""
        with self._lock:
            before = self._known.get(key, Report())
            self._set(key, replace(before, agent=state, seen_at=now, gone=False))
            old = before.agent.model_dump(exclude=_FIGURES) if before.agent else None
            is_new = key in self._untold or old != state.model_dump(exclude=_FIGURES)
            if is_new:
                self._untold[key] = state
        return is_new

    def told(self, key: Key, state: AgentState) -> None:
        """What an agent said is durable and the operator knows, unless it has said something newer."""
        with self._lock:
            if self._untold.get(key) is state:
                del self._untold[key]

    def router(self, key: Key, state: RouterState, now: float) -> None:
        """Take a router's running totals."""
        with self._lock:
            before = self._known.get(key, Report())
            self._set(key, replace(before, router=state, seen_at=now, gone=False))
        self._tally.said(key[0], key[1], before.router, state)

    def presence(self, key: Key, up: bool) -> None:
        """The broker saw an edge come or go. A hint: it says at once what silence would say later, and no more."""
        with self._lock:
            before = self._known.get(key)
            if before:
                self._known[key] = replace(before, gone=not up)

    def _set(self, key: Key, report: Report) -> None:
        self._known[key] = report
        self._dirty.add(key)
        if not self._reporting.get(key, False):
            self._reporting[key] = True
            self._spoke.add(key)

    @contextmanager
    def going(self, only: Key | None = None) -> Iterator[Mapping[Key, Report | None]]:
        """What changed since the last time (of one edge, or of all), to be written and committed in this block.

        It counts as changed again when that fails.
        """
        with self._lock:
            found = {key: self._known.get(key) for key in (self._dirty if only is None else {only})}
            self._dirty -= found.keys()
        try:
            yield found
        except BaseException:
            with self._lock:
                self._dirty |= found.keys() & self._known.keys()
            raise

    def is_dirty(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._dirty)

    def forget(self, namespace: str, resource: str, keep: tuple[str, ...]) -> None:
        """Drop the edges of a resource that are not in `keep`."""
        with self._lock:
            for key in [key for key in self._known if key[:2] == (namespace, resource) and key[2] not in keep]:
                self._known.pop(key)
                self._dirty.discard(key)
                self._untold.pop(key, None)
                self._reporting.pop(key, None)

    def view(self, key: Key, now: float) -> EdgeView:
        """What the operator sees of an edge."""
        report = self._known.get(key)
        if report is None:
            return EdgeView(edge=key[2], reporting=False)
        return EdgeView(
            edge=key[2],
            reporting=self._is_reporting(report, now),
            last_seen=report.seen_at,
            agent=report.agent,
            router=report.router,
        )

    def _is_reporting(self, report: Report, now: float) -> bool:
        return not report.gone and now - report.seen_at < self._silence

    def flipped(self, now: float) -> set[Key]:
        """The edges that fell silent or spoke again since the last call."""
        with self._lock:
            seen = {key: self._is_reporting(report, now) for key, report in self._known.items()}
            changed = {key for key, reporting in seen.items() if self._reporting.get(key, False) != reporting}
            spoke, self._spoke = self._spoke & seen.keys(), set()
            self._reporting = seen
        return changed | spoke

    @contextmanager
    def noticing(self, flipped: set[Key]) -> Iterator[None]:
        """The block tells of these edges; `flipped` names them again when that fails."""
        try:
            yield
        except BaseException:
            with self._lock:
                self._spoke |= flipped
            raise

    def running(self) -> set[str]:
        """The digests that edges run or are about to run."""
        with self._lock:
            agents = [report.agent for report in self._known.values() if report.agent]
        return {digest for agent in agents for digest in (agent.active, agent.wanted) if digest}

    def counts(self, now: float) -> tuple[int, int]:
        """(edges heard of, edges reporting)."""
        with self._lock:
            return len(self._known), sum(self._is_reporting(report, now) for report in self._known.values())


def write(sql: Connection, going: Mapping[Key, Report | None]) -> None:
    """Write reports, and drop those of edges that are no longer there."""
    for (namespace, resource, edge), report in going.items():
        here = (_reports.namespace == namespace, _reports.resource == resource, _reports.edge == edge)
        sql.execute(delete(tables.reports).where(*here))
        if report:
            sql.execute(insert(tables.reports).values(**_row(namespace, resource, edge, report)))


def _row(namespace: str, resource: str, edge: str, report: Report) -> dict[str, object]:
    return {
        "namespace": namespace,
        "resource": resource,
        "edge": edge,
        "agent": report.agent and report.agent.model_dump_json(),
        "router": report.router and report.router.model_dump_json(),
        "seen_at": report.seen_at,
    }
