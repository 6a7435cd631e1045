"""The router's routes: photos in, answers out, and the answer log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from umiak_workers.adapters import serving
from umiak_workers.adapters.answer_log import AnswerLog
from umiak_workers.contract import routes, wire
from umiak_workers.contract.config import RouterConfig
from umiak_workers.contract.errors import InvalidInput
from umiak_workers.contract.messages import AnswerHeader
from umiak_workers.router.door import Door
from umiak_workers.router.frames import Outcome
from umiak_workers.router.metrics import RouterMetrics
from umiak_workers.router.pipeline import Pipeline

if TYPE_CHECKING:  # it loads FFmpeg, which a router without a video does not need
    from umiak_workers.router.video import VideoSource

PHOTO_KINDS = ("", "image/jpeg", "image/png", "application/octet-stream")
NUMBER = re.compile(r"^[0-9]{1,18}$")
MOST_ROWS = 1000


@dataclass(frozen=True)
class Router:
    """What the routes work with."""

    config: RouterConfig
    door: Door
    pipeline: Pipeline
    answers: AnswerLog
    metrics: RouterMetrics
    video: "VideoSource | None" = None

    def readiness(self) -> Mapping[str, object]:
        """Ready as soon as it listens: without an edge server each photo is told so, and a camera may be away."""
        said: dict[str, object] = {"ready": True, "frames_in_hand": self.pipeline.running}
        if self.video:
            said["video"] = {"state": self.video.status.state, "reason": self.video.status.reason}
        return said


def build(router: Router) -> FastAPI:
    """The app; it does not listen."""
    app = serving.new_app("router", router.readiness, router.metrics.registry)
    if router.config.http:
        _frames_route(app, router, router.config.http.name)
    _answers_route(app, router)
    return app


def _frames_route(app: FastAPI, router: Router, default_source: str) -> None:
    others = {"folder": router.config.directory, "video": router.config.video}
    taken = {other.name: kind for kind, other in others.items() if other}

    @app.post(routes.FRAMES)
    async def push(request: Request) -> Response:
        """A photo in, its one final answer out."""
        query = _query(request, ("source", "sequence", "masks"))
        source = query.get("source", default_source)
        if source in taken:
            raise InvalidInput(f"source {source!r} is a {taken[source]}'s, pushed photos need another one")
        every = _choice(query, "masks", ("final", "all")) == "all"
        sequence = _number(query, "sequence") if "sequence" in query else None
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in PHOTO_KINDS:
            raise serving.UnsupportedMedia(f"a photo is image/jpeg or image/png, not {kind}")
        router.pipeline.refuse_if_full()
        photo = await serving.read_body(request, router.config.max_image_bytes)
        frame = await router.door.frame(source, sequence, photo)
        headers, body = _packed(await router.pipeline.answer(frame), every)
        return Response(body, headers=headers)


def _answers_route(app: FastAPI, router: Router) -> None:
    @app.get(routes.ANSWERS)
    async def answers(request: Request) -> JSONResponse:
        """A page of the answer log: `{"answers": [{"row": n, "answer": {...}}], "last": n}`, oldest first."""
        query = _query(request, ("after", "limit"))
        after = _number(query, "after") if "after" in query else 0
        limit = min(_number(query, "limit"), MOST_ROWS) if "limit" in query else 100
        rows = await router.answers.page(after, limit)
        found = [{"row": row, "answer": answer.model_dump(mode="json", exclude_none=True)} for row, answer in rows]
        return JSONResponse({"answers": found, "last": rows[-1][0] if rows else after})


def _packed(outcome: Outcome, every: bool) -> tuple[dict[str, str], bytes]:
    said = {"final": outcome.payloads.final}
    if every:
        said["edge"] = outcome.payloads.edge or outcome.payloads.final
        if outcome.payloads.cloud:
            said["cloud"] = outcome.payloads.cloud
    header = AnswerHeader(answer=outcome.answer, masks={name: len(payload) for name, payload in said.items()})
    return wire.pack(header, tuple(said.values()))


def _query(request: Request, known: tuple[str, ...]) -> Mapping[str, str]:
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        raise InvalidInput(f"unknown query parameter {unknown[0]!r}, there are {', '.join(known)}")
    return request.query_params


def _number(query: Mapping[str, str], name: str) -> int:
    if not NUMBER.match(query[name]):
        raise InvalidInput(f"{name} is a whole number, not {query[name]!r}")
    return int(query[name])


def _choice(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = query.get(name, choices[0])
    if value not in choices:
        raise InvalidInput(f"{name} is one of {', '.join(choices)}, not {value!r}")
    return value
