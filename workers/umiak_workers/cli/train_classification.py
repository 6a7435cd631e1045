"""`umiak train classification`: make a classifier from folders of classes, or from windows of the procedural yard."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.contract.artefact import Architecture, Card, DataSource, InputSpec, OutputSpec
from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.classified import TRAINING, VALIDATION, Chosen, Classified, Photos, read_parts
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.datasets.yard import Yard
from umiak_workers.datasets.yard_watch import Watch
from umiak_workers.models.build import LAYER_SETS, build, state_tensors
from umiak_workers.models.classifier_train import ClassBatches, ClassFitConfig, fit_classifier
from umiak_workers.models.export import export_graph
from umiak_workers.models.loop import FitReport, Progress
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.classification import ClassifierGraph
from umiak_workers.predictors.onnx_graph import spare_tensors, strip

HELD_BACK = 5
"""Every fifth photo of each class is reported on and not trained on where there is no validation set."""
Counts = NDArray[np.int64]
console = Console()


@dataclass(frozen=True)
class Lesson:
    """What is learnt and what is reported on, and what the card says of it."""

    name: str
    training: tuple[Classified, ...]
    validation: dict[str, Classified]
    licence: str
    told: str
    sources: tuple[DataSource, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.training[0].classes


@dataclass(frozen=True)
class Made:
    """The artefact's digest, how the fit went, its parameters, and confusion counts (CxC, rows true) by data set."""

    digest: str
    report: FitReport
    parameters: int
    counts: dict[str, Counts]


