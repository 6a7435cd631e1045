"""The status page: what the hub holds and who it hears, as plain HTML that reloads itself. Nothing comes from outside.

Open to this machine's own loopback, and to a viewer's or operator's token (`?token=`, kept as a cookie afterwards).
"""

import ipaddress
import time
from collections.abc import Iterable
from html import escape

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Connection, select

from umiak_workers.adapters.auth import Gate
from umiak_workers.contract.errors import IdentityError
from umiak_workers.contract.fleet import EdgeView, FleetSpec, LineView
from umiak_workers.hub import lines, owners, replay, rounds, tables, views
from umiak_workers.hub.access import EVERYWHERE
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.page_style import STYLE

COOKIE = "umiak_hub"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_OWN_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))
Row = tuple[str, ...]


def add(app: FastAPI, hub: Hub, gate: Gate) -> None:
    """Put the page on the app."""

    @app.get("/", include_in_schema=False)
    def page(request: Request, token: str = "") -> Response:
        if token:
            _check(gate, token)
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
            return answer
        if not _is_own(request):
            _check(gate, request.cookies.get(COOKIE, ""))
        return HTMLResponse(render(hub), headers={"Cache-Control": "no-store", "Content-Security-Policy": _POLICY})


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def _check(gate: Gate, token: str) -> None:
    if not token:
        raise IdentityError("open this page with ?token=<a viewer's token>")
    who = gate.prove(token)
    if who.role != "operator" and (who.role, who.namespace) != ("viewer", EVERYWHERE):
        raise IdentityError(f"{who} may not see this page; a viewer of all namespaces may")


def _is_own(request: Request) -> bool:
    """A caller on this machine, by its own address and by no name or proxy that could stand for somebody else."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    host = request.headers.get("host", "").rsplit(":", 1)[0]
    return host in _OWN_NAMES and ipaddress.ip_address(request.client.host).is_loopback


def render(hub: Hub) -> str:
    """The page as of now."""
    now = hub.now()
    with hub.database.read() as sql:
        held = owners.every(sql)
        parts = [
            _table("Model lines", ("Line", "Head", "Sequence", "Edges on it", "Note"), _lines(sql, hub, held, now)),
            _table("Edges", _EDGE_HEAD, _edges(hub, held, now)),
            _table("Replay", ("Resource", "Fill", "Samples", "Bytes", "Watermark"), _replays(sql, held)),
            _table("Releases", ("Line", "Sequence", "From", "To", "State", "When"), _releases(sql, now)),
            _table("Training rounds", _ROUND_HEAD, _rounds(sql, held, now)),
        ]
        unfinished = lines.count_unfinished(sql)
    known, reporting = hub.reports.counts(now)
    cards = "".join(
        f"<div class=card><b>{escape(value)}</b><span>{escape(name)}</span></div>"
        for name, value in (
            ("resources", str(len(held))),
            ("edges reporting", f"{reporting} of {known}"),
            ("releases under way", str(unfinished)),
            ("state used", f"{_bytes(hub.room.used)} of {_bytes(hub.room.most)}"),
        )
    )
    clock = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=3>"
        "<meta name=viewport content='width=device-width,initial-scale=1'><title>Umiak hub</title>"
        f"<style>{STYLE}</style><header><h1>Umiak hub</h1><time>{clock}</time></header>"
        f"<div class=cards>{cards}</div>{''.join(parts)}</html>"
    )


def _table(title: str, head: Row, rows: Iterable[Row]) -> str:
    """Cells are HTML already."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return f"<section><h2>{title}</h2><p class=none>none yet</p></section>"
    headings = "".join(f"<th>{name}</th>" for name in head)
    return f"<section><h2>{title}</h2><table><tr>{headings}</tr>{body}</table></section>"


