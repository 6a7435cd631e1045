"""The hub as operators use it, against a small HTTP server of the contract that can be rude."""

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from umiak_operators.runtime.clock import SystemClock
from umiak_operators.runtime.fleet import Doorbells, Fleet, FleetRefused, FleetTimes
from umiak_workers.contract.fleet import FleetSpec, FleetView, Owner

OWNER = Owner(kind="ModelPatch", namespace="site", name="step", uid="u1")
SPEC = FleetSpec(owner=OWNER)


class Handler(BaseHTTPRequestHandler):
    """Owners and changes, kept on the server object."""

    server: "RudeHub"
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_all(self) -> None:
        hub, where = self.server, urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.requests.append((self.command, where.path))
        uid = where.path.removeprefix("/v1/owners/")
        if self.headers.get("Authorization") != "Bearer secret":
            self.answer(401)
        elif hub.status:
            self.answer(hub.status, {"error": "as told"})
        elif where.path == "/v1/changes":
            self.answer(200, hub.changes(parse_qs(where.query)))
        elif where.path == "/v1/owners":
            self.answer(200, list(hub.specs))
        elif self.command == "PUT":
            hub.specs[uid] = json.loads(data)
            self.answer(200, {"owner": json.loads(data)["owner"]})
        elif self.command == "DELETE":
            self.answer(204 if hub.specs.pop(uid, None) else 404)
        else:
            found = hub.specs.get(uid)
            self.answer(200 if found else 404, hub.garbled or (found and {"owner": found["owner"]}))

    do_GET = do_PUT = do_DELETE = handle_all

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class RudeHub(ThreadingHTTPServer):
    """The server; `status` makes it answer that to everything."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.specs: dict[str, Any] = {}
        self.requests: list[tuple[str, str]] = []
        self.status = 0
        self.garbled: Any = None
        self.changed: list[str] = []
        self.first_cursor = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is no news."""

    def changes(self, query: dict[str, list[str]]) -> Any:
        after, until = int(query["after"][0]), time.monotonic() + float(query["wait"][0])
        while self.first_cursor + len(self.changed) <= after and time.monotonic() < until and not self.status:
            time.sleep(0.005)
        start = max(0, after - self.first_cursor)
        return {"cursor": self.first_cursor + len(self.changed), "owners": sorted(set(self.changed[start:]))}


@pytest.fixture
def hub() -> Iterator[RudeHub]:
    """The server, serving."""
    server = RudeHub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.status = 503
    server.shutdown()
    server.server_close()
    thread.join()


def fleet_of(port: int, token: str = "secret") -> Fleet:
    times = FleetTimes(request=5, long_poll=0.2, first_backoff=0.01, longest_backoff=0.05, patience=0.2)
    return Fleet(f"http://127.0.0.1:{port}/", token, times, SystemClock(), random.Random(1))


@pytest.fixture
async def fleet(hub: RudeHub) -> AsyncIterator[Fleet]:
    """A client of it."""
    async with fleet_of(hub.server_port) as found:
        yield found


async def test_an_owner_that_was_never_told_has_an_empty_view(fleet: Fleet) -> None:
    assert await fleet.view(OWNER) == FleetView(owner=OWNER)


async def test_a_spec_is_told_once(fleet: Fleet, hub: RudeHub) -> None:
    for _ in range(3):
        await fleet.tell("u1", SPEC)
    await fleet.tell("u1", FleetSpec(owner=OWNER, edges=("e1",)))
    assert [line for line in hub.requests if line[0] == "PUT"] == [("PUT", "/v1/owners/u1")] * 2
    assert hub.specs["u1"]["edges"] == ["e1"]
    assert await fleet.owners() == ("u1",)
    await fleet.drop("u1")
    assert hub.specs == {}


async def test_a_hub_that_is_not_there_is_a_missing_view_and_no_error() -> None:
    async with fleet_of(1) as nobody:
        assert await nobody.view(OWNER) is None
        await nobody.tell("u1", SPEC)
        await nobody.drop("u1")
        assert await nobody.owners() == ()


@pytest.mark.parametrize("status", [401, 403, 429, 502, 504])
async def test_a_hub_that_cannot_answer_is_away(fleet: Fleet, hub: RudeHub, status: int) -> None:
    hub.status = status
    assert await fleet.view(OWNER) is None
    await fleet.tell("u1", SPEC)
    assert fleet.away
    assert hub.specs == {}


async def test_garbage_is_no_view_of_that_owner_alone(fleet: Fleet, hub: RudeHub) -> None:
    await fleet.tell("u1", SPEC)
    hub.garbled = {"owner": 7}
    assert await fleet.view(OWNER) is None
    assert not fleet.away


async def test_a_wrong_token_is_a_missing_view(hub: RudeHub) -> None:
    async with fleet_of(hub.server_port, "wrong") as stranger:
        assert await stranger.view(OWNER) is None


@pytest.mark.parametrize("status", [400, 409, 422, 500, 503, 507])
async def test_a_spec_that_is_refused_is_an_error_with_the_hubs_words(fleet: Fleet, hub: RudeHub, status: int) -> None:
    hub.status = status
    with pytest.raises(FleetRefused, match="as told"):
        await fleet.tell("u1", SPEC)


class Rung:
    """Doorbells that remember."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.everyone = 0
        self.bells = Doorbells(self.changed.append, self.ring_everyone)

    def ring_everyone(self) -> None:
        self.everyone += 1


async def until(check: Any) -> None:
    async with asyncio.timeout(15):
        while not check():
            await asyncio.sleep(0.005)


@pytest.fixture
async def rung(fleet: Fleet) -> AsyncIterator[Rung]:
    """The change stream, followed."""
    found = Rung()
    task = asyncio.create_task(fleet.follow(found.bells))
    yield found
    task.cancel()
    await asyncio.wait([task])


async def test_changes_ring_their_owner(rung: Rung, hub: RudeHub) -> None:
    await until(lambda: rung.everyone == 1)
    hub.changed += ["u1", "u2", "u1"]
    await until(lambda: set(rung.changed) == {"u1", "u2"})
    hub.changed += ["u3"]
    await until(lambda: "u3" in rung.changed)
    assert rung.everyone == 1


async def test_a_quiet_hub_is_polled_and_not_hammered(rung: Rung, hub: RudeHub) -> None:
    await until(lambda: rung.everyone == 1)
    hub.requests.clear()
    await asyncio.sleep(0.5)
    assert len(hub.requests) <= 4


async def test_its_absence_and_its_return_ring_everybody_and_all_is_told_again(
    fleet: Fleet, rung: Rung, hub: RudeHub
) -> None:
    await until(lambda: rung.everyone == 1)
    await fleet.tell("u1", SPEC)
    hub.status = 503
    await until(lambda: fleet.away)
    assert await fleet.view(OWNER) is None
    await until(lambda: rung.everyone == 2)  # missed for a while: worth a word in every status
    await asyncio.sleep(0.3)
    assert rung.everyone == 2, "said once"
    hub.specs.clear()
    hub.status = 0
    await until(lambda: rung.everyone == 3)
    assert await fleet.view(OWNER) is not None
    await fleet.tell("u1", SPEC)
    assert "u1" in hub.specs


async def test_a_hub_that_starts_anew_rings_everybody(rung: Rung, hub: RudeHub) -> None:
    hub.first_cursor = 10
    hub.changed += ["u1"]
    await until(lambda: rung.everyone >= 1)
    await asyncio.sleep(0.3)
    before = rung.everyone
    hub.first_cursor, hub.changed = 0, []
    await until(lambda: rung.everyone > before)
