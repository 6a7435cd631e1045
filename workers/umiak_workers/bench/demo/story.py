"""The story itself: start a world, stream, watch it learn, stream again, and report what was seen."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.adapters.photo import decode_photo
from umiak_workers.bench.demo.report import (
    EdgeResult,
    Learning,
    Report,
    Single,
    as_dict,
    collaborative,
    stretch_result,
)
from umiak_workers.bench.demo.scenes import Scene, Stretch, cloud_cards, main_resource
from umiak_workers.bench.demo.scoring import Scoreboard, Scored, gain, miou, percentiles, series
from umiak_workers.bench.demo.stage import Picture
from umiak_workers.bench.demo.stream import Camera, ask_cloud, jpeg, play
from umiak_workers.bench.demo.world import LocalWorld, condition, holds, resource
from umiak_workers.contract.artefact import Card
from umiak_workers.contract.config import MiB
from umiak_workers.contract.endpoints import cloud
from umiak_workers.contract.errors import Unavailable
from umiak_workers.contract.messages import ModelRef
from umiak_workers.contract.world import World
from umiak_workers.core.metrics import confusion
from umiak_workers.datasets.sample import walk
from umiak_workers.predictors.onnx import OnnxSegmenter

START_SECONDS = 120.0
LEARN_SECONDS = 300.0
ROLLOUT_SECONDS = 60.0
REQUEST_SECONDS = 30.0
MOST_PHOTO_BYTES = 64 * MiB
MOST_PHOTO_PIXELS = 100_000_000
Tick = Callable[[], None]


@dataclass
class Story:
    """One run; `tell` returns its report."""

    scene: Scene
    world: LocalWorld
    picture: Picture
    seed: int
    began: float = field(default_factory=time.monotonic)

    async def tell(self, client: httpx.AsyncClient) -> Report:
        """Run the whole story."""
        await self._started()
        board = Scoreboard(len(self.scene.edge_model.card.classes))
        for stretch in self.scene.stretches:
            await self._stream(stretch, board, client)
        learning = await self._learning(board, client) if self.scene.unseen else None
        cloud_times = await self._cloud_only(board, client)  # last: no training beside it distorts its times
        return self._report(board, cloud_times, learning)

    def _namespace(self) -> tuple[str, str]:
        found = main_resource(self.scene.resources, "JointInference")
        if found is None:
            raise Unavailable("the scene's YAML has no JointInference")
        return found

    async def _started(self) -> World:
        self.picture.enter("starting", "broker, hub, signer, cloud and edges come up as processes")
        _, name = self._namespace()

        def ready(world: World) -> bool:
            found = resource(world, "JointInference", name)
            available = (found.status.get("edges") or {}).get("ready", 0) if found else 0
            return holds(found, "Ready") and min(available, len(world.routers)) >= self._edges()

        world = await self.world.until("the JointInference to be Ready", ready, START_SECONDS)
        self.picture.tell(
            f"{self._clock()} Ready: {len(world.routers)} edges, cloud, hub, signer, broker ({world.broker})"
        )
        return world

    def _edges(self) -> int:
        return len(self.scene.stretches[0].photos)

    def _clock(self) -> str:
        seconds = time.monotonic() - self.began
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"

    def _cameras(self, world: World, interval: float) -> list[Camera]:
        routers = sorted(world.routers.items())[: self._edges()]
        return [Camera(path.rpartition("/")[2], url, interval) for path, url in routers]

    async def _stream(self, stretch: Stretch, board: Scoreboard, client: httpx.AsyncClient) -> None:
        world = self._now()
        self.picture.enter(stretch.name, stretch.note)
        self.picture.tell(f"{self._clock()} {stretch.name}: {stretch.note}")
        cameras = self._cameras(world, stretch.interval)
        await asyncio.gather(
            *(
                play(camera, walk(photos), stretch.name, board, self.picture.show, client)
                for camera, photos in zip(cameras, stretch.photos, strict=True)
            )
        )
        frames = board.of(stretch.name)
        hard = sum(frame.answer.rule != "" for frame in frames)
        self.picture.tell(f"{self._clock()} {stretch.name}: {len(frames)} frames, {hard} hard")

    def _now(self) -> World:
        world = self.world.status()
        if world is None:
            raise Unavailable("the local world has no status file")
        return world

    async def _cloud_only(self, board: Scoreboard, client: httpx.AsyncClient) -> list[float]:
        """Ask the cloud for every frame so far, for the comparison alone; returns milliseconds per call."""
        namespace, name = self._namespace()
        world = self._now()
        bearer = self.world.token(world, namespace, name)
        url = world.endpoints[cloud(namespace, name)]
        card = self.scene.edge_model
        self.picture.enter("measuring", "the cloud alone answers the same frames, for the table")
        times: list[float] = []
        for stretch in self.scene.stretches:
            for camera, photos in zip(self._cameras(world, 0), stretch.photos, strict=True):
                mine = [frame for frame in board.of(stretch.name) if frame.edge == camera.edge]
                for frame, sample in zip(mine, walk(photos), strict=True):
                    model = ModelRef(line=f"{namespace}/{card.card.name}", digest=frame.answer.model)
                    mask, milliseconds = await ask_cloud(url, bearer, sample, frame.answer.frame, model, client)
                    times.append(milliseconds)
                    if sample.label is not None:
                        frame.counts["cloud_only"] = confusion(sample.label, mask, board.classes)
        return times

    async def _learning(self, board: Scoreboard, client: httpx.AsyncClient) -> Learning:
        """Wait for the round that the hard examples triggered, its rollout, then stream unseen frames."""
        assert self.scene.unseen is not None
        status = await self._round()
        outcome = str(status.get("outcome", "")) or "no round"
        promoted = outcome == "Promoted"
        if promoted:
            await self._rolled_out(str(status["candidate"]))
        await self._stream(self.scene.unseen, board, client)
        frames = board.of(self.scene.unseen.name)
        await asyncio.to_thread(self._replay_before, frames, board.classes)
        found = gain(series(frames, "before"), series(frames, "edge"), self.seed)
        return Learning(
            before_miou=miou(frames, "before"),
            after_miou=miou(frames, "edge"),
            promoted=promoted,
            reason=str(status.get("reason", "")),
            message=str(status.get("message", "")),
            samples=int(status.get("samples", 0)),
            frames=len(frames),
            gain=as_dict(found),
            collaborative_after_miou=miou(frames, "final"),
            metrics={key: float(value) for key, value in (status.get("metrics") or {}).items()},
        )

    async def _round(self) -> dict[str, Any]:
        self.picture.enter("learning", "a training Job learns from what was hard; ground truth stays outside")
        began = time.monotonic()

        def running(world: World) -> bool:
            return condition(resource(world, "LifelongLearning"), "Training").get("status") == "True" or finished(world)

        def finished(world: World) -> bool:
            found = resource(world, "LifelongLearning")
            return bool(found and (found.status.get("lastRound") or {}).get("outcome"))

        try:
            await self.world.until("a training Job to start", running, ROLLOUT_SECONDS)
            self.picture.tell(f"{self._clock()} the training Job runs")
            world = await self.world.until("the training Job to report", finished, LEARN_SECONDS)
        except Unavailable as error:
            self.picture.tell(f"{self._clock()} {str(error).splitlines()[0]}")
            return {"reason": "NoRound", "message": str(error).splitlines()[0]}
        found = resource(world, "LifelongLearning")
        last: dict[str, Any] = dict((found.status if found else {}).get("lastRound") or {})
        seconds = time.monotonic() - began
        self.picture.tell(f"{self._clock()} round: {last.get('outcome')} after {seconds:.0f} s: {last.get('message')}")
        return last

    async def _rolled_out(self, digest: str) -> None:
        self.picture.enter("rollout", "a signed release reaches every edge")

        def everywhere(world: World) -> bool:
            return holds(resource(world, "ModelPatch"), "Succeeded")

        try:
            world = await self.world.until("the ModelPatch to succeed on every edge", everywhere, ROLLOUT_SECONDS)
        except Unavailable as error:  # the table is printed all the same, with the models that the edges do run
            self.picture.tell(f"{self._clock()} {str(error).splitlines()[0]}")
            return
        message = condition(resource(world, "ModelPatch"), "Succeeded").get("message", "")
        self.picture.tell(f"{self._clock()} ModelPatch Succeeded: {message} ({digest[:19]}…)")

    def _replay_before(self, frames: list[Scored], classes: int) -> None:
        """Score the previous model on the very same frames, in this process: same artefact, same predictor."""
        assert self.scene.unseen is not None
        segmenter = OnnxSegmenter(load_model(self.scene.edge_model.folder), threads=2)
        edges = sorted({frame.edge for frame in frames})
        for edge, photos in zip(edges, self.scene.unseen.photos, strict=True):
            mine = [frame for frame in frames if frame.edge == edge]
            for frame, sample in zip(mine, walk(photos), strict=True):
                if sample.label is not None:
                    photo = decode_photo(jpeg(sample), MOST_PHOTO_BYTES, MOST_PHOTO_PIXELS)  # as the edge saw it
                    labels = segmenter.predict(photo).labels
                    frame.counts["before"] = confusion(sample.label, labels, classes)

    def _report(self, board: Scoreboard, cloud_times: list[float], learning: Learning | None) -> Report:
        names = [stretch.name for stretch in self.scene.stretches]
        frames = board.of(*names)
        rows = [stretch_result(name, board.of(name)) for name in names]
        if self.scene.unseen and board.of(self.scene.unseen.name):
            rows.append(stretch_result(self.scene.unseen.name, board.of(self.scene.unseen.name)))
        card = self.scene.edge_model.card
        return Report(
            scene=self.scene.name,
            seed=self.seed,
            frames=len(board.frames),
            edge_only=Single(miou=miou(frames, "edge"), latency_ms=_stage(frames, "edge")),
            cloud_only=Single(miou=miou(frames, "cloud_only"), latency_ms=percentiles(cloud_times)),
            collaborative=collaborative(frames),
            gain_of_cloud=as_dict(gain(series(frames, "edge"), series(frames, "final"), self.seed)),
            learning=learning,
            stretches=rows,
            edges=self._edges_now(board),
            models=_models(card, cloud_cards(self.scene.resources)),
            simulated=list(self.scene.simulated),
            seconds=round(time.monotonic() - self.began, 1),
        )

    def _edges_now(self, board: Scoreboard) -> list[EdgeResult]:
        newest = {frame.edge: frame.answer.model for frame in board.frames}
        counts = {edge: sum(frame.edge == edge for frame in board.frames) for edge in newest}
        return [EdgeResult(name=edge, model_digest=newest[edge], frames=counts[edge]) for edge in sorted(newest)]


def _stage(frames: list[Scored], stage: str) -> dict[str, float]:
    found = [frame.answer.stages_milliseconds.get(stage, np.nan) for frame in frames]
    return percentiles([value for value in found if not np.isnan(value)])


def _models(edge: Card, cloud: dict[str, Card]) -> dict[str, str]:
    """What each model was trained on, by its card: the edge's first release and the cloud's."""
    found = {"edge model saw": _saw(edge)}
    return found | {f"cloud {role} saw": _saw(card) for role, card in cloud.items()}


def _saw(card: Card) -> str:
    lights = sorted({seen for source in card.data for seen in source.saw})
    return f"{', '.join(lights) or 'what its card does not say'} ({card.name})"
