"""The edge server's routes: Open Inference Protocol v2, the image route and reload."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as version_of

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from umiak_workers.adapters import serving
from umiak_workers.contract import routes, wire
from umiak_workers.contract.config import EdgeConfig
from umiak_workers.contract.errors import Refused
from umiak_workers.contract.messages import Digest
from umiak_workers.edge import oip
from umiak_workers.edge.answer import look, predict
from umiak_workers.edge.metrics import EdgeMetrics
from umiak_workers.edge.pool import Pool
from umiak_workers.edge.shelf import Shelf

PHOTO_KINDS = ("", "image/jpeg", "image/png", "application/octet-stream")
JSON_SLACK = 256 * 1024
"""bytes of JSON that may come with a binary tensor"""


class ReloadRequest(BaseModel):
    """Body of a reload: a digest, never a path."""

    model_config = ConfigDict(extra="forbid")

    digest: Digest


@dataclass(frozen=True)
class Edge:
    """What the routes work with."""

    config: EdgeConfig
    shelf: Shelf
    pool: Pool
    metrics: EdgeMetrics

    @property
    def model_name(self) -> str:
        """The line's short name: what OIP clients call the model."""
        return self.config.line.partition("/")[2]

    def readiness(self) -> Mapping[str, object]:
        """Ready while a model is in use."""
        status = self.shelf.status()
        return {"ready": status.active is not None, "active": status.active, "reason": status.reason}


def build(edge: Edge) -> FastAPI:
    """The app; it does not listen."""
    app = serving.new_app("edge", edge.readiness, edge.metrics.registry)
    edge.metrics.serves(edge.config.line, lambda: edge.shelf.status().active)
    _image_route(app, edge)
    _reload_route(app, edge)
    _server_routes(app, edge)
    for path in ("", "/versions/{version}"):
        _model_routes(app, edge, path)
    return app


def _image_route(app: FastAPI, edge: Edge) -> None:
    @app.post(routes.PREDICT)
    async def predict_photo(request: Request) -> Response:
        """A photo in, a PredictionHeader and the payload out."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in PHOTO_KINDS:
            raise serving.UnsupportedMedia(f"a photo is image/jpeg or image/png, not {kind}")
        photo = await serving.read_body(request, edge.config.max_image_bytes)
        model = edge.shelf.active()
        header, payload = await edge.pool.run(lambda: predict(model, photo, edge.config))
        edge.metrics.answered("image", header.inference_milliseconds)
        headers, body = wire.pack(header, (payload,))
        return Response(body, headers=headers)


def _reload_route(app: FastAPI, edge: Edge) -> None:
    @app.post(routes.RELOAD)
    async def reload(request: Request) -> JSONResponse:
        """Swap to a model that lies in a slot; the old one answers until the new one has proved itself."""
        asked = wire.parse(ReloadRequest, await serving.read_body(request, JSON_SLACK))
        try:
            active = await asyncio.to_thread(edge.shelf.reload, asked.digest)
        except Refused:
            edge.metrics.reloads.labels("refused").inc()
            raise
        edge.metrics.reloads.labels("taken").inc()
        return JSONResponse({"active": active})


def _server_routes(app: FastAPI, edge: Edge) -> None:
    @app.get(routes.OIP_SERVER)
    async def server() -> JSONResponse:
        return JSONResponse(
            {"name": "umiak-edge", "version": version_of("umiak"), "extensions": ["binary_tensor_data"]}
        )

    @app.get(routes.OIP_LIVE)
    async def live() -> JSONResponse:
        return JSONResponse({"live": True})

    @app.get(routes.OIP_READY)
    async def ready() -> JSONResponse:
        """The protocol's way: 200 is ready, 4xx is not."""
        said = edge.readiness()
        return JSONResponse({"ready": True}) if said["ready"] else serving.error_answer(400, str(said["reason"]))


def _model_routes(app: FastAPI, edge: Edge, version_path: str) -> None:
    base = routes.OIP_MODEL + version_path

    @app.get(base)
    async def metadata(name: str, version: str | None = None) -> JSONResponse:
        active = _known(edge, name, version)
        facts = {"name": name, "versions": [active] if active else [], "platform": "onnxruntime_onnx"}
        return JSONResponse({**facts, "inputs": [oip.IMAGE], "outputs": oip.outputs(edge.config.task)})

    @app.get(base + "/ready")
    async def ready(name: str, version: str | None = None) -> JSONResponse:
        if _known(edge, name, version) is None:
            return serving.error_answer(400, edge.shelf.status().reason)
        return JSONResponse({"name": name, "ready": True})

    @app.post(base + "/infer")
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        _known(edge, name, version)
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise serving.UnsupportedMedia(f"Content-Encoding {encoding} is not supported")
        body = await serving.read_body(request, edge.config.max_image_pixels * 3 + JSON_SLACK)
        length = request.headers.get(wire.HEADER_LENGTH)
        headers, answer = await edge.pool.run(lambda: _infer(edge, name, body, length))
        return Response(answer, headers=headers)


def _infer(edge: Edge, name: str, body: bytes, length: str | None) -> tuple[dict[str, str], bytes]:
    model = edge.shelf.active()
    question = oip.read_request(body, length, edge.config.max_image_pixels, edge.config.task)
    seen = look(model, question.image)
    edge.metrics.answered("oip", seen.milliseconds)
    return oip.write_response(name, model.digest, question, seen.said.tensors(), seen.scores)


def _known(edge: Edge, name: str, version: str | None) -> str | None:
    """The digest in use, None while there is none; raises Refused 404 for another model or version."""
    active = edge.shelf.status().active
    if name != edge.model_name:
        raise Refused(f"there is no model {name!r} here, only {edge.model_name!r}", 404)
    if version is not None and version != active:
        raise Refused(f"version {version!r} of {name!r} is not here", 404)
    return active
