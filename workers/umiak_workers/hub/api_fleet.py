"""Routes of reports, rounds and settings, and the operator's side: owners, views and the change stream."""

import asyncio
from asyncio import to_thread
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from umiak_workers.contract import routes
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.fleet import Changes, FleetSpec
from umiak_workers.contract.messages import AgentState, RoundReport, RouterState
from umiak_workers.hub import owners
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.web import DONE, Guard, NamePath, UidPath, json_body, said

LONGEST_WAIT = 60.0
"""seconds of a long poll"""


def add(app: FastAPI, hub: Hub, guard: Guard, stop: asyncio.Event) -> None:
    """Put the routes on the app."""
    _add_reports(app, hub, guard)
    _add_owners(app, hub, guard, stop)


def _add_reports(app: FastAPI, hub: Hub, guard: Guard) -> None:
    @app.put(routes.AGENT_STATE, dependencies=guard)
    async def put_agent(request: Request, namespace: NamePath, resource: NamePath, edge: NamePath) -> Response:
        state = await json_body(request, AgentState)
        await to_thread(hub.agent_said, (namespace, resource, edge), state)
        return Response(status_code=DONE)

    @app.put(routes.ROUTER_STATE, dependencies=guard)
    async def put_router(request: Request, namespace: NamePath, resource: NamePath, edge: NamePath) -> Response:
        state = await json_body(request, RouterState)
        await to_thread(hub.router_said, (namespace, resource, edge), state)
        return Response(status_code=DONE)

    @app.get(routes.SETTINGS, dependencies=guard)
    def get_settings(namespace: NamePath, resource: NamePath) -> Response:
        return said(hub.settings(namespace, resource))

    @app.put(routes.ROUND, dependencies=guard)
    async def put_round(request: Request, namespace: NamePath, resource: NamePath, round: NamePath) -> Response:
        report = await json_body(request, RoundReport)
        if report.round != round:
            raise MessageError(f"RoundReport: round: is {report.round}, the path says {round}")
        await to_thread(hub.round_done, namespace, resource, report)
        return Response(status_code=DONE)


def _add_owners(app: FastAPI, hub: Hub, guard: Guard, stop: asyncio.Event) -> None:
    @app.get(routes.OWNERS, dependencies=guard)
    def get_owners() -> Response:
        with hub.database.read() as sql:
            return JSONResponse([spec.owner.uid for spec in owners.every(sql)])

    @app.put(routes.OWNER, dependencies=guard)
    async def put_owner(request: Request, uid: UidPath) -> Response:
        spec = await json_body(request, FleetSpec)
        return said(await to_thread(hub.put_owner, uid, spec))

    @app.get(routes.OWNER, dependencies=guard)
    def get_owner(uid: UidPath) -> Response:
        return said(hub.owner_view(uid))

    @app.delete(routes.OWNER, dependencies=guard)
    def delete_owner(uid: UidPath) -> Response:
        hub.drop_owner(uid)
        return Response(status_code=DONE)

    @app.get(routes.CHANGES, dependencies=guard)
    async def get_changes(
        after: Annotated[int, Query(ge=0)] = 0, wait: Annotated[float, Query(ge=0, le=3600)] = 0
    ) -> Response:
        return said(await _changes(hub, after, min(wait, LONGEST_WAIT), stop))


async def _changes(hub: Hub, after: int, wait: float, stop: asyncio.Event) -> Changes:
    """The page, as soon as it holds anything, at the latest after `wait` seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    with hub.bell.waiting() as rung:
        while True:
            rung.clear()
            page = await to_thread(hub.changes, after)
            left = end - loop.time()
            if page.owners or page.cursor < after or left <= 0 or stop.is_set():
                return page
            try:
                await asyncio.wait_for(rung.wait(), left)
            except TimeoutError:
                continue
