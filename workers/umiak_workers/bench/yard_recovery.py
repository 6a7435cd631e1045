"""What learning is worth on the yard, measured without the machinery around it.

An edge model that knows day only is fine-tuned on dusk photos that the cloud's model labelled, mixed with its base
data, and compared with itself on a dusk stream that neither has seen. Budget: about 3 minutes on two idle cores.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.core.metrics import Counts, block_bootstrap, block_bootstrap_difference, mean_iou
from umiak_workers.core.model import Model
from umiak_workers.datasets.sample import Dataset, Joined, Listed, Sample, walk
from umiak_workers.datasets.source import open_dataset
from umiak_workers.datasets.yard import SHOT
from umiak_workers.models.build import rebuild, state_tensors
from umiak_workers.models.loop import FitReport
from umiak_workers.models.train import FitConfig, fit
from umiak_workers.predictors.onnx import OnnxGraph, OnnxSegmenter
from umiak_workers.predictors.scoring import frame_counts

DAY = "yard:day?seed=301&frames=240"
DUSK = "yard:dusk?seed=302&frames=240"
LESSONS = "yard:dusk?seed=303&frames=500"
EVERY = 5
"""Which photos of the lesson stream the cloud labels: 100 of 500, two per scene."""


@dataclass(frozen=True)
class Figure:
    """mIoU with its 95 % interval over blocks of one scene."""

    miou: float
    low: float
    high: float


def figure(frames: list[Counts]) -> Figure:
    """mIoU of a stream and how sure it is."""
    low, high = block_bootstrap(frames, SHOT, seed=0)
    return Figure(mean_iou(_summed(frames)), low, high)


def gain(before: list[Counts], after: list[Counts]) -> Figure:
    """Paired difference of mIoU on the same frames."""
    low, high = block_bootstrap_difference(before, after, SHOT, seed=0)
    return Figure(mean_iou(_summed(after)) - mean_iou(_summed(before)), low, high)


def pseudo_labelled(cloud: OnnxSegmenter, photos: Dataset, every: int) -> Listed:
    """Every `every`-th photo with the cloud's answer as its label; the true labels are not looked at."""
    chosen = [sample for number, sample in enumerate(walk(photos)) if number % every == 0]
    return Listed([Sample(sample.image, cloud.predict(sample.image).labels, sample.name) for sample in chosen])


def learn(edge: Model, lessons: Listed, minutes: float, seed: int) -> tuple[OnnxGraph, FitReport]:
    """Fine-tune the edge model on lessons and as much base data; raises ValueError if its card names none."""
    if edge.card.base_data is None:
        raise ValueError(f"{edge.card.name} names no base data")
    base = open_dataset(edge.card.base_data)
    few = Listed([base[index] for index in range(0, len(base), max(1, len(base) // len(lessons)))][: len(lessons)])
    network = rebuild(edge.card, edge.weights)
    spec = edge.card.input
    config = FitConfig(
        height=spec.height,
        width=spec.width,
        classes=len(edge.card.classes),
        epochs=1,
        minutes=minutes,
        batch=8,
        learning_rate=2e-3,
        seed=seed,
        crop=(spec.height * 5 // 6, spec.width * 5 // 6),
    )
    report = fit(network, Joined((lessons, few)), config, lambda now: None)
    return OnnxGraph(edge.card, edge.graph, state_tensors(network), threads=1), report


def recovery(
    edge: Annotated[Path | None, typer.Option(help="Edge artefact; the built-in yard-edge if left out.")] = None,
    cloud: Annotated[Path | None, typer.Option(help="Cloud artefact; the built-in yard-cloud if left out.")] = None,
    minutes: Annotated[float, typer.Option(help="How long to fine-tune.")] = 1.25,
    threads: Annotated[int, typer.Option(help="CPU threads for training.")] = 2,
    seed: Annotated[int, typer.Option(help="Order and augmentation of the lessons.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """What learning is worth: edge, cloud and the fine-tuned edge on unseen day and dusk streams (three minutes).

    Example:

        umiak bench learning --json learning.json
    """
    torch.set_num_threads(threads)
    console = Console()
    small = load_model(edge or builtin_folder("yard-edge"))
    large = OnnxSegmenter(load_model(cloud or builtin_folder("yard-cloud")), threads=threads)
    streams = {name: open_dataset(uri) for name, uri in (("day", DAY), ("dusk", DUSK))}
    first = OnnxSegmenter(small, threads=1)
    before = {name: frame_counts(first, stream) for name, stream in streams.items()}
    ideal = {name: frame_counts(large, stream) for name, stream in streams.items()}
    lessons = pseudo_labelled(large, open_dataset(LESSONS), EVERY)
    console.print(f"fine-tuning for {minutes:g} min on {len(lessons)} cloud-labelled dusk photos and as much base data")
    second, report = learn(small, lessons, minutes, seed)
    after = {name: frame_counts(second, stream) for name, stream in streams.items()}
    console.print(f"{report.steps} steps, {report.epochs:.1f} passes, {report.seconds:.0f} s, seed {seed}")
    figures = {
        name: {
            "edge": figure(before[name]),
            "cloud": figure(ideal[name]),
            "edge after learning": figure(after[name]),
            "gain of the cloud": gain(before[name], ideal[name]),
            "gain of learning": gain(before[name], after[name]),
        }
        for name in streams
    }
    console.print(_table(figures))
    if json_file is not None:
        plain = {name: {what: vars(value) for what, value in rows.items()} for name, rows in figures.items()}
        json_file.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def _table(figures: dict[str, dict[str, Figure]]) -> Table:
    table = Table("mIoU, 95 % block bootstrap", *(f"{name} (240 unseen frames)" for name in figures))
    for what in next(iter(figures.values())):
        sign = "+" if what.startswith("gain") else ""
        cells = [figures[name][what] for name in figures]
        table.add_row(what, *(f"{c.miou:{sign}.4f} [{c.low:{sign}.4f}, {c.high:{sign}.4f}]" for c in cells))
    return table


def _summed(frames: list[Counts]) -> Counts:
    return sum(frames[1:], frames[0])
