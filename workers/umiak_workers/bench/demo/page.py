"""The demo's page: the newest frame of every edge, what happened, and the result. Loopback only."""

import asyncio
import contextlib
import socket
from importlib.resources import files

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response

from umiak_workers.bench.demo.stage import Picture
from umiak_workers.contract.errors import ConfigError


def build(picture: Picture) -> FastAPI:
    """The page, its JSON and its images."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    html = (files(__package__) / "page.html").read_text()

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return html

    @app.get("/state.json")
    async def state() -> JSONResponse:
        return JSONResponse(picture.state())

    @app.get("/image/{edge}/{name}")
    async def image(edge: str, name: str) -> Response:
        found = picture.edges.get(edge)
        if found is None or name not in found.images:
            return Response(status_code=404)
        data = found.images[name]
        return Response(data, media_type="image/png" if data.startswith(b"\x89PNG") else "image/jpeg")

    return app


class Page:
    """The page's server, run beside the story in the same event loop."""

    def __init__(self, picture: Picture, port: int) -> None:
        self._picture, self._port = picture, port
        self.url = ""

    async def __aenter__(self) -> "Page":
        listener = _bind(self._port)
        self.url = "http://{}:{}/".format(*listener.getsockname())
        config = uvicorn.Config(build(self._picture), log_level="warning", access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # the story owns Ctrl-C
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await asyncio.wait_for(self._task, 3)


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"--port {port}: {error.strerror}; choose another one, 0 takes any free port") from error
    return listener
