"""`umiak train classification`: make a classifier from folders of classes, or from windows of the procedural yard."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from umiak_workers.cli.bench_classification import table
from umiak_workers.cli.made_by import command_line, pace
from umiak_workers.cli.packing import OURS, Facts, described, packed
from umiak_workers.cli.watch import ready, summary, watched
from umiak_workers.contract.artefact import Architecture
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.classification_metrics import shares_of
from umiak_workers.datasets.class_source import open_classified
from umiak_workers.datasets.classified import ChosenPhotos, Classified
from umiak_workers.datasets.source import portable
from umiak_workers.models.build import build
from umiak_workers.models.classifier_train import ClassFitConfig, fit_classifier
from umiak_workers.predictors.class_scoring import photo_classes
from umiak_workers.predictors.classification import ClassifierGraph

HELD_BACK = 5
"""Every fifth photo of each class is reported on and not trained on where there is no validation set."""
console = Console()


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
    resume: Annotated[Path | None, typer.Option(help="Folder to save to every minute and to go on from.")] = None,
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
    ready(out, threads)
    training, reported = opened(data, val or [])
    classes = training[0].classes
    yard = all(uri.startswith("yard:") for uri in data)
    names = list(map(portable, data))
    shape = {"width": channels, "stages": stages, "blocks": blocks}
    fit = ClassFitConfig(height, width, epochs, batch, learning_rate, seed, minutes, checkpoint=resume)
    facts = Facts(
        name=out.name,
        task="image-classification",
        classes=classes,
        architecture=Architecture(name="classifier", config={"classes": len(classes), **shape}),
        size=(height, width),
        data=(f"windows of procedural yard scenes: {', '.join(data)}" if yard else ", ".join(names),),
        licence=OURS if yard else licence,
        made_by=command_line(
            "classification",
            {
                "data": names,
                "val": list(map(portable, val or [])),
                "out": out.name,
                "height": height,
                "width": width,
                "channels": channels,
                "stages": stages,
                "blocks": blocks,
                **pace(fit),
                "seed": seed,
            },
        ),
    )
    card = described(facts)
    torch.manual_seed(seed)
    network = build(facts.architecture.name, facts.architecture.config)
    with watched(out.name, console) as progress:
        report = fit_classifier(network, training, fit, progress)
    made = packed(network, card)
    model = ClassifierGraph(made.card, made.graph, made.weights, threads=1)
    shares = {name: shares_of(photo_classes(model, part), len(classes), seed) for name, part in reported.items()}
    metrics = {f"accuracy[{name}]": round(float(found.values[-1]), 4) for name, found in shares.items()}
    digest = made.write(out, metrics, next(iter(reported.values()))[0].image)
    photos = sum(len(part) for part in training)
    console.print(f"{out}: {digest}\n{summary(network, report, photos, seed)}", soft_wrap=True)
    for name, found in shares.items():
        console.print(table(name, classes, {out.name: found}))


def opened(data: list[str], val: list[str]) -> tuple[list[Classified], dict[str, Classified]]:
    """(what to learn from, what to report on by name).

    Raises ConfigError where classes differ or nothing is left to report on.
    """
    training: list[Classified] = []
    reported: dict[str, Classified] = {}
    for uri in data:
        learnt, kept = open_classified(uri)
        training.append(learnt)
        if kept is not None and not val:
            reported[f"{portable(uri)} val"] = kept
    for uri in val:
        whole, kept = open_classified(uri)
        reported[portable(uri)] = kept or whole
    if not reported:
        halves = [_held_back(part) for part in training]
        training = [learnt for learnt, _ in halves]
        reported = {f"{portable(uri)}, every fifth": kept for uri, (_, kept) in zip(data, halves, strict=True)}
    for uri, part in [*zip(data, training, strict=True), *reported.items()]:
        if part.classes != training[0].classes:
            raise ConfigError(f"{uri}: has classes {_listed(part)}, {data[0]} has {_listed(training[0])}")
    return training, reported


def _held_back(part: Classified) -> tuple[Classified, Classified]:
    """(four of five, every fifth): samples of a class lie together, so each class gives its share."""
    kept = tuple(range(HELD_BACK - 1, len(part), HELD_BACK))
    if not kept:
        raise ConfigError(f"{len(part)} photos are too few to hold any back; name others with --val")
    learnt = tuple(index for index in range(len(part)) if index % HELD_BACK != HELD_BACK - 1)
    return ChosenPhotos(part, learnt, part.classes), ChosenPhotos(part, kept, part.classes)


def _listed(part: Classified) -> str:
    return ", ".join(part.classes)
