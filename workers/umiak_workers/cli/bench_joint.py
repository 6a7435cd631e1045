"""`umiak bench joint`: the product's evidence, a table of accuracy against bytes that anybody can print again."""

import io
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image as Pillow
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.bench.joint import report
from umiak_workers.bench.joint.cloud import CloudLabels, labellings
from umiak_workers.bench.joint.evidence import Codec, Seen, look
from umiak_workers.bench.joint.replay import Link, Setting, at_qualities, replay
from umiak_workers.bench.joint.routers import Kind, Router, routers
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.regions import Grid
from umiak_workers.datasets.sample import Dataset, walk
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.predictors.onnx import OnnxSegmenter

console = Console()
FRAMES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)
"""Shares of photos on a whole-photo router's curve."""
TILES = (0.0, 0.05, 0.15, 0.35, 0.65)
"""Shares of tiles on a region router's curve."""
QUALITIES = (1, 5, 15, 30, 50, 75)
"""WebP qualities at which all photos are sent whole."""


def joint(
    data: Annotated[str, typer.Option(help="Labelled photos of one size, in order of time: a folder or a yard: URI.")],
    edge: Annotated[
        list[str], typer.Option(help="Edge model (folder, builtin: or file: URI); the first one's photos are routed.")
    ],
    cloud: Annotated[str, typer.Option(help="The cloud's labeller, named likewise.")],
    labels: Annotated[
        Literal["labeller", "both"], typer.Option(help="Whose scores count in the cloud: the labeller's, or both.")
    ] = "both",
    link: Annotated[str, typer.Option(help="RATE,RTT in Mbit/s and ms: a computed link, nothing is sent.")] = "20,40",
    deadline: Annotated[float, typer.Option(help="Milliseconds in which an answer is in time.")] = 250.0,
    quality: Annotated[int, typer.Option(min=1, max=100, help="WebP quality of uploads.")] = 15,
    side: Annotated[int, typer.Option(min=8, help="Pixels of a tile's side.")] = 48,
    cell: Annotated[int, typer.Option(min=1, help="Pixels of the cells that unchosen parts are sent as.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each model.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the random router and the bootstrap.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw mIoU against bytes into this PNG.")] = None,
) -> None:
    """Accuracy, bytes and latency of every way to choose what the cloud gets to see (about 7 minutes per 100 photos).

    Cloud-only gets every photo as it came. Routers send whole photos, or parts of them, through a codec; a photo sent
    in part is sharp in the chosen tiles and coarse elsewhere, and its bytes are those of the file that would be sent.
    The router "Quality" chooses nothing: it sends every photo, written worse and worse.

    Examples:

        umiak bench joint --data camvid/val --edge docs/examples/street/street-edge \\
            --cloud docs/examples/street/street-cloud

        umiak bench joint --data my-photos --edge my-edge --cloud my-cloud --link 5,80 --json joint.json
    """
    samples, models = open_dataset(data), [OnnxSegmenter(named_model(name), threads) for name in (*edge, cloud)]
    _alike(models)
    size = samples[0].image.shape
    codec, grid = Codec(quality), Grid(size[0], size[1], side)
    answering = CloudLabels(models[0], models[-1], Fusion(labels=labels))
    setting = Setting(answering, codec, grid, _link(link), deadline, seed)
    with _bar() as bar:
        evidence = [_seen(bar, samples, model, answering, codec, cell) for model in models[:-1]]
        task = bar.add_task("ways to label", total=len(samples))
        ways = labellings(samples, models[0], models[-1], codec, lambda: bar.advance(task))
        seen = evidence[0]
        routed = tuple(_routed(bar, router, seen, setting) for router in routers(tuple(seen[0].scores), seed))
        routed += (_by_quality(bar, seen, setting),)
    result = report.Result(
        data=portable(data),
        classes=models[0].card.classes,
        names=[photo.name for photo in seen],
        edges=tuple(_edge_alone(model, found, deadline) for model, found in zip(models, evidence, strict=False)),
        cloud=_cloud_alone(models[-1], seen, samples, setting),
        routed=routed,
        labellings=ways,
        settings={
            "link": link,
            "deadline_ms": deadline,
            "quality": quality,
            "side": side,
            "cell": cell,
            "labels": labels,
            "seed": seed,
        },
        seed=seed,
    )
    for table in report.tables(result):
        console.print(table)
    console.print(f"{len(seen)} photos of {portable(data)}; link {link} (Mbit/s, ms) computed; seed {seed}")
    if out is not None:
        out.write_text(json.dumps(result.as_json(), indent=1))
    if plot is not None:
        report.plot(result, plot)


