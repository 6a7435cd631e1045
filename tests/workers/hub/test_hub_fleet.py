"""Owners, views and the change stream: what the operator tells, sees and hears."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_kit import NOBODY, HubKit, eventually, router_state, sample

from umiak_workers.contract import routes
from umiak_workers.contract.errors import Refused
from umiak_workers.contract.fleet import Changes
from umiak_workers.contract.messages import LiveSettings, RoundReport

pytestmark = pytest.mark.processes
Models = Callable[[int], tuple[Path, str]]


def round_report(name: str, outcome: str = "Refused") -> RoundReport:
    return RoundReport(
        round=name,
        outcome=outcome,  # type: ignore[arg-type]
        reason="NoGain",
        message="0.001 < 0.01",
        base=NOBODY,
        watermark=3,
        samples=3,
        finished_at=time.time(),
    )


def since(hub: HubKit, cursor: int) -> tuple[set[str], int]:
    """(own owners that changed after `cursor`, the new cursor)."""
    page = hub.changes(cursor)
    return {uid for uid in page.owners if uid.startswith(f"{hub.namespace}.")}, page.cursor


def test_the_same_spec_again_changes_nothing_and_wakes_nobody(hub: HubKit) -> None:
    spec = hub.replay_of_one()
    eventually(lambda: hub.head(spec).conflict)
    view, cursor = hub.view(spec), hub.changes(0).cursor
    assert hub.put(spec) == view
    assert since(hub, cursor)[0] == set()
    assert spec.owner.uid in hub.http().get(routes.OWNERS).json()


def test_a_spec_under_another_uid_is_refused(hub: HubKit) -> None:
    spec = hub.learning()
    answer = hub.http().put(routes.OWNER.format(uid="other"), content=spec.model_dump_json())
    assert answer.status_code == 400
    assert "owner.uid" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{}", "owner"),
        ("nonsense", "Invalid JSON"),
        ('{"owner":{"kind":"Pod","namespace":"a","name":"b","uid":"u"}}', "owner.kind"),
        (
            '{"owner":{"kind":"ModelPatch","namespace":"a","name":"b","uid":"u"},"release":{"line":"a","to_digest":"x"}}',
            "release.line",
        ),
    ],
)
def test_a_wrong_spec_is_refused_by_field(hub: HubKit, body: str, says: str) -> None:
    answer = hub.http().put(routes.OWNER.format(uid="u"), content=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_an_unknown_owner_is_404_and_may_be_deleted_again(hub: HubKit) -> None:
    assert hub.http().get(routes.OWNER.format(uid="nobody")).status_code == 404
    assert hub.http().delete(routes.OWNER.format(uid="nobody")).status_code == 204


def test_deleting_drops_everything_but_heads(hub: HubKit, models: Models) -> None:
    folder, digest = models(0)
    spec, night = hub.joint_inference(folder.as_uri(), digest), hub.learning()
    hub.with_head(spec)
    hub.put(night)
    hub.client("cloud").put_sample(hub.namespace, "watch", *sample("edge-1/cam/1", b"abc"))
    hub.client("agent").put_agent_state(hub.namespace, "watch", "edge-1", hub.agent_state(digest))
    hub.client("trainer").put_round(hub.namespace, "night", round_report("night-1"))
    files = len(list((hub.state / "replay").iterdir()))
    hub.drop(spec)
    hub.drop(night)
    assert len(list((hub.state / "replay").iterdir())) == files - 1
    assert hub.client("agent").head(hub.line) is not None
    again = hub.put(spec)
    assert again.replay is not None
    assert (again.replay.watermark, again.replay.samples) == (0, 0)
    assert [edge.agent for edge in again.edges] == [None, None]
    assert hub.put(night).rounds == ()


def test_an_edge_reports_is_seen_and_falls_silent(new_hub: Callable[..., HubKit]) -> None:
    hub = new_hub(silence_seconds=1.5)
    spec = hub.replay_of_one()
    edge = hub.view(spec).edges[0]
    assert (edge.edge, edge.reporting, edge.last_seen, edge.agent, edge.router) == ("edge-1", False, None, None, None)
    state, totals = hub.agent_state(None, sequence=0), router_state(7)
    hub.client("agent").put_agent_state(hub.namespace, "watch", "edge-1", state)
    hub.client("router").put_router_state(hub.namespace, "watch", "edge-1", totals)
    edge, other = hub.view(spec).edges
    assert (edge.reporting, edge.agent, edge.router) == (True, state, totals)
    assert abs(time.time() - (edge.last_seen or 0)) < 5
    assert not other.reporting
    cursor = hub.changes(0).cursor
    silent = eventually(
        lambda: (page := hub.changes(cursor, 5)).owners and not hub.view(spec).edges[0].reporting and page
    )
    assert spec.owner.uid in silent.owners
    assert hub.view(spec).edges[0].router == totals


def test_reports_survive_a_kill(new_hub: Callable[..., HubKit]) -> None:
    hub = new_hub()
    spec = hub.replay_of_one()
    state = hub.agent_state("sha256:" + "a" * 64, sequence=4)
    hub.client("agent").put_agent_state(hub.namespace, "watch", "edge-1", state)
    hub.client("router").put_router_state(hub.namespace, "watch", "edge-1", router_state(9))
    time.sleep(2.5)
    cursor = hub.changes(0).cursor
    hub.restart()
    edge = hub.view(spec).edges[0]
    assert edge.agent == state
    assert edge.router is not None
    assert edge.router.frames == 9
    assert hub.changes(0).cursor >= cursor


def test_only_edges_of_the_spec_may_report(hub: HubKit) -> None:
    spec = hub.replay_of_one()
    stranger = hub.client(f"{hub.namespace}/watch/edge-9/agent")
    with pytest.raises(Refused, match="edge-9") as refused:
        stranger.put_agent_state(hub.namespace, "watch", "edge-9", hub.agent_state(None))
    assert refused.value.status == 404
    hub.client("agent").put_agent_state(hub.namespace, "watch", "edge-1", hub.agent_state(None))
    hub.put(spec.model_copy(update={"edges": ("edge-2",)}))
    assert [edge.edge for edge in hub.view(spec).edges] == ["edge-2"]
    hub.put(spec)
    assert hub.view(spec).edges[0].agent is None


def test_settings_are_passed_on_with_their_version(hub: HubKit) -> None:
    router = hub.client("router")
    assert router.settings(hub.namespace, "watch") == LiveSettings()
    spec = hub.joint_inference("builtin:nothing", NOBODY, settings=LiveSettings(settings_version=3, threshold=0.25))
    assert hub.put(spec).settings_version == 3
    assert router.settings(hub.namespace, "watch") == spec.settings
    live = LiveSettings(settings_version=4, budget=0.5, deadline_milliseconds=900)
    hub.put(spec.model_copy(update={"settings": live}))
    assert router.settings(hub.namespace, "watch") == live


def test_rounds_are_seen_oldest_first_and_once(hub: HubKit) -> None:
    spec = hub.learning()
    trainer = hub.client("trainer")
    with pytest.raises(Refused, match="LifelongLearning") as refused:
        trainer.put_round(hub.namespace, "night", round_report("night-1"))
    assert refused.value.status == 404
    hub.put(spec)
    for name in ("night-1", "night-2", "night-1"):
        trainer.put_round(hub.namespace, "night", round_report(name, "Promoted" if name == "night-1" else "Refused"))
    assert [(one.round, one.outcome) for one in hub.view(spec).rounds] == [
        ("night-1", "Promoted"),
        ("night-2", "Refused"),
    ]


def test_learning_sees_the_replay_and_line_it_follows(hub: HubKit, models: Models) -> None:
    folder, digest = models(0)
    night = hub.learning()
    assert hub.put(night).line is None
    hub.with_head(hub.joint_inference(folder.as_uri(), digest))
    hub.client("cloud").put_sample(hub.namespace, "watch", *sample("edge-1/cam/1", b"abc"))
    view = hub.view(night)
    assert view.line is not None
    assert (view.line.line, view.line.digest) == (hub.line, digest)
    assert view.replay is not None
    assert (view.replay.watermark, view.replay.samples) == (1, 1)


def long_poll(hub: HubKit, cursor: int) -> tuple[threading.Thread, list[Changes]]:
    got: list[Changes] = []
    thread = threading.Thread(target=lambda: got.append(hub.changes(cursor, 15)))
    thread.start()
    time.sleep(0.3)
    return thread, got


def test_a_waiting_poll_hears_a_fact(hub: HubKit) -> None:
    spec = hub.replay_of_one()
    eventually(lambda: hub.head(spec).conflict)
    cursor = hub.changes(0).cursor
    thread, got = long_poll(hub, cursor)
    hub.client("agent").put_agent_state(hub.namespace, "watch", "edge-1", hub.agent_state(None))
    thread.join()
    assert got[0].owners
    assert got[0].cursor > cursor


def test_a_cursor_of_another_hub_hears_everything(hub: HubKit) -> None:
    spec = hub.replay_of_one()
    page = hub.changes(10**9, wait=10)
    assert spec.owner.uid in page.owners
    assert page.cursor < 10**9


def test_a_deleted_owner_does_not_turn_the_stream_back(hub: HubKit) -> None:
    first, second = hub.learning("a"), hub.learning("b")
    hub.put(first)
    hub.put(second)
    cursor = hub.changes(0).cursor
    hub.drop(second)
    hub.put(first.model_copy(update={"replay_of": "elsewhere"}))
    assert since(hub, cursor)[0] == {first.owner.uid}


def test_a_waiting_poll_ends_when_the_hub_does(new_hub: Callable[..., HubKit]) -> None:
    hub = new_hub()
    thread, got = long_poll(hub, hub.changes(0).cursor)
    assert hub.role.stop() == 0
    thread.join()
    assert got[0].owners == ()
