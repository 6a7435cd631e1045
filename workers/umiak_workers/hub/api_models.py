"""Routes of models, lines and signing."""

from asyncio import to_thread

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from starlette.requests import ClientDisconnect

from umiak_workers.adapters.artefacts import LIMITS
from umiak_workers.adapters.blobstore import BlobWriter
from umiak_workers.adapters.serving import read_body
from umiak_workers.contract import routes
from umiak_workers.contract.artefact import MANIFEST
from umiak_workers.contract.errors import InvalidInput, Refused
from umiak_workers.contract.release import Envelope
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.web import DONE, DigestPath, Guard, NamePath, NumberPath, json_body, said

_GATHER = 1 << 20
"""bytes handed to the disk at once"""
_FOR_EVER = "private, max-age=31536000, immutable"


def add(app: FastAPI, hub: Hub, guard: Guard) -> None:
    """Put the routes on the app."""

    @app.head(routes.BLOB, dependencies=guard)
    @app.get(routes.BLOB, dependencies=guard)
    def get_blob(request: Request, digest: DigestPath) -> Response:
        return _blob(hub, request, digest)

    @app.put(routes.BLOB, dependencies=guard)
    async def put_blob(request: Request, digest: DigestPath) -> Response:
        with hub.blobs.write(digest) as writer:
            await _receive(request, writer)
            await to_thread(writer.commit)
        return Response(status_code=201)

    @app.get(routes.MODEL, dependencies=guard)
    def get_manifest(digest: DigestPath) -> Response:
        return Response(hub.manifest(digest), media_type="application/json", headers=_tag(digest))

    @app.put(routes.MODEL, dependencies=guard)
    async def put_manifest(request: Request, digest: DigestPath) -> Response:
        text = await read_body(request, LIMITS[MANIFEST])
        await to_thread(hub.put_manifest, digest, text)
        return Response(status_code=DONE)

    @app.get(routes.LINE, dependencies=guard)
    def get_head(namespace: NamePath, name: NamePath) -> Response:
        return said(hub.head(f"{namespace}/{name}"))

    @app.get(routes.SIGNING, dependencies=guard)
    def get_signing() -> Response:
        return Response("[" + ",".join(hub.signing()) + "]", media_type="application/json")

    @app.put(routes.SIGNED, dependencies=guard)
    async def put_signed(request: Request, namespace: NamePath, name: NamePath, sequence: NumberPath) -> Response:
        envelope = await json_body(request, Envelope)
        await to_thread(hub.signed, f"{namespace}/{name}", sequence, envelope)
        return Response(status_code=DONE)


def _blob(hub: Hub, request: Request, digest: str) -> Response:
    """The whole blob, a Range of it, or 304. HEAD announces a use, so that the blob is not swept before it."""
    size = hub.blobs.touch(digest) if request.method == "HEAD" else hub.blobs.size(digest)
    if size is None:
        raise Refused(f"the hub has no blob {digest}", 404)
    if f'"{digest}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=_tag(digest))
    return FileResponse(hub.blobs.path(digest), media_type="application/octet-stream", headers=_tag(digest))


def _tag(digest: str) -> dict[str, str]:
    return {"ETag": f'"{digest}"', "Cache-Control": _FOR_EVER}


async def _receive(request: Request, writer: BlobWriter) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdigit():
        writer.expect(int(announced))
    waiting = bytearray()
    try:
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= _GATHER:
                await to_thread(writer.add, bytes(waiting))
                waiting.clear()
    except ClientDisconnect as error:
        raise InvalidInput("the caller went away before the blob was whole") from error
    await to_thread(writer.add, bytes(waiting))
