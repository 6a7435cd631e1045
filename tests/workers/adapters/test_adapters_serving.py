"""How workers listen: errors as one line, bounded bodies, callers that leave, stops, and no waiting for ACKs."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter

from umiak_workers.adapters import serving
from umiak_workers.contract.endpoints import Endpoints
from umiak_workers.contract.errors import (
    ConfigError,
    IdentityError,
    InvalidPrediction,
    MessageError,
    Refused,
    Unavailable,
)


@dataclass
class Running:
    url: str
    port: int
    stop: asyncio.Event
    task: "asyncio.Task[None]"
    ready: dict[str, object]


def app_of(ready: dict[str, object]) -> FastAPI:
    registry = CollectorRegistry()
    Counter("umiak_test", "A test", registry=registry).inc()
    app = serving.new_app("test", lambda: ready, registry)

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await serving.read_body(request, 1000))

    @app.get("/raise/{kind}")
    async def fail(kind: str) -> Response:
        errors: dict[str, Exception] = {
            "message": MessageError("two\nlines"),
            "identity": IdentityError("who"),
            "away": Unavailable("later"),
            "nan": InvalidPrediction("nan"),
            "gone": Refused("gone", 410),
            "media": serving.UnsupportedMedia("text"),
        }
        raise errors[kind]

    @app.get("/slow")
    async def slow() -> Response:
        await asyncio.sleep(0.5)
        return Response(b"done")

    return app


@pytest.fixture
async def running(free_port: Callable[[], int]) -> AsyncIterator[Running]:
    port, stop, ready = free_port(), asyncio.Event(), {"ready": False, "reason": "not yet"}
    listener = serving.bind(Endpoints({"umiak://listen/test": f"http://127.0.0.1:{port}"}), "test")
    task = asyncio.create_task(serving.serve(app_of(ready), listener, stop))
    yield Running(f"http://127.0.0.1:{port}", port, stop, task, ready)
    stop.set()
    await task


async def test_health_readiness_and_metrics(running: Running) -> None:
    async with httpx.AsyncClient(base_url=running.url) as client:
        assert (await client.get("/healthz")).status_code == 200
        response = await client.get("/readyz")
        assert (response.status_code, response.json()["reason"]) == (503, "not yet")
        running.ready["ready"] = True
        assert (await client.get("/readyz")).status_code == 200
        assert "umiak_test_total 1.0" in (await client.get("/metrics")).text


async def test_errors_of_the_tree_have_their_status_and_one_line(running: Running) -> None:
    expected = {"message": 400, "identity": 401, "away": 503, "nan": 500, "gone": 410, "media": 415}
    async with httpx.AsyncClient(base_url=running.url) as client:
        for kind, status in expected.items():
            response = await client.get(f"/raise/{kind}")
            assert response.status_code == status
            assert "\n" not in response.json()["error"]
        assert (await client.get("/raise/away")).headers["Retry-After"] == "1"
        assert (await client.get("/echo")).status_code == 405
        assert "/nowhere" in (await client.get("/nowhere")).json()["error"]


async def test_bodies_are_bounded_whether_announced_or_streamed(running: Running) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(300)

    async with httpx.AsyncClient(base_url=running.url) as client:
        assert (await client.post("/echo", content=b"x" * 1000)).content == b"x" * 1000
        for content in (b"x" * 1001, pieces()):
            response = await client.post("/echo", content=content)
            assert response.status_code == 413
            assert "1000" in response.json()["error"]


async def test_a_caller_that_leaves_in_the_middle_harms_nobody(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    async with httpx.AsyncClient(base_url=running.url) as client:
        assert (await client.post("/echo", content=b"still here")).content == b"still here"
    del reader


async def test_a_stop_lets_requests_in_hand_finish(running: Running) -> None:
    async with httpx.AsyncClient(base_url=running.url) as client:
        slow = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.2)
        running.stop.set()
        assert (await slow).content == b"done"
    await running.task
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", running.port))


def test_accepted_connections_do_not_wait_for_acknowledgements(free_port: Callable[[], int]) -> None:
    listener = serving.bind(Endpoints({"umiak://listen/x": f"http://127.0.0.1:{free_port()}"}), "x")
    assert listener.proto == socket.IPPROTO_TCP, "asyncio looks at this before it sets TCP_NODELAY"
    listener.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://127.0.0.1:1", "http://host:port"),
        ("http://127.0.0.1", "http://host:port"),
        ("http://127.0.0.1:x", "not a URL"),
        ("http://192.0.2.1:80", "cannot listen"),
    ],
)
def test_a_wrong_address_is_a_config_error(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        serving.bind(Endpoints({"umiak://listen/x": url}), "x")


def test_a_taken_port_is_named(free_port: Callable[[], int]) -> None:
    endpoints = Endpoints({"umiak://listen/x": f"http://127.0.0.1:{free_port()}"})
    listener = serving.bind(endpoints, "x")
    with pytest.raises(serving.AddressTaken, match="taken"):
        serving.bind(endpoints, "x")
    listener.close()


async def test_work_beside_the_server_that_fails_stops_everything() -> None:
    stop, seen = asyncio.Event(), []

    async def server() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("server ended")

    async def broken() -> None:
        raise Unavailable("disk full")

    with pytest.raises(Unavailable, match="disk full"):
        await serving.until_stopped(stop, server(), broken())
    assert seen == ["server ended"]


async def test_a_stop_waits_for_the_server_and_cancels_the_rest() -> None:
    stop, seen = asyncio.Event(), []

    async def server() -> None:
        await stop.wait()
        await asyncio.sleep(0.05)
        seen.append("wound down")

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cancelled")

    task = asyncio.create_task(serving.until_stopped(stop, server(), endless()))
    await asyncio.sleep(0.01)
    stop.set()
    await task
    assert seen == ["wound down", "cancelled"]


def test_an_error_answer_is_one_line_of_json() -> None:
    answer = serving.error_answer(503, "a\n b", retry_after=7)
    assert json.loads(bytes(answer.body)) == {"error": "a b"}
    assert answer.headers["retry-after"] == "7"
