"""The hub's process with its books in a real PostgreSQL, by a URL in a file: as a cluster runs it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_kit import NOBODY, HubKit, eventually, hub_config, make_hub, sample
from postgres_kit import PASSWORD, Postgres

from umiak_workers.adapters import process
from umiak_workers.contract import routes
from umiak_workers.contract.errors import ConfigError, Unavailable
from umiak_workers.hub.__main__ import main

pytestmark = pytest.mark.processes
Models = Callable[[int], tuple[Path, str]]
OverUrl = Callable[[str], HubKit]
SECRETS = (PASSWORD, "p%40ss", "ss/w:rd")
"""The password, its escaped form, and a piece of it."""


@pytest.fixture
def over_url(role: Any, tmp_path: Path) -> Iterator[OverUrl]:
    """`over_url(url)`: a hub that is not started yet, its URL in a file of a folder of its own."""
    made: list[HubKit] = []

    def make(url: str) -> HubKit:
        secret = tmp_path / "umiak-database"
        secret.mkdir(exist_ok=True)
        (secret / "url").write_text(f"{url}\n")
        config = hub_config(database_file=str(secret / "url"))
        made.append(make_hub(role, tmp_path / f"state-{len(made)}", config, {}))
        return made[-1]

    yield make
    for hub in made:
        hub.stop()
        said = "".join(log.read_text() for log in hub.role.logs)
        assert not [text for text in SECRETS if text in said], said
        assert "Traceback" not in said, said


def put(hub: HubKit, number: int) -> str:
    message = sample(f"edge-1/cam/{number}", b"photo %d" % number)
    return hub.client("cloud").put_sample(hub.namespace, "watch", *message).outcome


def test_line_head_and_replay_outlive_the_process(over_url: OverUrl, postgres: Postgres, models: Models) -> None:
    hub = over_url(postgres.new()).start()
    (folder, first), (other, second) = models(0), models(1)
    ji = hub.joint_inference(folder.as_uri(), first)
    hub.with_head(ji)
    hub.client("trainer").push_model(other)
    patch = hub.patch(first, second)
    hub.put(patch)
    assert [release.sequence for release in hub.sign_all()] == [2]
    assert [put(hub, number) for number in range(3)] == ["stored"] * 3
    before, position = hub.view(ji), hub.changes(0).cursor
    hub.restart()
    assert (hub.view(ji), hub.changes(0).cursor) == (before, position)
    assert hub.head(ji).digest == second
    assert put(hub, 1) == "stored", "the receipt of the first time"
    found = hub.client("trainer").every_sample(hub.namespace, "watch", until=10**9).samples
    assert [one.position for one in found] == [1, 2, 3]
    part = hub.client("trainer").sample_bytes(hub.namespace, "watch", 3, "image")
    assert part == b"photo 2"
    assert not (hub.state / "hub.db").exists()
    assert hub.role.stop() == 0


class Uploads:
    """A cloud worker that sends one sample after the other, each until it has its receipt."""

    def __init__(self, hub: HubKit) -> None:
        self.hub, self.stop, self.stored, self.refused = hub, threading.Event(), 0, 0
        self._pool = ThreadPoolExecutor(1)
        self._done = self._pool.submit(self._send)

    def _send(self) -> None:
        while not self.stop.is_set():
            try:
                assert put(self.hub, self.stored) == "stored"
                self.stored += 1
            except Unavailable:
                self.refused += 1
                time.sleep(0.05)

    def end(self) -> int:
        """How many samples have a receipt."""
        self.stop.set()
        self._done.result(60)
        self._pool.shutdown()
        return self.stored


def ready(hub: HubKit) -> int:
    return httpx.get(f"{hub.url}/readyz", timeout=20, trust_env=False).status_code


def test_a_database_that_crashes_and_comes_back_loses_nothing(over_url: OverUrl, own_postgres: Postgres) -> None:
    hub = over_url(own_postgres.new()).start()
    spec = hub.replay_of_one(capacity=10_000)
    uploads = Uploads(hub)
    for _ in range(3):
        before = uploads.stored
        eventually(lambda: uploads.stored > before + 5)  # noqa: B023 - called at once
        own_postgres.crash()
        eventually(lambda: ready(hub) == 503)
        refused = uploads.refused
        eventually(lambda: uploads.refused > refused + 3)  # noqa: B023
        own_postgres.start()
        eventually(lambda: ready(hub) == 200)
    promised = uploads.end()
    view = hub.view(spec).replay
    assert view is not None
    assert (view.watermark, view.samples) == (promised, promised), "each exactly once"
    found = hub.client("trainer").every_sample(hub.namespace, "watch", until=10**9).samples
    assert [one.frame for one in found] == [f"edge-1/cam/{number}" for number in range(promised)]
    for one in found[:: max(1, promised // 20)]:
        header, photo, _ = sample(one.frame, b"photo " + one.frame.rpartition("/")[2].encode())
        assert one.digest == header.digest
        assert hub.client("trainer").sample_bytes(hub.namespace, "watch", one.position, "image") == photo


def test_a_fact_that_was_said_while_the_database_was_away_is_told(over_url: OverUrl, own_postgres: Postgres) -> None:
    hub = over_url(own_postgres.new()).start()
    spec = hub.replay_of_one()
    agent, state = hub.client("agent"), hub.agent_state(NOBODY)
    position = hub.changes(0).cursor
    own_postgres.crash()
    for _ in range(2):
        with pytest.raises(Unavailable):
            agent.put_agent_state(hub.namespace, "watch", "edge-1", state)
    answer = hub.http().put(routes.OWNER.format(uid=spec.owner.uid), content=spec.model_dump_json(exclude_none=True))
    assert (answer.status_code, "Connection refused" in answer.text) == (503, True)
    assert not [text for text in SECRETS if text in answer.text]
    own_postgres.start()
    agent.put_agent_state(hub.namespace, "watch", "edge-1", state)
    assert spec.owner.uid in hub.changes(position).owners
    hub.restart()
    assert hub.view(spec).edges[0].agent == state, "durable before it was acknowledged"


def test_a_database_that_is_away_at_start_is_waited_for(over_url: OverUrl, own_postgres: Postgres) -> None:
    hub = over_url(own_postgres.new())
    own_postgres.stop()
    hub.role.start()
    eventually(lambda: "Connection refused" in hub.role.log(), 60)
    line = hub.role.log().splitlines()[0]
    assert "database_file" in line
    assert "will be tried again" in line
    assert hub.role.stop() == 0, "it can be stopped while it waits"
    hub.role.start()
    eventually(lambda: "Connection refused" in hub.role.log(), 60)
    own_postgres.start()
    hub.role.wait_ready(hub.port, 60)


def test_a_wrong_password_is_one_line_without_it(over_url: OverUrl, postgres: Postgres) -> None:
    hub = over_url(postgres.url("umiak", password=PASSWORD + "x"))
    hub.role.start()
    eventually(lambda: "password authentication failed" in hub.role.log(), 60)
    assert all("database_file" in line for line in hub.role.log().splitlines())
    assert hub.role.stop() == 0


WRONG = [
    ("", "no URL of a database"),
    (f"postgresql://umiak:{PASSWORD}@127.0.0.1:1/umiak", "a part is missing or damaged"),
    ("postgresql://umiak:p%40ss@127.0.0.1:port/umiak", "no URL of a database"),
    ("postgresql://umiak:p%40ss/w:rd@127.0.0.1/umiak", "a part is missing or damaged"),
    ("postgresql://umiak:1/ss/w:rd?2@127.0.0.1/umiak", "a part is missing or damaged"),
    ("postgresql://umiak:p%40ss@127.0.0.1", "a part is missing or damaged"),
    ("mysql://umiak:p%40ss@127.0.0.1/umiak", "another kind of database"),
    ("sqlite:///p%40ss.db", "SQLite has its own place"),
]


def refusal(hub: HubKit) -> str:
    """Its main ends before it serves; what it says (`process.run` makes one line and exit code 2 of it)."""
    given, stop = process.Arguments(hub.role.folder / "config.json", hub.state), asyncio.Event()
    with pytest.raises(ConfigError, match="database_file") as refused:
        asyncio.run(asyncio.wait_for(main(given, stop), 30))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(("url", "says"), WRONG, ids=range(len(WRONG)))
def test_a_url_that_is_none_is_named_and_not_repeated(over_url: OverUrl, url: str, says: str) -> None:
    said = refusal(over_url(url))
    assert says in said
    assert not [text for text in (*SECRETS, "127.0.0.1") if text in said]


def test_a_file_that_is_not_there_is_named(over_url: OverUrl, tmp_path: Path) -> None:
    hub = over_url("unused")
    (tmp_path / "umiak-database" / "url").unlink()
    assert "No such file" in refusal(hub)


def test_a_database_of_another_hub_is_refused(over_url: OverUrl, postgres: Postgres) -> None:
    url = postgres.new()
    over_url(url).start().replay_of_one()
    assert "belong to the state folder of another hub" in refusal(over_url(url))
