"""How every worker listens: one bound socket, health and metrics without a token, errors as one line of JSON.

app = serving.new_app("cloud", ready, registry)
await serving.serve(app, serving.bind(endpoints, "cloud"), stop)
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from umiak_workers.contract import endpoints as names
from umiak_workers.contract.endpoints import Endpoints
from umiak_workers.contract.errors import (
    ConfigError,
    IdentityError,
    InvalidInput,
    InvalidPrediction,
    MessageError,
    Refused,
    UmiakError,
    Unavailable,
)
from umiak_workers.contract.routes import HEALTH_LIVE, HEALTH_READY, METRICS

Ready = Callable[[], Mapping[str, object] | Awaitable[Mapping[str, object]]]
"""Readiness as JSON; its key `ready` decides between 200 and 503. Awaited where it has to ask others."""
GRACE_SECONDS = 2
BACKLOG = 512


class TooLarge(InvalidInput):
    """A body is larger than this listener takes."""


class UnsupportedMedia(InvalidInput):
    """A body is of a kind that this route does not take."""


class AddressTaken(UmiakError):
    """Another process listens there."""


_STATUS: tuple[tuple[type[UmiakError], int], ...] = (
    (TooLarge, 413),
    (UnsupportedMedia, 415),
    (InvalidInput, 400),
    (MessageError, 400),
    (IdentityError, 401),
    (InvalidPrediction, 500),
    (Unavailable, 503),
)


def bind(endpoints: Endpoints, role: str) -> socket.socket:
    """A listening socket at `umiak://listen/<role>`; raises AddressTaken or ConfigError in one line."""
    symbol = names.listen(role)
    url = endpoints.resolve(symbol)
    host, port = _address(symbol, url)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every answer waits 40 ms for an ACK
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(f"{url} ({symbol}): the port is taken by another process") from error
        raise ConfigError(f"endpoints.json: {symbol}: cannot listen at {url}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def _address(symbol: str, url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"endpoints.json: {symbol}: {url!r} is not a URL with host and port") from error
    if parts.scheme != "http" or not host or port is None:
        raise ConfigError(f"endpoints.json: {symbol}: {url!r} is not http://host:port")
    return host, port


def new_app(role: str, ready: Ready, registry: CollectorRegistry) -> FastAPI:
    """An app with /healthz, /readyz and /metrics, and with the error tree as JSON answers."""
    app = FastAPI(title=f"umiak {role}", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get(HEALTH_LIVE)
    async def live() -> Response:
        return Response(b"ok\n", media_type="text/plain")

    @app.get(HEALTH_READY)
    async def readiness() -> JSONResponse:
        found = ready()
        said = dict(await found if isinstance(found, Awaitable) else found)
        return JSONResponse(said, 200 if said.get("ready") else 503)

    @app.get(METRICS)
    def metrics() -> Response:  # in a thread: a collector may ask a database
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    app.add_exception_handler(UmiakError, _explained)
    app.add_exception_handler(HTTPException, _refused)
    return app


async def _explained(request: Request, error: Exception) -> JSONResponse:
    """An error raised on purpose as `{"error": one line}`."""
    if isinstance(error, Refused):
        return error_answer(error.status, str(error))
    return error_answer(next((code for kind, code in _STATUS if isinstance(error, kind)), 500), str(error))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """No such route or method, in the same shape as every other error."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return error_answer(status, f"{request.method} {request.url.path}: {getattr(error, 'detail', error)}")


def error_answer(status: int, text: str, retry_after: int | None = None) -> JSONResponse:
    """`{"error": text}`; 503 always says when to come back."""
    seconds = retry_after if retry_after is not None else (1 if status == 503 else None)
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return JSONResponse({"error": " ".join(text.split())}, status, headers=headers)


async def read_body(request: Request, most: int) -> bytes:
    """The request's body; raises TooLarge as soon as it is larger than `most` bytes, without keeping the rest."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > most:
        raise TooLarge(f"the body has {announced} bytes, at most {most} are taken")
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise TooLarge(f"the body has more than {most} bytes")
            parts.append(part)
    except ClientDisconnect as error:
        raise InvalidInput("the caller went away before the body was whole") from error
    return b"".join(parts)


class _Server(uvicorn.Server):
    """Leaves signals to the process that owns the event loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: FastAPI, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; requests in hand get GRACE_SECONDS to finish."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=60,
        server_header=False,
    )
    server = _Server(config)

    async def watch() -> None:
        await stop.wait()
        server.should_exit = True

    watcher = asyncio.create_task(watch())
    try:
        await server.serve(sockets=[listener])
    finally:
        watcher.cancel()
        listener.close()


async def until_stopped(stop: asyncio.Event, *tasks: Awaitable[None]) -> None:
    """Run `tasks` side by side until `stop` is set, the first one ends or any fails; then stop the others.

    The first task is the one that winds down by itself when `stop` is set (the server); the rest are cancelled, and may
    end before that when their work is done.
    """
    running = [asyncio.ensure_future(task) for task in tasks]
    waiter = asyncio.create_task(stop.wait())
    pending = {*running, waiter}
    try:
        while pending >= {waiter, *running[:1]}:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiter}:
                task.result()
        stop.set()
        if running:
            await running[0]
    finally:
        waiter.cancel()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, waiter, return_exceptions=True)