def _lines(sql: Connection, hub: Hub, held: list[FleetSpec], now: float) -> Iterable[Row]:
    for name in sql.execute(select(tables.lines.c.line).order_by(tables.lines.c.line)).scalars().all():
        users = [spec for spec in held if spec.line and spec.line.line == name]
        line = views.line_view(sql, name, None)
        edges = [edge for user in users for edge in views.edges_of(hub.reports, user, now)]
        on_it = sum(edge.agent is not None and edge.agent.active == line.digest for edge in edges)
        sequence = str(line.sequence) if line.sequence else "–"
        yield escape(name), _digest(line.digest), sequence, _share(on_it, len(edges), line), escape(line.conflict)


def _share(part: int, whole: int, line: LineView) -> str:
    kind = "good" if whole and part == whole and line.digest else "wait"
    return f"<i class={kind}></i>{part} of {whole}"


_EDGE_HEAD = ("Resource", "Edge", "Seen", "Model", "Sequence", "Agent", "Frames", "Queue", "Sent")


def _edges(hub: Hub, held: list[FleetSpec], now: float) -> Iterable[Row]:
    for spec in held:
        if spec.owner.kind == "JointInference":
            for edge in views.edges_of(hub.reports, spec, now):
                yield (_owner(spec), escape(edge.edge), *_edge(edge, now))


def _edge(edge: EdgeView, now: float) -> Row:
    dot = f"<i class={'good' if edge.reporting else 'bad'}></i>"
    seen = dot + (_ago(edge.last_seen, now) if edge.last_seen else "never")
    agent, router = edge.agent, edge.router
    said = (
        (_digest(agent.active), str(agent.sequence), escape(f"{agent.state} {agent.reason}")) if agent else ("–",) * 3
    )
    if router is None:
        return seen, *said, "–", "–", "–"
    return seen, *said, str(router.frames), str(router.queue_items), _bytes(router.bytes_up)


def _replays(sql: Connection, held: list[FleetSpec]) -> Iterable[Row]:
    for spec in held:
        fill = spec.replay and replay.view(sql, spec.owner.namespace, spec.owner.name)
        if spec.replay and fill:
            percent = min(100.0, 100 * fill.samples / spec.replay.capacity)
            bar = f"<meter min=0 max=100 value={percent:.1f}></meter>{percent:.0f} %"
            yield (
                _owner(spec),
                bar,
                f"{fill.samples} of {spec.replay.capacity}",
                _bytes(fill.bytes),
                str(fill.watermark),
            )


def _releases(sql: Connection, now: float) -> Iterable[Row]:
    found = select(tables.releases).order_by(tables.releases.c.row.desc()).limit(12)
    for row in sql.execute(found):
        kind = {"Published": "good", "Conflict": "bad", "Superseded": "off"}.get(row.state, "wait")
        state = f"<i class={kind}></i>{escape(row.state)} <small>{escape(row.message)}</small>"
        number = str(row.sequence or "–")
        yield (
            escape(row.line),
            number,
            _digest(row.from_digest),
            _digest(row.to_digest),
            state,
            _ago(row.changed_at, now),
        )


_ROUND_HEAD = ("Resource", "Round", "Outcome", "Reason", "Samples", "Candidate", "When")


def _rounds(sql: Connection, held: list[FleetSpec], now: float) -> Iterable[Row]:
    for spec in held:
        for report in reversed(rounds.newest(sql, spec.owner.namespace, spec.owner.name)):
            kind = {"Promoted": "good", "Failed": "bad"}.get(report.outcome, "off")
            yield (
                _owner(spec),
                escape(report.round),
                f"<i class={kind}></i>{report.outcome}",
                f"{escape(report.reason)} <small>{escape(report.message)}</small>",
                str(report.samples),
                _digest(report.candidate),
                _ago(report.finished_at, now),
            )


def _owner(spec: FleetSpec) -> str:
    return escape(f"{spec.owner.namespace}/{spec.owner.name}")


def _digest(digest: str | None) -> str:
    if digest is None:
        return "–"
    return f"<code title={escape(digest)}>{escape(digest.removeprefix('sha256:')[:12])}</code>"


def _ago(then: float, now: float) -> str:
    seconds = max(0.0, now - then)
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name} ago"
    return f"{seconds:.0f} s ago"


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
