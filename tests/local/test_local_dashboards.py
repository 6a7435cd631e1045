"""Every panel of every dashboard has data: a real world answers, uploads and reports, a real Prometheus scrapes it."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fault_site import BUILTIN, photo
from prometheus_site import Prometheus, binary, free_port, prometheus
from up_site import until, up, world

from umiak_workers.adapters.artefacts import read_artefact
from umiak_workers.bench.demo.world import holds, resource
from umiak_workers.contract import routes
from umiak_workers.contract.identity import Principal, token
from umiak_workers.contract.messages import RoundReport
from umiak_workers.contract.world import World

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import dashboard_picture  # noqa: E402
from dashboard_panels import BOARDS, Board, plain  # noqa: E402
from local_prometheus import config  # noqa: E402

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
START_SECONDS = 300.0
DATA_SECONDS = 120.0
WINDOW = 40
"""seconds of a rate: a few heartbeats"""
RANGE = 300
SCORES = ("replay_holdout_miou_base", "replay_holdout_miou_candidate", "base_holdout_miou_base", "gain", "forgetting")


def builtin(name: str) -> dict[str, str]:
    return {"uri": f"builtin:{name}", "digest": read_artefact(BUILTIN / name).digest}


def text() -> str:
    """Half of the frames are hard; rounds are far away, the test reports one itself."""
    joint = {
        "edge": {
            "model": {"line": "yard-edge", **builtin("yard-edge")},
            "nodes": {"matchLabels": {"site": "yard"}},
            "source": {"http": {}},
        },
        "cloud": {"labeller": builtin("yard-cloud")},
        "hardExamples": {"miners": [{"miner": "Random", "budget": 0.5}]},
        "deadlineMilliseconds": 20_000,
    }
    lifelong = {
        "jointInferenceRef": {"name": "gate"},
        "baseData": {"uri": "yard:day?seed=101&frames=24"},
        "trigger": {"samples": 100_000},
    }
    specs = {"JointInference": ("gate", joint), "LifelongLearning": ("night", lifelong)}
    return yaml.safe_dump_all(
        {
            "apiVersion": "umiak.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "yard"},
            "spec": spec,
        }
        for kind, (name, spec) in specs.items()
    )


@dataclass
class Traffic:
    """Photos pushed one after the other until `stop`."""

    router: str
    photos: list[bytes]
    stop: threading.Event
    answered: int = 0

    def run(self) -> None:
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self.stop.wait(0.2):
                body = self.photos[self.answered % len(self.photos)]
                answer = client.post(self.router + routes.FRAMES, content=body, headers={"Content-Type": "image/jpeg"})
                self.answered += answer.status_code == 200


@dataclass(frozen=True)
class Site:
    """The running world and the Prometheus that looks at it."""

    now: World
    prometheus: Prometheus
    targets: int


def serving(state: Path) -> bool:
    now = world(state)
    boxes = [box for pod in now.pods for box in pod.containers] if now else []
    return bool(now) and len(boxes) == 7 and all(box.ready for box in boxes) and _has_head(now)


def _has_head(now: World | None) -> bool:
    found = resource(now, "JointInference") if now else None
    return holds(found, "Ready") and bool(found and found.status.get("line", {}).get("digest"))


def report_round(now: World) -> None:
    """What a training Job would say at its end, over the hub's real HTTP API."""
    key = bytes.fromhex(Path(now.operator_key_file).read_text().strip())
    trainer = token(key, Principal("yard", "night", "-", "trainer"))
    report = RoundReport(
        round="night-round-1",
        outcome="Promoted",
        reason="Better",
        message="it is",
        base=builtin("yard-edge")["digest"],
        watermark=1,
        samples=1,
        metrics=dict.fromkeys(SCORES, 0.5),
        finished_at=time.time(),
    )
    path = routes.ROUND.format(namespace="yard", resource="night", round=report.round)
    answer = httpx.put(
        now.endpoints["umiak://hub"] + path,
        content=report.model_dump_json(),
        headers={"Authorization": f"Bearer {trainer}"},
        timeout=10,
        trust_env=False,
    )
    assert answer.status_code == 204, answer.text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    binary()
    root = tmp_path_factory.mktemp("dashboards")
    state, file, operator = root / "state", root / "loop.yaml", free_port()
    file.write_text(text())
    with up(root, file, "--state", state, "--metrics-port", operator):
        until(lambda: serving(state), root, START_SECONDS)
        now = world(state)
        assert now is not None
        traffic = Traffic(now.routers["yard/gate/edge-1"], [photo(index) for index in range(4)], threading.Event())
        pusher = threading.Thread(target=traffic.run)
        pusher.start()
        try:
            report_round(now)
            scraped = config(now, f"127.0.0.1:{operator}", 1)
            with prometheus(root / "prometheus", scraped) as found:
                yield Site(now, found, len(scraped["scrape_configs"][0]["static_configs"]))
        finally:
            traffic.stop.set()
            pusher.join(60)
    assert traffic.answered > 0


def test_everything_is_scraped(site: Site) -> None:
    assert site.targets == 5  # hub, cloud, router, edge, operator: signer, agent and broker serve no figures
    end = time.monotonic() + DATA_SECONDS
    while (found := site.prometheus.targets()) and (len(found) < site.targets or any(found.values())):
        assert time.monotonic() < end, found
        time.sleep(0.5)


@pytest.mark.parametrize("board", BOARDS, ids=[board.name for board in BOARDS])
def test_every_query_of_every_panel_has_data(site: Site, board: Board) -> None:
    asked = {
        (panel.title, query.expr): plain(query.expr, WINDOW, RANGE) for panel in board.panels for query in panel.queries
    }
    end = time.monotonic() + DATA_SECONDS
    while asked:
        asked = {key: expr for key, expr in asked.items() if not site.prometheus.has_data(expr)}
        assert not asked or time.monotonic() < end, f"no data: {sorted(asked.values())}"
        time.sleep(1)


def test_figures_of_the_hub_are_those_of_the_edge(site: Site) -> None:
    def agree() -> bool:
        (edge,) = site.prometheus.ask("sum(umiak_frames_total) > 0")
        (fleet,) = site.prometheus.ask("sum(umiak_fleet_frames_total)")
        (counted,) = site.prometheus.ask("sum(umiak_fleet_answer_seconds_count)")
        return float(edge["value"][1]) >= float(fleet["value"][1]) == float(counted["value"][1]) > 0

    end = time.monotonic() + DATA_SECONDS
    while True:
        with suppress(ValueError):
            if agree():
                return
        assert time.monotonic() < end
        time.sleep(1)


def test_no_figure_of_the_hub_names_an_edge(site: Site) -> None:
    for series in site.prometheus.ask('{__name__=~"umiak_.+",component="hub"}'):
        labels: dict[str, Any] = series["metric"]
        assert "edge-1" not in labels.values(), labels


def test_every_alert_s_expression_is_taken(site: Site) -> None:
    groups = yaml.safe_load((ROOT / "charts" / "umiak" / "alerts" / "umiak.yaml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        site.prometheus.ask(rule["expr"])


@pytest.mark.parametrize("board", BOARDS, ids=[board.name for board in BOARDS])
def test_pictures_are_drawn_from_the_same_queries(site: Site, board: Board, tmp_path: Path) -> None:
    picture = tmp_path / f"{board.name}.png"
    dashboard_picture.draw(board, dashboard_picture.Look(site.prometheus.url, 120, WINDOW, time.time()), picture)
    assert 5_000 < picture.stat().st_size < 150_000
