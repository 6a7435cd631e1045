"""A link that really carries uploads: an HTTP server on loopback behind Toxiproxy, and a client in front of it.

One connection is kept open, as a router keeps its own, so that no upload pays for a handshake.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import httpx
from fastapi import FastAPI, Request, Response

from umiak_workers.adapters import serving
from umiak_workers.bench.joint.link import Link
from umiak_workers.bench.joint.toxiproxy import Toxiproxy
from umiak_workers.contract.errors import ConfigError, Unavailable

MOST = 64 * 1024 * 1024
"""Bytes of an upload that the far end takes."""
PATIENCE = 10.0
"""Seconds beyond what the link itself should take."""
RECEIVED = "Umiak-Received"


class FarEnd:
    """The cloud's place: takes uploads whole and returns `answer`; a context manager with a thread of its own."""

    def __init__(self) -> None:
        self.answer = b""
        # asyncio sets TCP_NODELAY only where the protocol is named
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.address = "{}:{}".format(*self._listener.getsockname())

    def __enter__(self) -> "FarEnd":
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="far end", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(serving.serve(self._app(), self._listener, self._stop))
        finally:
            self._loop.close()

    def _app(self) -> FastAPI:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

        @app.post("/")
        async def upload(request: Request) -> Response:
            body = await serving.read_body(request, MOST)
            return Response(self.answer, headers={RECEIVED: str(len(body))})

        return app


class Emulation:
    """Uploads carried over an emulated link; made by `emulation`."""

    def __init__(self, link: Link, client: httpx.Client, far: FarEnd) -> None:
        self._link, self._client, self._far = link, client, far

    def milliseconds(self, upload: bytes, answer: bytes) -> float:
        """From the first byte sent to the last byte of the answer; raises Unavailable."""
        self._far.answer = answer
        patience = PATIENCE + 2 * self._link.milliseconds(len(upload), len(answer)) / 1000
        begun = time.perf_counter()
        try:
            found = self._client.post("/", content=upload, timeout=patience)
        except httpx.HTTPError as error:
            raise Unavailable(f"the emulated link: {error or type(error).__name__}") from error
        taken = 1000 * (time.perf_counter() - begun)
        if found.headers.get(RECEIVED) != str(len(upload)) or found.content != answer:
            raise Unavailable(f"the emulated link: {found.status_code}, upload or answer did not arrive whole")
        return taken


@contextmanager
def emulation(program: Path, link: Link) -> Iterator[Emulation]:
    """A link like `link`, as long as it is wanted; raises ConfigError or Unavailable."""
    kilobytes, (there, back) = emulated(link)
    with FarEnd() as far, Toxiproxy(program) as proxy:
        address = proxy.slow(far.address, kilobytes, there, back)
        with httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=PATIENCE) as client:
            found = Emulation(link, client, far)
            found.milliseconds(b"the connection is open before anything is timed", b"")
            yield found


def emulated(link: Link) -> tuple[int, tuple[int, int]]:
    """(kB per second, milliseconds there and back) in Toxiproxy's whole numbers; raises ConfigError below 1 kB/s."""
    kilobytes, delay = round(link.rate / 8000), round(1000 * link.round_trip)
    if kilobytes < 1:
        raise ConfigError("--link: an emulated link has at least 0.008 Mbit/s; --carried 0 computes a slower one")
    return kilobytes, (delay - delay // 2, delay // 2)
