"""What a router says: heartbeats, live settings, presence and summaries, numbers at the door."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.adapters.memory import FakeClock, MemoryBroker
from umiak_workers.contract.config import MinerRule, RouterConfig
from umiak_workers.contract.errors import InvalidInput, Unavailable
from umiak_workers.contract.messages import Answer, LiveRule, LiveSettings, Scores
from umiak_workers.contract.topics import LARGEST, Topic
from umiak_workers.contract.wire import parse
from umiak_workers.router.door import MOST_SOURCES, Door
from umiak_workers.router.metrics import RouterMetrics
from umiak_workers.router.pipeline import Stores
from umiak_workers.router.report import Reporter
from umiak_workers.router.settings import SettingsLoop
from umiak_workers.router.voice import Voice, presence, summary

Make = Callable[..., Any]
CONFIG = RouterConfig(
    namespace="yard", resource="gate", edge="edge-1", line="yard/street", rules=(MinerRule(miner="EdgeOnly"),)
)
SHA = "sha256:" + "d" * 64
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", min_size=1, max_size=250)
answers = st.builds(
    Answer,
    frame=st.builds(lambda edge, source, number: f"{edge}/{source}/{number}", names, names, st.integers(0, 10**17)),
    revision=st.integers(0, 1),
    answered_by=st.sampled_from(["edge", "cloud"]),
    reason=st.sampled_from(["Easy", "CloudAnswered", "CloudUnreachable", "DeadlineNear", "QueueFull"]),
    rule=st.sampled_from(["", "ScoreMargin", "MaxProbability"]),
    scores=st.builds(
        Scores,
        margin=st.floats(0, 1),
        max_probability=st.floats(0, 1),
        entropy=st.floats(0, 9),
        confidences=st.sampled_from([None, (), (0.1234,) * 100]),
    ),
    model=st.just(SHA),
    cloud_models=st.sampled_from([{}, {"edge": SHA}, {"edge": SHA, "labeller": SHA, "sam": SHA}]),
    captured_at=st.floats(1e9, 2e9),
    answered_at=st.floats(1e9, 2e9),
    stages_milliseconds=st.dictionaries(
        st.sampled_from(["edge", "judge", "queue", "cloud", "fuse", "log", "total"]), st.floats(0, 1e6)
    ),
    bytes_up=st.integers(0, 10**9),
    bytes_down=st.integers(0, 10**9),
)


@given(answers)
def test_every_answer_fits_a_summary_that_can_be_read_again(answer: Answer) -> None:
    text = summary(answer)
    if text is not None:
        assert len(text) <= LARGEST
        again = parse(Answer, text)
        told = answer.scores.model_copy(update={"confidences": None})
        assert (again.frame, again.reason, again.scores) == (answer.frame, answer.reason, told)
    assert text is not None or len(answer.frame) > 500, "only ids of hundreds of letters do not fit"


def test_a_router_is_born_speaks_and_is_missed_when_it_is_gone() -> None:
    broker = MemoryBroker()
    link = broker.link(will=presence(CONFIG, False, 1.0))
    voice = Voice(CONFIG, link)
    voice.hello(2.0)
    topic = "umiak/v1/yard/jointinference/gate/edge-1/presence"
    assert json.loads(broker.retained[topic]) == {"up": True, "at": 2.0}
    link.cut()
    assert json.loads(broker.retained[topic])["up"] is False
    link.mend()
    assert json.loads(broker.retained[topic])["up"] is True
    assert Topic.parse(topic).verb == "presence"
    Voice(CONFIG, None).hello(2.0)


async def test_a_hint_wakes_the_settings_loop(inside: Make, tmp_path: Path) -> None:
    world, broker = inside(), MemoryBroker()
    loop = SettingsLoop(world.hub, world.policy, tmp_path, seconds=3600)
    Voice(CONFIG, broker.link(will=None)).on_settings(loop.hint)
    running = asyncio.ensure_future(loop.run())
    await asyncio.sleep(0.05)
    world.hub.live = LiveSettings(settings_version=7, deadline_milliseconds=500)
    from umiak_workers.adapters.mqtt import Note
    from umiak_workers.contract.topics import settings_hint

    broker.link(will=None).publish(Note(settings_hint("yard", "gate"), b"7", retain=True))
    for _ in range(100):
        await asyncio.sleep(0.02)
        if (tmp_path / "settings.json").exists():
            break
    assert world.policy.deadline == 0.5
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_settings_survive_a_restart_and_nonsense_changes_nothing(inside: Make, tmp_path: Path) -> None:
    world = inside()
    loop = SettingsLoop(world.hub, world.policy, tmp_path, seconds=1)
    await loop.look()
    assert not (tmp_path / "settings.json").exists(), "version 0 means that nothing is set"
    world.hub.live = LiveSettings(settings_version=2, rules=(LiveRule(miner="ScoreMargin", threshold=0.9),))
    await loop.look()
    assert world.policy.judge.rules[0].threshold == 0.9
    world.hub.live = LiveSettings(settings_version=3, rules=(LiveRule(miner="ScoreMargin", threshold=9.0),))
    await loop.look()
    world.hub.error = Unavailable("away")
    await loop.look()
    assert world.policy.settings_version == 2
    second = inside()
    SettingsLoop(second.hub, second.policy, tmp_path, seconds=1).recall()
    assert second.policy.judge.rules[0].threshold == 0.9
    assert second.policy.settings_version == 2
    (tmp_path / "settings.json").write_text("{")
    third = inside()
    SettingsLoop(third.hub, third.policy, tmp_path, seconds=1).recall()
    assert third.policy.settings_version == 0


async def test_heartbeats_carry_running_totals_over_restarts(inside: Make, clock: FakeClock) -> None:
    world = inside()
    for number in range(3):
        world.edge.margin = 0.9 if number else 0.1
        task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
        await clock.advance(1)
        assert task.done()
    for again in (world, inside()):
        stores = Stores(again.answers, again.queue)
        metrics = RouterMetrics()
        reporter = Reporter(again.hub, stores, again.policy, metrics, clock, seconds=10)
        await reporter.beat()
        said = again.hub.reports[-1]
        assert (said.frames, said.by_reason) == (3, {"CloudAnswered": 1, "Easy": 2})
        assert said.bytes_up > 0
        assert said.at == clock.now()
        again.hub.error = Unavailable("away")
        await reporter.beat()
        again.hub.error = None
        running = asyncio.ensure_future(reporter.run(lambda: 0.5))
        await clock.advance(35)
        assert len(again.hub.reports) == 1 + 4
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_dropped_frames_of_a_video_are_a_running_total(inside: Make, clock: FakeClock) -> None:
    for dropped, total in ((3, 3), (2, 5)):
        world, metrics = inside(), RouterMetrics()
        reporter = Reporter(world.hub, Stores(world.answers, world.queue), world.policy, metrics, clock, seconds=10)
        for outcome in ("answered", *["dropped"] * dropped, "undecodable"):
            metrics.filmed(outcome)
        await reporter.beat()
        await reporter.beat()
        assert [said.video_dropped for said in world.hub.reports] == [total, total]


def test_overhead_is_what_was_neither_the_edge_s_nor_the_cloud_s() -> None:
    metrics = RouterMetrics()
    assert metrics.overhead() == (0.0, 0.0)
    for total in range(100, 200):
        stages = {"edge": 50.0, "cloud": 40.0, "log": 3.0, "total": float(total)}
        metrics.answered(
            Answer(
                frame="e/s/1",
                revision=0,
                answered_by="edge",
                reason="Easy",
                scores=Scores(margin=0.5, max_probability=0.5, entropy=0.5),
                model=SHA,
                captured_at=0.0,
                answered_at=0.0,
                stages_milliseconds=stages,
            ),
            deadline=0.15,
        )
    assert metrics.overhead() == (60.0, 105.0)
    assert set(metrics.latency()) == {"edge"}
    took = metrics.latency()["edge"]
    assert took.counts == (0, 0, 0, 0, 1, *[100] * 7)  # 100 ms to 199 ms
    assert took.seconds == pytest.approx(sum(range(100, 200)) / 1000)
    overdue = metrics.registry.get_sample_value("umiak_overdue_frames_total")
    assert overdue == 49.0


@pytest.mark.parametrize("source", ["", "A", "a b", "a/b", "-a", "a" * 254, "ü"])
async def test_the_door_refuses_names_that_no_id_can_hold(
    inside: Make, photo: Callable[..., bytes], source: str
) -> None:
    with pytest.raises(InvalidInput, match="source"):
        await inside().door.frame(source, None, photo(1))


async def test_the_door_counts_per_source_and_never_gives_a_number_twice(
    inside: Make, photo: Callable[..., bytes]
) -> None:
    door: Door = inside().door
    first = [(await door.frame("a", None, photo(1))).id for _ in range(2)]
    assert first == ["edge-1/a/0", "edge-1/a/1"]
    assert (await door.frame("b", None, photo(1))).id == "edge-1/b/0"
    pushed = await door.frame("a", 10, photo(1))
    assert (pushed.id, pushed.fresh) == ("edge-1/a/10", False)
    after = await door.frame("a", None, photo(1))
    assert (after.id, after.fresh) == ("edge-1/a/11", True)
    together = await asyncio.gather(*[door.frame("c", None, photo(1)) for _ in range(20)])
    assert len({frame.id for frame in together}) == 20


async def test_the_door_is_bounded_and_measures_photos(inside: Make, photo: Callable[..., bytes]) -> None:
    door: Door = inside().door
    with pytest.raises(InvalidInput, match="at most 100000"):
        await door.frame("a", None, photo(1) + bytes(100_000))
    for number in range(MOST_SOURCES):
        await door.frame(f"s{number}", 1, photo(1))
    with pytest.raises(InvalidInput, match="one too many"):
        await door.frame("another", None, photo(1))
