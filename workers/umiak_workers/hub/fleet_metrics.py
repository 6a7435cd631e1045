"""The fleet in figures: what edges behind NAT and Jobs told the hub, by namespace and resource, never by edge.

A Prometheus in a cluster cannot scrape edges; this is what it sees of them. The number of series depends on how many
resources there are, not on how many edges or models they have.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection

from umiak_workers.contract.fleet import EdgeView, FleetSpec
from umiak_workers.contract.messages import LATENCY_SECONDS, AgentState, RoundReport
from umiak_workers.hub import lines, owners, replay, rounds, views
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.steps import State
from umiak_workers.hub.tally import OTHER, REASONS, ROUTES, Totals

PHASES: tuple[str, ...] = get_args(AgentState.model_fields["state"].annotation)
OUTCOMES: tuple[str, ...] = get_args(RoundReport.model_fields["outcome"].annotation)
STATES: tuple[str, ...] = get_args(State)
SCORES = (
    "replay_holdout_miou_base",
    "replay_holdout_miou_candidate",
    "base_holdout_miou_base",
    "base_holdout_miou_candidate",
    "gain",
    "forgetting",
)
"""Figures of a round that are shown; a Job may report others."""
_OF = ["namespace", "resource"]


def collect(hub: Hub, sql: Connection) -> Iterator[Metric]:
    """Every family, with a value for each resource that the hub holds."""
    held = owners.every(sql)
    hub.tally.keep({(spec.owner.namespace, spec.owner.name) for spec in held})
    joint = [spec for spec in held if spec.owner.kind == "JointInference"]
    yield from _edges(hub, sql, joint)
    yield from _counted(hub, joint)
    yield from _replays(sql, joint)
    yield from _learning(hub, sql, [spec for spec in held if spec.owner.kind == "LifelongLearning"])
    yield from _lines(sql, hub.now())


def _edges(hub: Hub, sql: Connection, joint: Sequence[FleetSpec]) -> Iterator[Metric]:
    """Who reports, what they run, what waits at them."""
    edges = GaugeMetricFamily("umiak_fleet_edges", "Edges by whether they are heard of", labels=[*_OF, "state"])
    agents = GaugeMetricFamily("umiak_fleet_agents", "Edges by what their agent does", labels=[*_OF, "state"])
    models = _gauge("umiak_fleet_models", "Different models that reporting edges run")
    behind = _gauge("umiak_fleet_edges_behind", "Reporting edges that do not run the head of their line")
    queue = _gauge("umiak_fleet_queue_items", "Hard examples that wait at edges for a receipt")
    held = _gauge("umiak_fleet_queue_bytes", "Bytes of their photos")
    oldest = _gauge("umiak_fleet_queue_oldest_seconds", "Age of the oldest one when its edge last spoke")
    now = hub.now()
    for spec in joint:
        of = _name(spec)
        seen = views.edges_of(hub.reports, spec, now)
        _spread(edges, of, ("reporting", "silent", "unheard"), Counter(map(_presence, seen)))
        _spread(agents, of, PHASES, Counter(edge.agent.state for edge in seen if edge.agent))
        line = views.line_view(sql, spec.line.line, None) if spec.line else None
        running = [edge.agent.active for edge in seen if edge.reporting and edge.agent and edge.agent.active]
        models.add_metric(of, len(set(running)))
        behind.add_metric(of, sum(one != line.digest for one in running) if line and line.digest else 0)
        routers = [edge.router for edge in seen if edge.router]
        queue.add_metric(of, sum(router.queue_items for router in routers))
        held.add_metric(of, sum(router.queue_bytes for router in routers))
        oldest.add_metric(of, max((router.queue_oldest_seconds for router in routers), default=0))
    yield from (edges, agents, models, behind, queue, held, oldest)


def _presence(edge: EdgeView) -> str:
    if edge.last_seen is None:
        return "unheard"
    return "reporting" if edge.reporting else "silent"


def _counted(hub: Hub, joint: Sequence[FleetSpec]) -> Iterator[Metric]:
    """What edges' heartbeats added up to."""
    frames = CounterMetricFamily("umiak_fleet_frames", "Final answers of edges", labels=[*_OF, "route", "reason"])
    moved = CounterMetricFamily("umiak_fleet_bytes", "Bytes between edges and cloud", labels=[*_OF, "direction"])
    dropped = CounterMetricFamily("umiak_fleet_dropped", "Hard examples that edges gave up", labels=_OF)
    filmed = CounterMetricFamily(
        "umiak_fleet_video_dropped", "Frames of videos that came faster than edges could look at them", labels=_OF
    )
    took = HistogramMetricFamily(
        "umiak_fleet_answer_seconds", "From the photo to its final answer", labels=[*_OF, "route"]
    )
    for spec in joint:
        of, totals = _name(spec), hub.tally.read(spec.owner.namespace, spec.owner.name)
        for reason in (*REASONS, *({OTHER} & totals.frames.keys())):
            frames.add_metric([*of, route_of(reason), reason], totals.frames[reason])
        for direction in ("up", "down"):
            moved.add_metric([*of, direction], totals.bytes[direction])
        dropped.add_metric(of, totals.dropped)
        filmed.add_metric(of, totals.video_dropped)
        for route in ROUTES:
            took.add_metric([*of, route], *_buckets(totals, route))
    yield from (frames, moved, dropped, filmed, took)


