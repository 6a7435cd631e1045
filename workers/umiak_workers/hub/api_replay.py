"""Routes of the replay store. A sample's header is read and judged before its bytes are taken."""

from asyncio import to_thread
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from umiak_workers.contract import routes, wire
from umiak_workers.contract.errors import InvalidInput, MessageError
from umiak_workers.contract.messages import Receipt, SampleHeader
from umiak_workers.core.tasks import kind_of
from umiak_workers.hub import replay
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.web import Guard, NamePath, NumberPath, said

_MOST_HEADER = 64 << 10
"""bytes of a sample's JSON header"""
Position = Annotated[int, Query(ge=0, lt=10**18)]


def add(app: FastAPI, hub: Hub, guard: Guard) -> None:
    """Put the routes on the app."""

    @app.put(routes.SAMPLE, dependencies=guard)
    async def put_sample(
        request: Request,
        namespace: NamePath,
        resource: NamePath,
        edge: NamePath,
        source: NamePath,
        sequence: NumberPath,
    ) -> Response:
        body = _Body(request)
        header = await body.header()
        if header.frame != (frame := f"{edge}/{source}/{sequence}"):
            raise MessageError(f"SampleHeader: frame: is {header.frame}, the path says {frame}")
        return said(await _take(hub, namespace, resource, header, body))

    @app.get(routes.RECEIPT, dependencies=guard)
    def get_receipt(
        namespace: NamePath,
        resource: NamePath,
        edge: NamePath,
        source: NamePath,
        sequence: NumberPath,
        digest: str | None = None,
    ) -> Response:
        return said(hub.receipt(namespace, resource, f"{edge}/{source}/{sequence}", digest))

    @app.get(routes.SAMPLES, dependencies=guard)
    def get_samples(
        namespace: NamePath,
        resource: NamePath,
        after: Position = 0,
        until: Annotated[int | None, Query(ge=0, lt=10**18)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        with hub.database.read() as sql:
            return said(replay.page(sql, namespace, resource, after, until, limit))

    @app.get(routes.SAMPLE_BYTES, dependencies=guard)
    def get_sample_bytes(
        namespace: NamePath, resource: NamePath, position: NumberPath, part: Literal["image", "label"]
    ) -> Response:
        media, data = hub.sample(namespace, resource, position, part)
        return Response(data, media_type=media)


async def _take(hub: Hub, namespace: str, resource: str, header: SampleHeader, body: "_Body") -> Receipt:
    size = header.image_size + header.label_size
    if size > hub.config.max_sample_bytes:
        reason = f"the sample has {size} bytes, at most {hub.config.max_sample_bytes} are kept"
        return await to_thread(hub.reject_sample, namespace, resource, header, reason)
    image, label = wire.split(await body.rest(size), (header.image_size, header.label_size))
    try:
        kind_of(header.task).check(label)
    except MessageError as error:
        raise InvalidInput(f"the label is no {header.task}: {error}") from error
    return await to_thread(hub.put_sample, namespace, resource, header, image, label)


class _Body:
    """A wire message that arrives in pieces: the header first, the rest only once the header was judged."""

    def __init__(self, request: Request) -> None:
        self._length = request.headers.get(wire.HEADER_LENGTH, "")
        self._chunks = request.stream()
        self._have = bytearray()

    async def header(self) -> SampleHeader:
        """Raises MessageError."""
        if not (self._length.isascii() and self._length.isdigit()) or not 0 < int(self._length) <= _MOST_HEADER:
            raise MessageError(f"{wire.HEADER_LENGTH} must be the length of the JSON header, at most {_MOST_HEADER}")
        length = int(self._length)
        await self._until(length)
        header = wire.parse(SampleHeader, bytes(self._have[:length]))
        del self._have[:length]
        if min(header.image_size, header.label_size) < 1:
            raise MessageError("SampleHeader: image_size and label_size must be positive")
        return header

    async def rest(self, most: int) -> bytes:
        """What follows the header; raises MessageError when it is more than announced."""
        await self._until(most + 1)
        if len(self._have) > most:
            raise MessageError(f"more than the {most} announced bytes follow the header")
        return bytes(self._have)

    async def _until(self, count: int) -> None:
        try:
            while len(self._have) < count and (chunk := await anext(self._chunks, None)) is not None:
                self._have += chunk
        except ClientDisconnect as error:
            raise InvalidInput("the caller went away before the sample was whole") from error
