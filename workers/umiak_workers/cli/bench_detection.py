"""`umiak bench detection`: how good detectors are on labelled photos, an edge and a cloud model side by side."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.cli.intervals import as_json, cell
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.detection import fuse_boxes
from umiak_workers.core.detection_metrics import Matches, Precision, precision_of
from umiak_workers.datasets.box_source import open_boxes
from umiak_workers.datasets.boxes import BoxDataset
from umiak_workers.datasets.source import portable
from umiak_workers.predictors.box_scoring import judged
from umiak_workers.predictors.detection import OnnxDetector

FUSED = "both, fused"
console = Console()


def detection(
    model: Annotated[
        list[str], typer.Argument(metavar="EDGE [CLOUD]", help="One detector or two (folder, builtin: or file: URI).")
    ],
    data: Annotated[str, typer.Option(help="Photos with boxes: a folder or a yard: URI.")],
    part: Annotated[
        Literal["val", "train", "all"],
        typer.Option(help="Which photos of a folder: every fifth run of 20 neighbouring files is val."),
    ] = "val",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
) -> None:
    """Average precision at IoU 0.5, per class and mean, with 95 % intervals over blocks of neighbouring photos.

    With two models there is a third column: both answers of each photo fused as the edge fuses them.

    Examples:

        umiak bench detection builtin:yard-detector-edge builtin:yard-detector-cloud \
            --data 'yard:day?seed=501&frames=100&shot=1'

        umiak bench detection insulators-edge/ --data photos/insulators --json boxes.json
    """
    if len(model) > 2:
        raise ConfigError(f"{len(model)} models; give an edge model, or an edge and a cloud model")
    detectors = [OnnxDetector(named_model(name), threads) for name in model]
    classes = detectors[0].card.classes
    if any(one.card.classes != classes for one in detectors):
        raise ConfigError("the two models speak of different classes")
    samples = open_boxes(data, part, classes)
    if samples.classes != classes:
        raise ConfigError(f"{data}: has {', '.join(samples.classes)}, the model speaks of {', '.join(classes)}")
    found = {name: precision_of(photos, seed) for name, photos in side_by_side(detectors, samples).items()}
    console.print(table(f"{portable(data)}, {part}", classes, found))
    if out is not None:
        out.write_text(json.dumps(_facts(data, part, classes, detectors, found), indent=1) + "\n")


def side_by_side(detectors: list[OnnxDetector], samples: BoxDataset) -> dict[str, list[Matches]]:
    """Each model's matches by its name, and with two of them those of their fused answers."""
    ways = [detector.card.name for detector in detectors]
    if len(set(ways)) != len(ways):
        ways = ["edge", "cloud"]
    matches: dict[str, list[Matches]] = {way: [] for way in [*ways, FUSED][: 1 if len(ways) == 1 else 3]}
    for index in track(range(len(samples)), "photos", console=console, transient=True):
        photo = samples[index]
        answers = [detector.predict(photo.image).found for detector in detectors]
        if len(answers) == 2:
            answers.append(fuse_boxes(answers[0], answers[1]))
        for photos, answer in zip(matches.values(), answers, strict=True):
            photos.append(judged(answer, photo, len(samples.classes)))
    return matches


def table(title: str, classes: tuple[str, ...], found: dict[str, Precision]) -> Table:
    """A row for each class and one for their mean, a column for each model."""
    first = next(iter(found.values()))
    shown = Table("AP at IoU 0.5", "boxes", *found, box=SIMPLE_HEAD, title=f"{title}: {first.photos} photos")
    for row, name in enumerate((*classes, "mean")):
        boxes = f"{int(first.truths[row])}" if row < len(classes) else f"{int(first.truths.sum())}"
        shown.add_row(name, boxes, *(cell(one, row) for one in found.values()))
    return shown


def _facts(
    data: str, part: str, classes: tuple[str, ...], detectors: list[OnnxDetector], found: dict[str, Precision]
) -> dict[str, object]:
    first = next(iter(found.values()))
    return {
        "data": portable(data),
        "part": part,
        "photos": first.photos,
        "classes": [*classes, "mean"],
        "boxes": first.truths.tolist(),
        "digests": [detector.digest for detector in detectors],
        "models": {name: as_json(one) for name, one in found.items()},
    }