def classification(
    data: Annotated[
        list[str],
        typer.Option(
            help="A folder or .tar.gz of CLASS/PHOTO (or train/CLASS/PHOTO and val/CLASS/PHOTO), or a yard: URI; "
            "may be repeated."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The artefact folder to write, named like the model.")],
    val: Annotated[
        list[str] | None,
        typer.Option(
            help="Photos to report on, of the same forms; never trained on.", show_default="val, else every fifth"
        ),
    ] = None,
    height: Annotated[int, typer.Option(min=16, help="Height of the model's input in pixels.")] = 96,
    width: Annotated[int, typer.Option(min=16, help="Width of the model's input in pixels.")] = 128,
    channels: Annotated[int, typer.Option(help="Channels of the first stage, doubled by each later one.")] = 8,
    stages: Annotated[int, typer.Option(help="Stages; each after the first halves the size.")] = 4,
    blocks: Annotated[int, typer.Option(help="Residual blocks per stage.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the photos.")] = 12,
    minutes: Annotated[float | None, typer.Option(help="Train this long instead of a number of epochs.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos per step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 4e-3,
    licence: Annotated[str, typer.Option(help="Of the model, for its card.")] = "of whoever owns the photos",
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores if left out.")] = None,
) -> None:
    """Train a residual classifier and write it as an artefact.

    A yard: URI gives four windows of each of its photos: nobody, person, vehicle or both in the watched part.

    Examples:

        umiak train classification --data 'yard:day?seed=1&frames=300&shot=1' --out who-is-there

        umiak train classification --data photos/by-class --out my-classes --epochs 30

        umiak train classification --data cifar10/train.tar.gz --val cifar10/val.tar.gz --out cifar \
            --height 32 --width 32 --stages 3 --channels 32 --blocks 2
    """
    if out.exists():
        raise ConfigError(f"{out}: exists already; a model is never overwritten, choose another folder or remove it")
    if threads is not None:
        torch.set_num_threads(threads)
    fit = ClassFitConfig(height, width, epochs, batch, learning_rate, seed, minutes)
    shape = {"width": channels, "stages": stages, "blocks": blocks}
    length = ["--minutes", f"{minutes:g}"] if minutes is not None else ["--epochs", str(epochs)]
    told = ["umiak", "train", "classification", *_named("--data", data), *_named("--val", val or [])]
    told += ["--out", out.name, "--height", str(height), "--width", str(width), "--channels", str(channels)]
    told += ["--stages", str(stages), "--blocks", str(blocks), *length, "--batch", str(batch)]
    told += ["--learning-rate", f"{learning_rate:g}", "--seed", str(seed)]
    lesson = opened(out.name, data, val or [], licence, shlex.join(told))
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[facts]}"))
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(out.name, total=1.0, facts="loading photos")

        def progress(now: Progress) -> None:
            facts = f"step {now.step}  loss {now.loss:.3f}  {now.seconds:.0f} s, {now.seconds_left:.0f} s to go"
            bar.update(task, completed=now.done, facts=facts)
            if not console.is_terminal and now.step % 50 == 0:
                console.print(f"{out.name} {now.done:.0%} {facts}", soft_wrap=True)

        made = make(lesson, fit, shape, out, progress)
    show(lesson, made, out, seed)


def opened(name: str, data: list[str], val: list[str], licence: str, told: str) -> Lesson:
    """Everything of a lesson; raises ConfigError where classes differ or nothing is left to report on."""
    training: list[Classified] = []
    validation: dict[str, Classified] = {}
    for uri in data:
        learnt, reported = _split(uri)
        training.append(learnt)
        if reported is not None and not val:
            validation[f"{portable(uri)} val"] = reported
    for uri in val:
        whole, reported = _split(uri)
        validation[portable(uri)] = reported or whole
    if not validation:
        halves = [_held_back(part) for part in training]
        training = [learnt for learnt, _ in halves]
        validation = {f"{portable(uri)}, every fifth": kept for uri, (_, kept) in zip(data, halves, strict=True)}
    for uri, part in [*zip(data, training, strict=True), *validation.items()]:
        if part.classes != training[0].classes:
            raise ConfigError(f"{uri}: has classes {_listed(part)}, {data[0]} has {_listed(training[0])}")
    yard = all(uri.startswith("yard:") for uri in data)
    what = f"windows of procedural yard scenes: {', '.join(data)}" if yard else ", ".join(map(portable, data))
    licence = "Apache-2.0" if yard else licence
    return Lesson(name, tuple(training), validation, licence, told, (DataSource(name=what, licence=licence),))


def make(
    lesson: Lesson, fit: ClassFitConfig, shape: dict[str, int], out: Path, progress: Callable[[Progress], None]
) -> Made:
    """Train, export, score as delivered (ONNX) and write the artefact folder `out`."""
    torch.manual_seed(fit.seed)
    architecture = Architecture(name="classifier", config={"classes": len(lesson.classes), **shape})
    network = build(architecture.name, architecture.config)
    batches = ClassBatches(lesson.training, fit)
    report = fit_classifier(network, batches, len(lesson.classes), fit, progress)
    weights = state_tensors(network)
    exported = export_graph(network, fit.height, fit.width)
    card = Card(
        name=lesson.name,
        task="image-classification",
        classes=lesson.classes,
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=fit.height, width=fit.width),
        outputs=OutputSpec(logits="logits"),
        architecture=architecture,
        data=lesson.sources,
        licence=lesson.licence,
        training_only=spare_tensors(exported, weights),
        layer_sets=LAYER_SETS[architecture.name],
    )
    graph = strip(exported, weights)
    model = ClassifierGraph(card, graph, weights, threads=1)
    counts = {name: confusion(model, part) for name, part in lesson.validation.items()}
    card = card.with_metrics({f"accuracy[{name}]": accuracy(found) for name, found in counts.items()}, lesson.told)
    golden = record_golden(card, graph, weights, next(iter(lesson.validation.values()))[0].image)
    digest = write_artefact(out, card, graph, weights, golden)
    return Made(digest, report, sum(tensor.numel() for tensor in network.parameters()), counts)


def confusion(model: ClassifierGraph, samples: Classified) -> Counts:
    """CxC: rows are true classes, columns predicted ones."""
    counts = np.zeros((len(samples.classes),) * 2, np.int64)
    for index in range(len(samples)):
        sample = samples[index]
        counts[sample.kind, int(model.predict(sample.image).logits.argmax())] += 1
    return counts


def accuracy(counts: Counts) -> float:
    """Share of photos with the right class."""
    return round(float(np.trace(counts)) / max(1, int(counts.sum())), 4)


def show(lesson: Lesson, made: Made, out: Path, seed: int) -> None:
    """Print what was made: size, digest, and what became of the photos of each class."""
    console.print(f"{out}: {made.digest}\n{made.parameters} parameters; seed {seed}", soft_wrap=True)
    facts = f"{made.report.steps} steps, {made.report.epochs:.1f} epochs, {made.report.seconds:.0f} s"
    console.print(f"fit: {facts}, loss {made.report.losses[0]:.3f} to {made.report.losses[-1]:.3f}")
    table = Table("share right", *made.counts)
    table.add_row("accuracy", *(f"{accuracy(counts):.4f}" for counts in made.counts.values()))
    for number, name in enumerate(lesson.classes):
        rows = [counts[number] for counts in made.counts.values()]
        table.add_row(name, *(f"{row[number] / row.sum():.4f} of {row.sum()}" if row.sum() else "-" for row in rows))
    console.print(table)


def _split(uri: str) -> tuple[Classified, Classified | None]:
    """(what to learn from, what is kept apart for reporting, if the data set says so)."""
    if uri.startswith("yard:"):
        yard = open_dataset(uri)
        assert isinstance(yard, Yard), "a yard: URI names a yard"
        return Watch(yard), None
    parts: dict[str, Photos] = read_parts(Path(uri))
    kept = next((parts[name] for name in VALIDATION if name in parts), None)
    learnt = next((parts[name] for name in (*TRAINING, "") if name in parts), kept)
    assert learnt is not None, "a data set has at least one part"
    return learnt, None if kept is learnt else kept


def _held_back(part: Classified) -> tuple[Classified, Classified]:
    """(four of five, every fifth): samples of a class lie together, so each class gives its share."""
    kept = range(HELD_BACK - 1, len(part), HELD_BACK)
    if not len(kept):
        raise ConfigError(f"{len(part)} photos are too few to hold any back; name others with --val")
    learnt = [index for index in range(len(part)) if index % HELD_BACK != HELD_BACK - 1]
    return Chosen(part, learnt), Chosen(part, kept)


def _named(option: str, uris: list[str]) -> list[str]:
    return [word for uri in uris for word in (option, portable(uri))]


def _listed(part: Classified) -> str:
    return ", ".join(part.classes)
