"""`umiak train detection`: make a detector from photos with boxes."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.cli.bench_detection import table
from umiak_workers.cli.made_by import command_line, pace, short
from umiak_workers.cli.packing import NOT_STATED, OURS, Facts, begun_with, described, packed
from umiak_workers.cli.watch import ready, summary, watched
from umiak_workers.contract.artefact import Architecture
from umiak_workers.core.detection_metrics import precision_of
from umiak_workers.datasets.box_source import open_boxes
from umiak_workers.datasets.boxes import joined_boxes
from umiak_workers.datasets.source import portable
from umiak_workers.models.box_train import fit_boxes
from umiak_workers.models.build import build
from umiak_workers.models.views import View, ViewFit
from umiak_workers.predictors.box_scoring import photo_matches
from umiak_workers.predictors.detection import OnnxBoxes

console = Console()


def detection(
    data: Annotated[
        list[str],
        typer.Option(
            help="Photos with boxes: a folder with images/ and labels/*.xml (Pascal VOC) or labels_yolo/*.txt (YOLO), "
            "or a yard: URI; may be repeated."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The artefact folder to write, named like the model.")],
    val: Annotated[
        list[str] | None,
        typer.Option(
            help="Photos to report on; never trained on.",
            show_default="DATA/val, else every fifth run of 20 neighbouring files",
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(help="Class names in order of their ids, repeatable; a single one stands for all YOLO ids."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Model whose tensors of the same name and shape are begun with: a segmenter's encoder."),
    ] = None,
    height: Annotated[int, typer.Option(help="Height of the model's input in pixels, a multiple of 8.")] = 192,
    width: Annotated[int, typer.Option(help="Width of the model's input in pixels, a multiple of 8.")] = 256,
    channels: Annotated[int, typer.Option(help="Channels of the encoder's first stage.")] = 16,
    decoder: Annotated[int, typer.Option(help="Channels of the decoder.")] = 32,
    stages: Annotated[int, typer.Option(min=2, max=4, help="Stages of the encoder.")] = 3,
    blocks: Annotated[int, typer.Option(help="Residual blocks per stage.")] = 1,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 40,
    minutes: Annotated[float | None, typer.Option(help="Train this long instead of a number of epochs.")] = None,
    batch: Annotated[int, typer.Option(help="Photos per step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 4e-3,
    scale: Annotated[
        tuple[float, float], typer.Option(help="Show things this many times smaller or larger, at random.")
    ] = (0.75, 1.33),
    licence: Annotated[
        str | None, typer.Option(help="Licence of the data, for the card.", show_default=f"{OURS} for yards")
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 1,
    resume: Annotated[Path | None, typer.Option(help="Folder to save to every minute and to go on from.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores if left out.")] = None,
) -> None:
    """Train a detector on photos with boxes, score it as delivered, and write it as an artefact.

    Examples:

        umiak train detection --data photos/insulators --out insulators-edge --minutes 10

        umiak train detection --data thermal --classes 'hot spot' --out hot-spots --height 288 --width 384

        umiak train detection --data 'yard:day?seed=301&frames=600&shot=1' --val 'yard:day?seed=401&frames=100&shot=1' \
            --out yard-detector
    """
    ready(out, threads)
    begin = None if start is None else named_model(start)
    torch.manual_seed(seed)
    names = tuple(classes or ())
    samples = joined_boxes([open_boxes(uri, "all" if val else "train", names) for uri in data])
    reported = {uri: open_boxes(uri, "all" if val else "val", samples.classes) for uri in val or data}
    shape = {"classes": len(samples.classes), "width": channels, "decoder": decoder, "stages": stages, "blocks": blocks}
    fit = ViewFit(
        height=height,
        width=width,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        minutes=minutes,
        view=View(*scale),
        checkpoint=resume,
    )
    facts = Facts(
        name=out.name,
        task="object-detection",
        classes=samples.classes,
        architecture=Architecture(name="boxnet", config={**shape}),
        size=(height, width),
        data=tuple(map(portable, data)),
        licence=licence or (OURS if all(uri.startswith("yard:") for uri in data) else NOT_STATED),
        made_by=command_line(
            "detection",
            {
                "data": list(map(portable, data)),
                "val": list(map(portable, val or [])),
                "classes": list(names),
                "start": short(start) if start else None,
                "out": out.name,
                "height": height,
                "width": width,
                "channels": channels,
                "decoder": decoder,
                "stages": stages,
                "blocks": blocks,
                **pace(fit),
                "scale": scale,
                "seed": seed,
            },
        ),
    )
    card = described(facts)
    network = build("boxnet", {**shape})
    taken = 0 if begin is None else begun_with(network, begin)
    with watched(out.name, console) as progress:
        report = fit_boxes(network, samples, fit, progress)
    made = packed(network, card)
    detector = OnnxBoxes(made.card, made.graph, made.weights, threads=1)
    scores = {uri: precision_of(photo_matches(detector, part), seed) for uri, part in reported.items()}
    metrics = {f"ap50[{portable(uri)}]": round(float(score.values[-1]), 4) for uri, score in scores.items()}
    image = next(iter(reported.values()))[0].image
    digest = made.write(out, {name: value for name, value in metrics.items() if value == value}, image)
    console.print(f"{out}: {digest}\n{summary(network, report, len(samples), seed, taken)}", soft_wrap=True)
    for uri, score in scores.items():
        console.print(table(portable(uri), samples.classes, {out.name: score}))
