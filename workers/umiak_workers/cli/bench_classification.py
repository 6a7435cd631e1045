"""`umiak bench classification`: how often classifiers are right, an edge and a cloud model side by side."""

from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from umiak_workers.cli.intervals import cell
from umiak_workers.cli.side_by_side import (
    Budget,
    Json,
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
from umiak_workers.core.classification_metrics import Shares, shares_of
from umiak_workers.core.label import together
from umiak_workers.datasets.class_source import open_classified
from umiak_workers.datasets.source import portable
from umiak_workers.predictors.answering import Said
from umiak_workers.predictors.class_scoring import judged
from umiak_workers.predictors.classification import ClassificationOutput, OnnxClassifier

console = Console()


def classification(
    model: Annotated[
        list[str], typer.Argument(metavar="EDGE [CLOUD]", help="One classifier or two (folder, builtin: or file: URI).")
    ],
    data: Annotated[
        str,
        typer.Option(
            help="A folder or .tar.gz of CLASS/PHOTO (of val/CLASS/PHOTO where there is val), or a yard: URI."
        ),
    ],
    miner: Rule = None,
    threshold: Threshold = None,
    budget: Budget = None,
    threads: Threads = 1,
    seed: Seed = 1,
    out: Json = None,
) -> None:
    """Share of right classes, by class and over all, with 95 % intervals over blocks of neighbouring photos.

    With two models there is a third column: the mean of both models' probabilities, as `fusion.labels: both` answers.

    Examples:

        umiak bench classification builtin:yard-watch-edge builtin:yard-watch-cloud \\
            --data 'yard:dusk?seed=202&frames=40&shot=1' --miner ScoreMargin --threshold 0.5

        umiak bench classification my-classes/ --data photos/by-class --json classes.json
    """
    models = one_or_two(model, OnnxClassifier, threads)
    whole, kept = open_classified(data)
    samples = whole if kept is None else kept
    for one in models:
        if one.card.classes != samples.classes:
            told = ", ".join(one.card.classes)
            raise ConfigError(f"{data}: has {', '.join(samples.classes)}, {one.card.name} speaks of {told}")
    right = side_by_side(
        models,
        samples,
        _logits,
        together,
        judged,
        console,
        gate(models, seed, {"miner": miner, "threshold": threshold, "budget": budget}),
    )
    found = {name: shares_of(photos, len(samples.classes), seed) for name, photos in right.items()}
    console.print(table(portable(data), samples.classes, found))
    if out is not None:
        facts = {"photos": len(samples), "classes": [*samples.classes, "all"]}
        write(out, data, "all" if kept is None else "val", facts, models, found)


def table(title: str, classes: tuple[str, ...], found: dict[str, Shares]) -> Table:
    """A row for each class and one for all, a column for each way to answer."""
    photos = next(iter(found.values())).photos
    shown = Table("share right", "photos", *found, box=SIMPLE_HEAD, title=f"{title}: {photos[-1]} photos")
    for row, name in enumerate((*classes, "all")):
        shown.add_row(name, f"{photos[row]}", *(cell(one, row) for one in found.values()))
    return shown


def _logits(said: Said) -> NDArray[np.float32]:
    assert isinstance(said, ClassificationOutput), "a classifier answers classes"
    return said.logits
