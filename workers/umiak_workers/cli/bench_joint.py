"""`umiak bench joint`: the product's evidence, a table of accuracy against bytes that anybody can print again."""

import json
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.bench.joint import run
from umiak_workers.bench.joint.cloud import CloudLabels, labellings
from umiak_workers.bench.joint.evidence import Seen
from umiak_workers.bench.joint.link import Link, evenly
from umiak_workers.bench.joint.masked import Masked, masked
from umiak_workers.bench.joint.plot import plot as draw
from umiak_workers.bench.joint.replay import Setting
from umiak_workers.bench.joint.report import Result
from umiak_workers.bench.joint.resources import Resources, resources
from umiak_workers.bench.joint.routers import routers
from umiak_workers.bench.joint.tables import tables
from umiak_workers.bench.joint.toxiproxy import find
from umiak_workers.bench.joint.uploads import Codec
from umiak_workers.contract.config import Codec as Format
from umiak_workers.contract.config import Fusion, Views
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.regions import Grid
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.sam import SamSegmenter, load_sam
from umiak_workers.predictors.views import PASSES

console = Console()


def joint(
    data: Annotated[str, typer.Option(help="Labelled photos of one size, in order of time: a folder or a yard: URI.")],
    edge: Annotated[
        list[str], typer.Option(help="Edge model (folder, builtin: or file: URI); the first one's photos are routed.")
    ],
    cloud: Annotated[str, typer.Option(help="The cloud's labeller, named likewise.")],
    labels: Annotated[
        Literal["labeller", "both"], typer.Option(help="Whose scores count in the cloud: the labeller's, or both.")
    ] = "labeller",
    views: Annotated[
        Views,
        typer.Option(help="How often the labeller looks: once, at the mirror image too, at corners as well."),
    ] = "one",
    link: Annotated[
        str, typer.Option(help="RATE,RTT in Mbit/s and ms: emulated by Toxiproxy where there is one, else computed.")
    ] = "20,40",
    toxiproxy: Annotated[Path | None, typer.Option(help="The toxiproxy-server program, if not on PATH.")] = None,
    carried: Annotated[
        int,
        typer.Option(min=0, help="Photos whose uploads go over the emulated link, evenly spread; 0: computed only."),
    ] = 50,
    deadline: Annotated[float, typer.Option(help="Milliseconds in which an answer is in time.")] = 250.0,
    codec: Annotated[Format, typer.Option(help="What uploads are written as.")] = "AVIF",
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of uploads; each codec has its own scale.")] = 40,
    side: Annotated[int, typer.Option(min=8, help="Pixels of a tile's side.")] = 48,
    cell: Annotated[int, typer.Option(min=1, help="Pixels of the cells that unchosen parts are sent as.")] = 2,
    sam: Annotated[str, typer.Option(help="Also try a promptable model's masks, for example builtin:yard-sam.")] = "",
    sam_photos: Annotated[int, typer.Option(min=1, help="Photos that it is asked about, evenly spread.")] = 40,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each model.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the random router and the bootstrap.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw mIoU against bytes into this PNG.")] = None,
) -> None:
    """Accuracy, bytes, latency and cost of every way to choose what the cloud gets to see (11 minutes per 100 photos).

    Cloud-only gets every photo as it came. Routers send whole photos, or parts of them, through a codec; a photo sent
    in part is sharp in the chosen tiles and coarse elsewhere, and its bytes are those of the file that would be sent.
    The routers "Quality" choose nothing: they send every photo, written worse and worse, by each codec.

    Examples:

        umiak bench joint --data camvid/val --edge docs/examples/street/street-edge \\
            --cloud docs/examples/street/street-cloud --sam builtin:yard-sam

        umiak bench joint --data my-photos --edge my-edge --cloud my-cloud --link 5,80 --json joint.json
    """
    way = run.Wanted(_link(link), link, find(toxiproxy) if carried else None, carried)
    samples, named = open_dataset(data), [named_model(name) for name in (*edge, cloud)]
    models = [OnnxSegmenter(model, threads) for model in named]
    _alike(models)
    promptable = _promptable(sam, threads)
    needs = [resources([model], threads) for model in named[:-1]]
    cloud_needs = resources([named[-1], *(named[:1] if labels == "both" else ())], threads, PASSES[views])
    size = samples[0].image.shape
    written, answering = Codec(codec, quality), CloudLabels(models[0], models[-1], Fusion(labels=labels, views=views))
    with _bar() as bar:
        evidence = [run.seen(bar, samples, model, answering, written, cell) for model in models[:-1]]
        seen = evidence[0]
        task = bar.add_task("ways to label", total=len(samples))
        ways = labellings(samples, models[0], models[-1], written, lambda: bar.advance(task))
        masks = _masked(bar, seen, models, promptable, sam_photos, seed) if promptable else ()
        with run.sending(way, seen) as (sending, said):
            grid = Grid(size[0], size[1], side)
            setting = Setting(answering, written, grid, sending, deadline, seed, _macs(needs[0], cloud_needs))
            cloud_alone = run.cloud_alone(models[-1], seen, samples, cloud_needs, setting)
            routed = [run.routed(bar, router, seen, setting) for router in routers(tuple(seen[0].scores), seed)]
            routed += [run.by_quality(bar, form, seen, setting) for form in run.QUALITIES]
    alone = zip(models[:-1], evidence, needs, strict=True)
    result = Result(
        data=portable(data),
        classes=models[0].card.classes,
        names=[photo.name for photo in seen],
        edges=tuple(run.edge_alone(model, found, needed, deadline) for model, found, needed in alone),
        cloud=cloud_alone,
        routed=tuple(routed),
        labellings=ways,
        masked=masks,
        uploads=sending.kinds(),
        link=said,
        settings={
            "link": link,
            "deadline_ms": deadline,
            "codec": codec,
            "quality": quality,
            "side": side,
            "cell": cell,
            "labels": labels,
            "views": views,
            "threads": threads,
            "seed": seed,
        },
        seed=seed,
    )
    for table in tables(result):
        console.print(table)
    console.print(f"{len(seen)} photos of {portable(data)}; {said}; {threads} threads; seed {seed}")
    if out is not None:
        out.write_text(json.dumps(result.as_json(), indent=1))
    if plot is not None:
        draw(result, plot)


def _promptable(name: str, threads: int) -> tuple[str, SamSegmenter] | None:
    """(its name, the model) or None where none is wanted."""
    if not name:
        return None
    torch.set_num_threads(threads)
    model = named_model(name)
    return model.card.name, load_sam(model)


def _masked(
    bar: Progress,
    seen: list[Seen],
    models: list[OnnxSegmenter],
    sam: tuple[str, SamSegmenter],
    most: int,
    seed: int,
) -> tuple[Masked, ...]:
    chosen = set(evenly([photo.name for photo in seen], most))
    photos = [photo for photo in seen if photo.name in chosen]
    task = bar.add_task(f"masks of {sam[0]}", total=len(photos))
    return masked(photos, models[0], models[-1], sam, seed, lambda: bar.advance(task))


def _macs(edge: Resources, cloud: Resources) -> tuple[int, int] | None:
    return None if edge.macs is None or cloud.macs is None else (edge.macs, cloud.macs)


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