def route_of(reason: str) -> str:
    """Who answers for this reason: all but one of them are answers of the edge itself."""
    return "cloud" if reason == "CloudAnswered" else "edge"


def _buckets(totals: Totals, route: str) -> tuple[list[tuple[str, float]], float]:
    spread = totals.latency[route]
    bounds = [*map(str, LATENCY_SECONDS), "+Inf"]
    return [(bound, float(count)) for bound, count in zip(bounds, spread.counts, strict=True)], spread.seconds


def _replays(sql: Connection, joint: Sequence[FleetSpec]) -> Iterator[Metric]:
    kept = _gauge("umiak_replay_samples", "Samples kept")
    size = _gauge("umiak_replay_bytes", "Bytes of samples kept")
    stored = CounterMetricFamily("umiak_replay_stored", "Samples ever stored", labels=_OF)
    for spec in joint:
        if books := replay.view(sql, spec.owner.namespace, spec.owner.name):
            kept.add_metric(_name(spec), books.samples)
            size.add_metric(_name(spec), books.bytes)
            stored.add_metric(_name(spec), books.watermark)
    yield from (kept, size, stored)


def _learning(hub: Hub, sql: Connection, learning: Sequence[FleetSpec]) -> Iterator[Metric]:
    """Rounds of each LifelongLearning: how many ended how, and what the last one found."""
    ended = CounterMetricFamily("umiak_rounds", "Training rounds by outcome", labels=[*_OF, "outcome"])
    fresh = _gauge("umiak_learning_fresh_samples", "Samples stored since those of the last round")
    when = _gauge("umiak_round_finished_timestamp_seconds", "When the last round ended")
    used = _gauge("umiak_round_samples", "Samples that the last round saw")
    score = GaugeMetricFamily("umiak_round_score", "What the last round measured", labels=[*_OF, "score"])
    for spec in learning:
        of, space = _name(spec), spec.owner.namespace
        _spread(ended, of, OUTCOMES, hub.tally.read(space, spec.owner.name).rounds)
        last = next(iter(rounds.newest(sql, space, spec.owner.name, 1)), None)
        books = replay.view(sql, space, spec.replay_of) if spec.replay_of else None
        fresh.add_metric(of, max(0, (books.watermark if books else 0) - (last.watermark if last else 0)))
        if last:
            when.add_metric(of, last.finished_at)
            used.add_metric(of, last.samples)
            for name in SCORES:
                if math.isfinite(value := last.metrics.get(name, math.nan)):
                    score.add_metric([*of, name], value)
    yield from (ended, fresh, when, used, score)


def _lines(sql: Connection, now: float) -> Iterator[Metric]:
    """Heads of lines, and releases by how far they came."""
    head = InfoMetricFamily(
        "umiak_line_head", "The model at the head of a line", labels=["namespace", "line", "digest"]
    )
    sequence = GaugeMetricFamily("umiak_line_sequence", "Releases of a line", labels=["namespace", "line"])
    releases = GaugeMetricFamily("umiak_releases", "Releases by state", labels=["namespace", "state"])
    waits = GaugeMetricFamily(
        "umiak_release_wait_seconds", "How long the oldest unfinished release has stood still", labels=["namespace"]
    )
    found = lines.standing(sql)
    for line in found.lines:
        namespace, _, name = line.line.partition("/")
        sequence.add_metric([namespace, name], line.sequence)
        if line.digest:
            head.add_metric([namespace, name, line.digest], {})
    for namespace in sorted({line.line.partition("/")[0] for line in found.lines}):
        _spread(releases, [namespace], STATES, found.releases.get(namespace, Counter()))
        since = found.waiting_since.get(namespace, now)
        waits.add_metric([namespace], max(0.0, now - since))
    yield from (head, sequence, releases, waits)


def _name(spec: FleetSpec) -> list[str]:
    return [spec.owner.namespace, spec.owner.name]


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=_OF)


def _spread(
    family: GaugeMetricFamily | CounterMetricFamily, of: list[str], known: Sequence[str], found: Counter[str]
) -> None:
    """One series for each value that there can be, so that none is missing while it is zero."""
    for value in known:
        family.add_metric([*of, value], found[value])
