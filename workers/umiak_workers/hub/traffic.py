"""Bytes that went through the hub's listener, by what they were and by the role that was proven to be at the other end.

Bodies alone are counted. A caller that proved nothing counts as `nobody`, what is no route of the contract as `other`.
"""

from typing import Any

from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from umiak_workers.contract import routes
from umiak_workers.contract.identity import ROLES
from umiak_workers.hub import access

CHANNELS = {
    routes.BLOB: "models",
    routes.MODEL: "models",
    routes.LINE: "releases",
    routes.SIGNING: "releases",
    routes.SIGNED: "releases",
    routes.SAMPLE: "samples",
    routes.SAMPLES: "samples",
    routes.SAMPLE_BYTES: "samples",
    routes.RECEIPT: "samples",
    routes.AGENT_STATE: "reports",
    routes.ROUTER_STATE: "reports",
    routes.SETTINGS: "reports",
    routes.ROUND: "reports",
    routes.OWNERS: "fleet",
    routes.OWNER: "fleet",
    routes.CHANGES: "fleet",
}
OTHER = "other"
NOBODY = "nobody"
ROLE = "umiak_role"
"""Where a request's state keeps the role of its caller, once that is proven."""


class Traffic:
    """ASGI middleware that counts."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._bytes = Counter(
            "umiak_hub_http_bytes",
            "Bytes of bodies to (up) and from (down) the hub",
            ["channel", "role", "direction"],
            registry=registry,
        )
        for (method, route), roles in access.ALLOWED.items():  # at zero, so that the first bytes are growth as well
            for role in roles:
                self._bytes.labels(CHANNELS[route], role, "up" if method == "PUT" else "down")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count what it moved."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        moved = {"up": 0, "down": 0}

        async def received() -> Message:
            message = await receive()
            moved["up"] += len(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            moved["down"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, received, sent)
        finally:
            self._count(scope, moved)

    def _count(self, scope: Scope, moved: dict[str, int]) -> None:
        channel = CHANNELS.get(getattr(scope.get("route"), "path", ""), OTHER)
        state: dict[str, Any] = scope.get("state") or {}
        role = state.get(ROLE, NOBODY)
        for direction, count in moved.items():
            if count:
                self._bytes.labels(channel, role if role in ROLES else NOBODY, direction).inc(count)
