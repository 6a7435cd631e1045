"""The fleet in figures: edges' words added up per resource, whatever edges come, go, restart or invent."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_kit import NOBODY, HubKit, eventually, hub_config, router_state, sample
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from umiak_workers.contract import routes
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.fleet import EdgeView
from umiak_workers.contract.messages import LATENCY_SECONDS, AgentState, Latency, RoundReport, RouterState
from umiak_workers.contract.wire import parse
from umiak_workers.core.promotion import Measured
from umiak_workers.hub import fleet_metrics
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.metrics import HubCollector
from umiak_workers.hub.tally import OTHER, REASONS, Tally

KIT = HubKit(None, 0, Path())
"""Only for its specs; no process behind it."""
WATCH = {"namespace": "plant", "resource": "watch"}
NIGHT = {"namespace": "plant", "resource": "night"}
ONE = "sha256:" + "1" * 64
FULL = len(LATENCY_SECONDS) + 1


def said(frames: int, **changes: object) -> RouterState:
    return router_state(frames).model_copy(update=changes)


class Figures:
    """A hub by itself, and what Prometheus would read of it."""

    def __init__(self, folder: Path) -> None:
        self.at = 1000.0
        self.hub = Hub(hub_config(silence_seconds=30), folder, lambda: self.at)
        self.hub.start()
        self.hub.put_owner("plant.watch", KIT.joint_inference("builtin:nothing", NOBODY))
        self.hub.put_owner("plant.night", KIT.learning())

    def __call__(self, name: str, **labels: str) -> float | None:
        registry = CollectorRegistry()
        registry.register(HubCollector(self.hub))
        return registry.get_sample_value(name, labels)

    def router(self, edge: str, state: RouterState) -> None:
        self.hub.router_said(("plant", "watch", edge), state)

    def agent(self, edge: str, active: str | None, state: str = "Idle") -> None:
        word = AgentState(line="plant/yard", active=active, sequence=1, state=state, at=0)  # type: ignore[arg-type]
        self.hub.agent_said(("plant", "watch", edge), word)


@pytest.fixture
def figures(tmp_path: Path) -> Iterator[Figures]:
    found = Figures(tmp_path)
    yield found
    found.hub.close()


def test_edges_are_counted_by_presence(figures: Figures) -> None:
    def edges() -> list[float | None]:
        return [figures("umiak_fleet_edges", **WATCH, state=state) for state in ("reporting", "silent", "unheard")]

    assert edges() == [0, 0, 2]
    figures.router("edge-1", said(1))
    assert edges() == [1, 0, 1]
    figures.at += 31
    figures.router("edge-2", said(1))
    assert edges() == [1, 1, 0]


def test_models_that_differ_and_agents_that_failed_are_seen(figures: Figures) -> None:
    figures.agent("edge-1", ONE)
    figures.agent("edge-2", NOBODY, "Failed")
    assert figures("umiak_fleet_models", **WATCH) == 2
    assert figures("umiak_fleet_agents", **WATCH, state="Failed") == 1
    assert figures("umiak_fleet_agents", **WATCH, state="Idle") == 1
    assert figures("umiak_fleet_edges_behind", **WATCH) == 0, "the line has no head yet"


def test_queues_are_summed_and_the_oldest_is_the_oldest_of_all(figures: Figures) -> None:
    figures.router("edge-1", said(1, queue_items=3, queue_bytes=300, queue_oldest_seconds=5.0))
    figures.router("edge-2", said(1, queue_items=4, queue_bytes=400, queue_oldest_seconds=70.0))
    assert figures("umiak_fleet_queue_items", **WATCH) == 7
    assert figures("umiak_fleet_queue_bytes", **WATCH) == 700
    assert figures("umiak_fleet_queue_oldest_seconds", **WATCH) == 70


def test_counters_never_fall_when_an_edge_goes_or_begins_again(figures: Figures) -> None:
    def easy() -> float | None:
        return figures("umiak_fleet_frames_total", **WATCH, route="edge", reason="Easy")

    assert easy() == 0, "the series is there before the first frame"
    figures.router("edge-1", said(100, bytes_up=1000, bytes_down=10, dropped=1))
    figures.router("edge-2", said(50))
    figures.router("edge-1", said(120, bytes_up=1500, bytes_down=20, dropped=1, video_dropped=9))
    assert easy() == 170
    figures.hub.put_owner("plant.watch", KIT.joint_inference("builtin:nothing", NOBODY, edges=("edge-1",)))
    assert easy() == 170, "edge-2 has left"
    figures.router("edge-1", said(5))
    assert easy() == 175, "its state volume was lost"
    assert figures("umiak_fleet_bytes_total", **WATCH, direction="up") == 1500
    assert figures("umiak_fleet_dropped_total", **WATCH) == 1
    assert figures("umiak_fleet_video_dropped_total", **WATCH) == 9


def test_a_restarted_hub_counts_on_from_what_edges_had_said(tmp_path: Path) -> None:
    first = Figures(tmp_path)
    first.router("edge-1", said(100))
    first.hub.close()
    again = Figures(tmp_path)
    again.router("edge-1", said(103))
    assert again("umiak_fleet_frames_total", **WATCH, route="edge", reason="Easy") == 3
    again.hub.close()


def test_invented_reasons_and_routes_make_no_series(figures: Figures) -> None:
    counts = Latency(counts=(1,) * FULL, seconds=0.001)
    state = said(3, by_reason={"Easy": 1, "x" * 200: 1, "y": 1}, latency={"edge": counts, "z": counts})
    figures.router("edge-1", state)
    assert figures("umiak_fleet_frames_total", **WATCH, route="edge", reason=OTHER) == 2
    found = figures.hub.tally.read("plant", "watch")
    assert set(found.frames) <= {*REASONS, OTHER}
    assert set(found.latency) == {"edge", "cloud"}


@pytest.mark.parametrize("value", [-1, 10**400])
def test_a_total_that_no_router_can_have_is_refused(value: int) -> None:
    text = json.dumps(said(1).model_dump() | {"dropped": value})
    with pytest.raises(MessageError, match="dropped"):
        parse(RouterState, text)


def test_answer_times_become_a_histogram(figures: Figures) -> None:
    slow = (0,) * (FULL - 2) + (1, 2)
    figures.router("edge-1", said(1, latency={"cloud": Latency(counts=slow, seconds=15.0)}))
    figures.router("edge-2", said(1, latency={"cloud": Latency(counts=(1,) * FULL, seconds=0.001)}))
    figures.router("edge-2", said(2, latency={"cloud": Latency(counts=(2,) * FULL, seconds=0.002)}))
    figures.router("edge-2", said(2, latency={"cloud": Latency(counts=(9, 9), seconds=9.0)}))

    def bucket(bound: str) -> float | None:
        return figures("umiak_fleet_answer_seconds_bucket", **WATCH, route="cloud", le=bound)

    assert (bucket("0.005"), bucket("5.0"), bucket("10.0"), bucket("+Inf")) == (2, 2, 3, 4)
    assert figures("umiak_fleet_answer_seconds_count", **WATCH, route="cloud") == 4
    assert figures("umiak_fleet_answer_seconds_sum", **WATCH, route="cloud") == pytest.approx(15.002)
    assert figures("umiak_fleet_answer_seconds_count", **WATCH, route="edge") == 0


words = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.booleans()), max_size=40)


@given(words)
def test_what_is_counted_is_what_was_answered(turns: list[tuple[str, int, bool]]) -> None:
    """Edges answer, now and then lose their state; the tally knows every answer that was reported."""
    tally, last, answered = Tally(), dict[str, RouterState](), 0
    for edge, count, lost in turns:
        before = 0 if lost or edge not in last else last[edge].frames
        if lost and edge in last and count >= last[edge].frames:
            continue  # nobody can tell this from going on
        now = said(before + count)
        tally.said("plant", "watch", last.get(edge), now)
        last[edge], answered = now, answered + count
    assert tally.read("plant", "watch").frames["Easy"] == answered


def test_rounds_and_their_scores(figures: Figures) -> None:
    assert figures("umiak_rounds_total", **NIGHT, outcome="Promoted") == 0
    scores = {**Measured(0.5, 0.6, 0.8, 0.79).metrics(), "mine": 1.0}
    report = RoundReport(
        round="night-1", outcome="Promoted", reason="Better", message="", base=NOBODY, watermark=2, samples=2,
        metrics=scores, finished_at=900.0,
    )  # fmt: skip
    for _ in range(2):
        figures.hub.round_done("plant", "night", report)
    assert figures("umiak_rounds_total", **NIGHT, outcome="Promoted") == 1, "the same round again is no other one"
    assert figures("umiak_round_score", **NIGHT, score="gain") == pytest.approx(0.1)
    assert figures("umiak_round_score", **NIGHT, score="mine") is None
    assert figures("umiak_round_finished_timestamp_seconds", **NIGHT) == 900
    assert figures("umiak_round_samples", **NIGHT) == 2
    assert figures("umiak_learning_fresh_samples", **NIGHT) == 0
    for number in range(3):
        figures.hub.put_sample("plant", "watch", *sample(f"edge-1/cam/{number}", bytes([number]) * 9))
    assert figures("umiak_replay_stored_total", **WATCH) == 3
    assert figures("umiak_replay_samples", **WATCH) == 3
    assert figures("umiak_learning_fresh_samples", **NIGHT) == 1


def test_scores_are_those_that_the_gate_measures() -> None:
    assert set(fleet_metrics.SCORES) == set(Measured(0, 0, 0, 0).metrics())


def test_a_resource_that_went_leaves_no_series(figures: Figures) -> None:
    figures.router("edge-1", said(7))
    figures.hub.drop_owner("plant.watch")
    assert figures("umiak_fleet_frames_total", **WATCH, route="edge", reason="Easy") is None
    figures.hub.put_owner("plant.watch", KIT.joint_inference("builtin:nothing", NOBODY))
    assert figures("umiak_fleet_frames_total", **WATCH, route="edge", reason="Easy") == 0


def test_the_number_of_series_does_not_depend_on_edges(figures: Figures) -> None:
    def series() -> int:
        return sum(len(metric.samples) for metric in HubCollector(figures.hub).collect())

    few = series()
    many = tuple(f"edge-{number}" for number in range(50))
    figures.hub.put_owner("plant.watch", KIT.joint_inference("builtin:nothing", NOBODY, edges=many))
    for edge in many:
        figures.router(edge, said(1))
        figures.agent(edge, ONE)
    assert series() == few


def test_every_edge_is_in_one_state() -> None:
    heard = EdgeView(edge="e", reporting=True, last_seen=1.0)
    states = (EdgeView(edge="e", reporting=False), heard, heard.model_copy(update={"reporting": False}))
    assert [fleet_metrics._presence(edge) for edge in states] == ["unheard", "reporting", "silent"]


@pytest.mark.processes
def test_a_head_a_release_and_traffic_of_a_real_hub(hub: HubKit, models: object) -> None:
    folder, digest = models(7)  # type: ignore[operator]
    spec = hub.joint_inference(folder.as_uri(), digest)
    head = eventually(lambda: hub.with_head(spec))
    hub.client("agent").put_agent_state(hub.namespace, "watch", "edge-1", hub.agent_state(NOBODY))
    text = hub.http(None).get(routes.METRICS).text
    space = f'namespace="{hub.namespace}"'
    assert f'umiak_line_head_info{{digest="{head.digest}",line="yard",{space}}} 1.0' in text
    assert f'umiak_line_sequence{{line="yard",{space}}} 1.0' in text
    assert f'umiak_releases{{{space},state="Published"}} 1.0' in text
    assert f"umiak_release_wait_seconds{{{space}}} 0.0" in text
    assert f'umiak_fleet_edges_behind{{{space},resource="watch"}} 1.0' in text
    assert 'umiak_hub_http_bytes_total{channel="reports",direction="up",role="agent"}' in text
    assert 'umiak_hub_http_bytes_total{channel="fleet",direction="down",role="operator"}' in text
    assert (
        'umiak_hub_http_bytes_total{channel="other",direction="down",role="nobody"}'
        in hub.http(None).get(routes.METRICS).text
    )
