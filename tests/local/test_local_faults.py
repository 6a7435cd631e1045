"""When things go wrong, with real processes: nothing that was promised is lost, and nothing is answered twice."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from fault_site import DEADLINE_SECONDS, SLACK_SECONDS, START_SECONDS, Site, photo, resource_yaml

from umiak_workers.bench.demo.world import LocalWorld, resource

pytestmark = [pytest.mark.processes, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """One world for the module; every frame is hard (CloudOnly), so that every frame makes a promise."""
    folder = tmp_path_factory.mktemp("faults")
    file = folder / "fault.yaml"
    file.write_text(resource_yaml({"miner": "CloudOnly"}))
    state = folder / "state"
    state.mkdir()
    async with (
        LocalWorld([file], 1, state) as local,
        httpx.AsyncClient(timeout=DEADLINE_SECONDS + 10) as client,
    ):
        found = Site(local, state, client)
        await found.ready()
        yield found


async def in_order(site: Site, sequences: range) -> None:
    """Every frame has exactly one revision 0, and later revisions only beside one (I9)."""
    answers = await site.answers()
    finals = Counter(answer.frame for answer in answers if answer.revision == 0)
    for sequence in sequences:
        assert finals[f"edge-1/test/{sequence}"] == 1, (sequence, finals)
    assert all(finals[answer.frame] == 1 for answer in answers)


async def stored_once(site: Site, sequences: range) -> None:
    """Every hard example of `sequences` reaches the replay store, once (I1)."""
    wanted = {f"edge-1/test/{sequence}" for sequence in sequences}
    found = await site.until_samples(
        lambda page: wanted <= {sample.frame for sample in page.samples}, f"{sorted(wanted)} in the replay store", 90
    )
    counts = Counter(sample.frame for sample in found.samples)
    assert all(counts[frame] == 1 for frame in wanted), counts


async def test_a_hard_frame_is_answered_by_the_cloud_and_kept_once(site: Site) -> None:
    answer, _ = await site.push(1)
    assert (answer.answered_by, answer.reason, answer.revision) == ("cloud", "CloudAnswered", 0)
    await stored_once(site, range(1, 2))


async def test_cloud_killed_every_frame_is_answered_at_the_edge_in_time_and_delivered_later(site: Site) -> None:
    pid = site.kill("cloud", "cloud")
    for sequence in range(10, 16):
        answer, seconds = await site.push(sequence)
        assert seconds <= DEADLINE_SECONDS + SLACK_SECONDS
        assert (answer.answered_by, answer.revision) == ("edge", 0)
        assert answer.reason in ("CloudUnreachable", "DeadlineNear")
    await site.returned("cloud", "cloud", pid)
    await stored_once(site, range(10, 16))
    await in_order(site, range(10, 16))


async def test_hub_killed_nothing_is_lost_and_the_head_stays(site: Site) -> None:
    line = resource(site.now(), "JointInference")
    assert line is not None
    head = line.status["line"]
    pid = site.kill("hub", "hub")
    answers = [(await site.push(sequence))[0] for sequence in range(20, 25)]
    assert {answer.revision for answer in answers} == {0}
    await site.returned("hub", "hub", pid)
    await stored_once(site, range(20, 25))
    await in_order(site, range(20, 25))
    again = resource(site.now(), "JointInference")
    assert again is not None
    assert again.status["line"] == head


async def test_broker_killed_answers_and_examples_go_on(site: Site) -> None:
    pid = site.kill("broker", "broker")
    for sequence in range(30, 34):
        answer, seconds = await site.push(sequence)
        assert (answer.answered_by, answer.revision) == ("cloud", 0)
        assert seconds <= DEADLINE_SECONDS + SLACK_SECONDS
    await stored_once(site, range(30, 34))
    await site.local.until(
        "another broker", lambda _: site.container("broker", "broker").pid not in (None, pid), START_SECONDS
    )


@pytest.mark.parametrize(("container", "first"), [("router", 40), ("edge", 60)])
async def test_edge_or_router_killed_while_frames_arrive(site: Site, container: str, first: int) -> None:
    sequences = range(first, first + 8)
    pushing = asyncio.gather(*(site.push_through(sequence) for sequence in sequences))
    await asyncio.sleep(0.15)
    pid = site.kill("edge", container)
    answers = await pushing
    assert [answer.revision for answer in answers] == [0] * len(sequences)
    await site.returned("edge", container, pid)
    await in_order(site, sequences)
    await stored_once(site, sequences)


async def test_a_retry_is_the_same_answer_and_other_bytes_are_refused(site: Site) -> None:
    first, _ = await site.push(80)
    again, _ = await site.push(80)
    timeless = {"stages_milliseconds": {}}  # the log's own entry cannot hold how long its writing took
    assert again.model_copy(update=timeless) == first.model_copy(update=timeless)
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await site.push(80, photo(81))


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (photo(1)[:900], "image/jpeg"),
        (b"", "image/jpeg"),
        (b"hello", "image/jpeg"),
        (photo(1), "text/plain"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "image/png"),
        (b"\0" * (9 * 1024 * 1024), "image/jpeg"),
    ],
    ids=["truncated", "empty", "noise", "wrong-type", "broken-png", "oversize"],
)
async def test_bad_input_is_a_4xx_in_one_line_and_the_workers_live_on(site: Site, body: bytes, media: str) -> None:
    before = site.container("edge", "router").pid, site.container("edge", "edge").pid
    reply = await site.client.post(site.router + "/v1/frames", content=body, headers={"Content-Type": media})
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.json()["error"]
    assert "\n" not in reply.json()["error"]
    after = site.container("edge", "router").pid, site.container("edge", "edge").pid
    assert after == before


async def test_stopping_leaves_no_process_and_no_port(tmp_path: Path) -> None:
    file, state = tmp_path / "fault.yaml", tmp_path / "state"
    file.write_text(resource_yaml({"miner": "ScoreMargin", "threshold": 0.9}))
    state.mkdir()
    async with LocalWorld([file], 1, state) as local, httpx.AsyncClient(timeout=10) as client:
        world = await Site(local, state, client).ready()
    pids = [box.pid for pod in world.pods for box in pod.containers if box.pid]
    assert pids
    assert not [pid for pid in [*pids, world.pid] if Path(f"/proc/{pid}/cmdline").exists()]
    addresses = [urlsplit(box.address) for pod in world.pods for box in pod.containers if box.address]
    assert len(addresses) >= 4
    for address in addresses:
        with socket.socket() as probe:
            assert probe.connect_ex((address.hostname, address.port)) != 0, address
