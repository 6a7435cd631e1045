"""`umiak train segmentation --leave-one-sequence-out`: what a recipe is worth on a drive that it has not seen.

Neighbouring photos of one drive are nearly the same photo, so a validation set cut out of a drive that training saw
flatters. Here each sequence in turn is left out, the recipe starts from scratch on the others, and answers it. A fold
that is done is its artefact: it is scored again, not trained again.
"""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.bench.edge import BLOCK
from umiak_workers.cli.recipes import Recipe, without
from umiak_workers.contract.artefact import MANIFEST
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.metrics import Counts, block_bootstrap, class_iou, mean_iou, pixel_accuracy
from umiak_workers.core.model import Model
from umiak_workers.datasets.sample import Dataset, Joined, sequences
from umiak_workers.datasets.source import open_dataset
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.scoring import frame_counts

FIGURES = "holdout.json"
MOST = 32
"""Sequences at most: a training run each."""


@dataclass(frozen=True)
class Fold:
    """A sequence and how a model that learnt from `learnt` photos of the others answered it, photo by photo."""

    sequence: str
    learnt: int
    digest: str
    counts: tuple[Counts, ...]
    seed: int

    @property
    def total(self) -> Counts:
        """Of all its photos."""
        total: Counts = np.sum(self.counts, axis=0)
        return total

    def interval(self) -> tuple[float, float]:
        """95 % of its mIoU by blocks of neighbouring photos: of this sequence's photos, not of other drives."""
        return block_bootstrap(self.counts, min(BLOCK, len(self.counts)), self.seed)

    def as_json(self, classes: tuple[str, ...]) -> dict[str, object]:
        """Figures to six digits; classes that its labels do not hold are left out."""
        low, high = self.interval()
        return {
            "sequence": self.sequence,
            "photos": len(self.counts),
            "learnt_from": self.learnt,
            "model": self.digest,
            "miou": round(mean_iou(self.total), 6),
            "low": round(low, 6),
            "high": round(high, 6),
            "pixel_accuracy": round(pixel_accuracy(self.total), 6),
            "classes": {
                name: round(value, 6)
                for name, value in zip(classes, class_iou(self.total).tolist(), strict=True)
                if value == value
            },
        }


@dataclass(frozen=True)
class Holdout:
    """All folds of a recipe."""

    made_by: str
    classes: tuple[str, ...]
    seed: int
    folds: tuple[Fold, ...]

    def mean(self) -> float:
        """mIoU, each sequence counting the same."""
        return statistics.fmean(mean_iou(fold.total) for fold in self.folds)

    def spread(self) -> float:
        """Standard deviation of the sequences' mIoU: how unlike one drive is to the next; NaN for a single one."""
        values = [mean_iou(fold.total) for fold in self.folds]
        return statistics.stdev(values) if len(values) > 1 else float("nan")

    def class_means(self) -> list[float]:
        """IoU per class over the sequences whose labels hold it; NaN where none does."""
        ious = np.stack([class_iou(fold.total) for fold in self.folds])
        return [statistics.fmean(held) if (held := column[column == column].tolist()) else np.nan for column in ious.T]

    def as_json(self) -> dict[str, object]:
        """The file `holdout.json`."""
        means = zip(self.classes, self.class_means(), strict=True)
        spread = self.spread()
        return {
            "made_by": self.made_by,
            "seed": self.seed,
            "sequences": [fold.as_json(self.classes) for fold in self.folds],
            "mean": {
                "miou": round(self.mean(), 6),
                "standard_deviation": round(spread, 6) if spread == spread else None,
                "classes": {name: round(value, 6) for name, value in means if value == value},
            },
        }

    def table(self) -> Table:
        """A column for each sequence left out, and their mean."""
        table = Table("left out", *(fold.sequence for fold in self.folds), "mean")
        totals = [fold.total for fold in self.folds]
        learnt = [f"{len(fold.counts)} ({fold.learnt})" for fold in self.folds]
        table.add_row("photos (learnt from)", *learnt, "")
        spread = f"{self.mean():.4f}, deviation {self.spread():.4f}"
        table.add_row("mIoU", *(f"{mean_iou(total):.4f}" for total in totals), spread)
        table.add_row("95 %", *("{:.4f} {:.4f}".format(*fold.interval()) for fold in self.folds), "")
        table.add_row("pixel accuracy", *(f"{pixel_accuracy(total):.4f}" for total in totals), "", end_section=True)
        columns = [*(class_iou(total).tolist() for total in totals), self.class_means()]
        for name, *values in zip(self.classes, *columns, strict=True):
            table.add_row(name, *("-" if value != value else f"{value:.4f}" for value in values))
        return table


