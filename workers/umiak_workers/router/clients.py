"""The outside over HTTP: edge server and cloud with httpx, the hub through its own client in threads."""

import asyncio
import math
import ssl
from types import TracebackType
from typing import Self

import httpx

from umiak_workers.adapters.hub_client import HubClient, check
from umiak_workers.adapters.photo import Media
from umiak_workers.adapters.trust import trusting
from umiak_workers.contract import routes, wire
from umiak_workers.contract.errors import InvalidInput, InvalidPrediction, MessageError, Refused, Unavailable
from umiak_workers.contract.messages import (
    CloudAnswerHeader,
    ExampleHeader,
    LiveSettings,
    PredictionHeader,
    Receipt,
    RouterState,
    Task,
)
from umiak_workers.router.frames import CloudReply, Prediction

CONNECT_SECONDS = 1.0


class _Client:
    """A connection pool with an async context."""

    def __init__(
        self, base_url: str, token: str | None, seconds: float, connections: int, trust: ssl.SSLContext
    ) -> None:
        self._seconds = seconds
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/"),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=50
            ),
            verify=trust,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """The response, whatever its status; raises Unavailable when there is none in time.

        A kept connection may have been closed by the other side a moment ago, so a broken one is replaced once:
        everything that is sent here may be sent twice.
        """
        try:
            async with asyncio.timeout(self._seconds):
                try:
                    return await self._http.post(path, content=body, headers=headers)
                except (httpx.RemoteProtocolError, httpx.WriteError, httpx.ReadError):
                    return await self._http.post(path, content=body, headers=headers)
        except (httpx.TransportError, httpx.StreamError, TimeoutError) as error:
            raise Unavailable(f"{self._http.base_url}: {error or type(error).__name__}") from error


class HttpEdge(_Client):
    """The edge server of this pod. `seconds` bounds one prediction; another task than `task` is no answer."""

    def __init__(self, base_url: str, seconds: float, task: Task) -> None:
        self._task = task
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it is on the loopback, without TLS
        super().__init__(base_url, None, seconds, 8, nobody)

    async def predict(self, photo: bytes, media: Media) -> Prediction:
        """See EdgePort.predict."""
        response = await self._post(routes.PREDICT, photo, {"Content-Type": media})
        if response.status_code == 500:
            raise InvalidPrediction(_detail(response))
        try:
            check(response)
        except Refused as error:
            raise InvalidInput(_detail(response)) from error
        header, rest = wire.unpack(PredictionHeader, response.headers.get(wire.HEADER_LENGTH), response.content)
        if header.task != self._task:
            raise InvalidPrediction(f"the edge server answers {header.task}, asked for is {self._task}")
        return Prediction(header, wire.split(rest, (header.mask_size,))[0])


class HttpCloud(_Client):
    """The cloud worker. `seconds` bounds one example, from the first byte sent to the last one received.

    `trust`: whom it believes, None: the authorities of this machine.
    """

    def __init__(
        self, base_url: str, token: str, seconds: float, connections: int, trust: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(base_url, token, seconds, connections, trust or trusting("", "this machine"))

    async def ask(self, header: ExampleHeader, photo: bytes) -> CloudReply:
        """See CloudPort.ask."""
        headers, body = wire.pack(header, (photo,))
        response = check(await self._post(routes.EXAMPLES, body, headers))
        said, rest = wire.unpack(CloudAnswerHeader, response.headers.get(wire.HEADER_LENGTH), response.content)
        if said.frame != header.frame:
            raise MessageError(f"the cloud answered {said.frame} when asked about {header.frame}")
        regions = wire.split(rest, tuple(region.size for region in said.regions))
        return CloudReply(said, regions, len(body), len(response.content))


class NoCloud:
    """A resource without a cloud worker: its rules call nothing hard, and what an earlier one left is kept."""

    async def ask(self, header: ExampleHeader, photo: bytes) -> CloudReply:
        """See CloudPort.ask."""
        raise Unavailable("this resource has no cloud worker")


class HttpHub:
    """The hub through `HubClient`, whose blocking calls run in threads."""

    def __init__(self, client: HubClient, namespace: str, resource: str, edge: str) -> None:
        self._client = client
        self._namespace = namespace
        self._resource = resource
        self._edge = edge

    async def receipt(self, frame: str, digest: str) -> Receipt | None:
        """See HubPort.receipt."""
        return await asyncio.to_thread(self._client.receipt, self._namespace, self._resource, frame, digest)

    async def settings(self) -> LiveSettings:
        """See HubPort.settings."""
        return await asyncio.to_thread(self._client.settings, self._namespace, self._resource)

    async def report(self, state: RouterState) -> None:
        """See HubPort.report."""
        await asyncio.to_thread(self._client.put_router_state, self._namespace, self._resource, self._edge, state)


def cloud_seconds(deadline_milliseconds: int) -> float:
    """How long an example may be under way: well past its deadline, since a late answer is still worth having."""
    return max(10.0, math.ceil(4 * deadline_milliseconds / 1000))


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the edge server answered {response.status_code}"
