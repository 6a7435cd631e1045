"""`umiak bench detection`: how good detectors are on labelled photos, an edge and a cloud model side by side."""

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from umiak_workers.cli.intervals import cell
from umiak_workers.cli.side_by_side import (
    Budget,
    Json,
    Part,
    Rule,
    Seed,
    Threads,
    Threshold,
    gate,
    one_or_two,
    side_by_side,
    write,
)
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.detection import Detections, fuse_boxes
from umiak_workers.core.detection_metrics import Precision, precision_of
from umiak_workers.datasets.box_source import open_boxes
from umiak_workers.datasets.source import portable
from umiak_workers.predictors.answering import Said
from umiak_workers.predictors.box_scoring import judged
from umiak_workers.predictors.detection import DetectionOutput, OnnxDetector

console = Console()


def detection(
    model: Annotated[
        list[str], typer.Argument(metavar="EDGE [CLOUD]", help="One detector or two (folder, builtin: or file: URI).")
    ],
    data: Annotated[str, typer.Option(help="Photos with boxes: a folder or a yard: URI.")],
    part: Part = "val",
    miner: Rule = None,
    threshold: Threshold = None,
    budget: Budget = None,
    nothing_found: Annotated[
        float | None, typer.Option(min=0, max=1, help="BoxThreshold, IBT: how hard a photo without any box is.")
    ] = None,
    certain: Annotated[
        float | None, typer.Option(min=0, max=1, help="IBT: confidence from which a box is not doubtful.")
    ] = None,
    threads: Threads = 1,
    seed: Seed = 1,
    out: Json = None,
) -> None:
    """Average precision at IoU 0.5, per class and mean, with 95 % intervals over blocks of neighbouring photos.

    With two models there is a third column, to compare: non-maximum suppression over both answers of each photo, the
    cloud's boxes first. Nothing else fuses boxes; where edge and cloud work together, the cloud's answer stands.

    Examples:

        umiak bench detection builtin:yard-detector-edge builtin:yard-detector-cloud \
            --data 'yard:day?seed=501&frames=100&shot=1' --miner BoxThreshold --threshold 0.6 --nothing-found 1

        umiak bench detection insulators-edge/ --data photos/insulators --json boxes.json
    """
    detectors = one_or_two(model, OnnxDetector, threads)
    classes = detectors[0].card.classes
    if any(one.card.classes != classes for one in detectors):
        raise ConfigError("the two models speak of different classes")
    samples = open_boxes(data, part, classes)
    if samples.classes != classes:
        raise ConfigError(f"{data}: has {', '.join(samples.classes)}, the model speaks of {', '.join(classes)}")
    rule = {"miner": miner, "threshold": threshold, "budget": budget}
    rule |= {"nothing_found": nothing_found, "certain": certain}
    matches = side_by_side(
        detectors,
        samples,
        _boxes,
        fuse_boxes,
        lambda answer, photo: judged(answer, photo, len(classes)),
        console,
        gate(detectors, seed, rule),
    )
    found = {name: precision_of(photos, seed) for name, photos in matches.items()}
    console.print(table(f"{portable(data)}, {part}", classes, found))
    if out is not None:
        first = next(iter(found.values()))
        facts = {"photos": first.photos, "classes": [*classes, "mean"], "boxes": first.truths.tolist()}
        write(out, data, part, facts, detectors, found)


def _boxes(said: Said) -> Detections:
    assert isinstance(said, DetectionOutput), "a detector answers boxes"
    return said.found


def table(title: str, classes: tuple[str, ...], found: dict[str, Precision]) -> Table:
    """A row for each class and one for their mean, a column for each model."""
    first = next(iter(found.values()))
    shown = Table("AP at IoU 0.5", "boxes", *found, box=SIMPLE_HEAD, title=f"{title}: {first.photos} photos")
    for row, name in enumerate((*classes, "mean")):
        boxes = f"{int(first.truths[row])}" if row < len(classes) else f"{int(first.truths.sum())}"
        shown.add_row(name, boxes, *(cell(one, row) for one in found.values()))
    return shown