def leave_one_out(
    recipe: Recipe, start: str | None, out: Path, train: Callable[[Recipe, Path], object], console: Console
) -> Holdout:
    """Train the recipe once for each sequence, with `train(fold's recipe, its folder)`, and score each model.

    `start` names the `out` of an earlier call: each fold goes on from the model that left out the same sequence.
    Raises ConfigError for photos that are of one sequence or of too many, and for models of other settings in `out`.
    """
    if (out / MANIFEST).exists():
        raise ConfigError(
            f"{out}: is a model; --leave-one-sequence-out writes a folder of models, choose another --out"
        )
    samples = Joined(tuple(open_dataset(uri) for uri in recipe.data))
    names = tuple(sequences(samples))
    _enough(names, len(samples))
    holdout = Holdout(recipe.made_by, recipe.classes, recipe.fit.seed, ())
    for number, name in enumerate(names, start=1):
        others, held = without(samples, name)
        mine = _fold_recipe(recipe, start, name, f"{len(others)} of {len(samples)} photos")
        folder = out / f"without-{name}"
        console.print(f"{folder.name}: fold {number} of {len(names)}{', made already' if folder.exists() else ''}")
        if not folder.exists():
            train(mine, folder)
        fold = _scored(_made_by(folder, mine.made_by), name, len(others), held, recipe.fit.seed)
        holdout = replace(holdout, folds=(*holdout.folds, fold))
        (out / FIGURES).write_text(json.dumps(holdout.as_json(), indent=1) + "\n", encoding="utf-8")
    return holdout


def _enough(names: tuple[str, ...], photos: int) -> None:
    if not 2 <= len(names) <= MOST:
        few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise ConfigError(
            f"--leave-one-sequence-out: 2 to {MOST} sequences are needed, {photos} photos have {len(names)} ({few}); "
            "a photo's sequence is what comes before the first _ or - of its name"
        )


def _fold_recipe(recipe: Recipe, start: str | None, name: str, share: str) -> Recipe:
    """The recipe without one sequence, with a checkpoint folder of its own."""
    note = f"--leave-one-sequence-out (without {name}: {share})"
    home = recipe.fit.checkpoint
    fit = replace(recipe.fit, checkpoint=None if home is None else home / f"without-{name}")
    begun = None if start is None else _begun(start, name, note)
    before = "" if begun is None else f"{begun.card.made_by}; "
    return replace(recipe, fit=fit, left_out=name, start=begun, made_by=f"{before}{recipe.made_by} {note}")


def _begun(start: str, name: str, note: str) -> Model:
    """The model to go on from, which has not seen the sequence either; raises ConfigError for any other."""
    folder = Path(start) / f"without-{name}"
    if not folder.is_dir() or not (model := load_model(folder)).card.made_by.endswith(note):
        raise ConfigError(
            f"--start: with --leave-one-sequence-out each model goes on from one that left out the same of the same "
            f"photos; {folder} is no such model"
        )
    return model


def _made_by(folder: Path, wanted: str) -> Model:
    """The model of a fold; raises ConfigError if other settings or photos made it."""
    model = load_model(folder)
    if model.card.made_by != wanted:
        raise ConfigError(f"{folder}: was made by {model.card.made_by!r}; choose another --out, or remove it")
    return model


def _scored(model: Model, name: str, learnt: int, held: Dataset, seed: int) -> Fold:
    return Fold(name, learnt, model.digest, tuple(frame_counts(OnnxSegmenter(model, 1), held)), seed)