def _alike(models: list[OnnxSegmenter]) -> None:
    for model in models:
        if model.card.classes != models[-1].card.classes:
            raise ConfigError(f"{model.card.name} and {models[-1].card.name} speak of different classes")


def _link(text: str) -> Link:
    try:
        rate, round_trip = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--link {text!r}: expected RATE,RTT, for example 20,40 (Mbit/s and ms)") from error
    if rate <= 0 or round_trip < 0:
        raise ConfigError(f"--link {text!r}: the rate is above 0, the round trip at least 0")
    return Link(rate * 1e6, round_trip / 1000)


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console)


def _seen(
    bar: Progress, samples: Dataset, edge: OnnxSegmenter, cloud: CloudLabels, codec: Codec, cell: int
) -> list[Seen]:
    task = bar.add_task(f"{edge.card.name} and {cloud.card.name} alone", total=len(samples))
    seen = look(samples, edge, cloud, codec, cell, lambda: bar.advance(task))
    if not seen:
        raise ConfigError("--data: no photo has a label")
    if len({photo.label.shape for photo in seen}) > 1:
        raise ConfigError("--data: photos of one size are compared, these differ")
    return seen


def _routed(bar: Progress, router: Router, seen: list[Seen], setting: Setting) -> report.Routed:
    shares = TILES if router.regions else FRAMES
    kind: Kind = "regions" if router.regions else "frames"
    task = bar.add_task(f"{router.name}, {kind}", total=len(shares) * len(seen))
    points, gate = replay(router, seen, shares, setting, lambda: bar.advance(task))
    return report.Routed(router.name, kind, tuple(points), gate)


def _by_quality(bar: Progress, seen: list[Seen], setting: Setting) -> report.Routed:
    task = bar.add_task("Quality, all photos", total=len(QUALITIES) * len(seen))
    points = at_qualities(seen, QUALITIES, setting, lambda: bar.advance(task))
    return report.Routed("Quality", "quality", tuple(points), 0.0)


def _edge_alone(model: OnnxSegmenter, seen: list[Seen], deadline: float) -> report.Alone:
    counts = tuple(photo.edge_counts for photo in seen)
    return report.alone_from(model.card.name, counts, 0.0, [photo.times.edge for photo in seen], deadline)


def _cloud_alone(model: OnnxSegmenter, seen: list[Seen], samples: Dataset, setting: Setting) -> report.Alone:
    """Every photo, as it came, answered by the cloud."""
    counts = tuple(photo.untouched for photo in seen)
    sizes = _source_bytes(samples)
    late = [setting.link.milliseconds(size) + photo.times.cloud for size, photo in zip(sizes, seen, strict=True)]
    return report.alone_from(f"cloud: {model.card.name}", counts, sum(sizes) / len(sizes), late, setting.deadline)


def _source_bytes(samples: Dataset) -> list[int]:
    """Size of each labelled photo as it came; made ones count as the JPEG that a camera would send."""
    paths = getattr(samples, "photos", None)
    return [
        len(_jpeg(sample.image)) if paths is None else paths[index].stat().st_size
        for index, sample in enumerate(walk(samples))
        if sample.label is not None
    ]


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    written = io.BytesIO()
    Pillow.fromarray(image).save(written, "JPEG", quality=95)
    return written.getvalue()
