"""The hub over HTTP: every route of the contract behind the table of `access`, errors in one shape."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry

from umiak_workers.adapters import serving
from umiak_workers.adapters.auth import Gate
from umiak_workers.contract.errors import ArtefactError, ReleaseError, Unavailable
from umiak_workers.contract.identity import Principal
from umiak_workers.hub import access, api_fleet, api_models, api_replay, page
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.metrics import HubCollector
from umiak_workers.hub.traffic import ROLE, Traffic


def build(hub: Hub, gate: Gate, stop: asyncio.Event) -> FastAPI:
    """The app. `stop` ends long polls."""
    registry = CollectorRegistry()
    registry.register(HubCollector(hub))
    app = serving.new_app("hub", lambda: _ready(hub), registry)
    app.add_middleware(Traffic, registry=registry)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ArtefactError, _status(422))
    app.add_exception_handler(ReleaseError, _status(409))

    def allowed(request: Request) -> Principal:
        who = gate(request)
        setattr(request.state, ROLE, who.role)
        access.check(who, request.method, request.scope["route"].path, request.path_params)
        return who

    guard = [Depends(allowed)]
    api_models.add(app, hub, guard)
    api_replay.add(app, hub, guard)
    api_fleet.add(app, hub, guard, stop)
    page.add(app, hub, gate)
    return app


async def _ready(hub: Hub) -> dict[str, object]:
    try:
        await asyncio.to_thread(hub.database.ping)
    except Unavailable as error:
        return {"ready": False, "reason": str(error)}
    return {"ready": True, "stateBytes": hub.room.used, "stateBytesMost": hub.room.most}


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """A part of the path or query is not what the contract says: 422 that names it."""
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:5])
    return serving.error_answer(422, said)


def _status(code: int) -> Callable[[Request, Exception], Any]:
    async def answer(request: Request, error: Exception) -> JSONResponse:
        return serving.error_answer(code, str(error))

    return answer
