"""`umiak train keypoints`: make a key point model from photos of people with labelled joints."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.cli.bench_keypoints import table
from umiak_workers.cli.made_by import command_line, pace, short
from umiak_workers.cli.packing import NOT_STATED, OURS, Facts, begun_with, described, packed
from umiak_workers.cli.watch import ready, summary, watched
from umiak_workers.contract.artefact import Architecture
from umiak_workers.core.keypoints import JOINTS, correct_keypoints
from umiak_workers.datasets.pose_source import open_poses
from umiak_workers.datasets.sample import Joined
from umiak_workers.datasets.source import portable
from umiak_workers.models.build import build
from umiak_workers.models.joint_lessons import fit_joints
from umiak_workers.models.views import View, ViewFit
from umiak_workers.predictors.joint_scoring import photo_hits
from umiak_workers.predictors.keypoints import OnnxJoints

console = Console()


def keypoints(
    data: Annotated[
        list[str],
        typer.Option(help="Photos with joints: a folder with images/ and joints.csv, or a figures: URI; repeatable."),
    ],
    out: Annotated[Path, typer.Option(help="The artefact folder to write, named like the model.")],
    val: Annotated[
        list[str] | None,
        typer.Option(
            help="Photos to report on; never trained on.", show_default="every fifth run of 20 neighbouring files"
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Model whose tensors of the same name and shape are begun with: an EdgeNet from a CloudNet."),
    ] = None,
    stages: Annotated[
        int, typer.Option(min=2, max=4, help="Stages of the backbone: 4 is a CloudNet, 2 an EdgeNet.")
    ] = 2,
    height: Annotated[int, typer.Option(help="Height of the model's input in pixels, a multiple of 8.")] = 128,
    width: Annotated[int, typer.Option(help="Width of the model's input in pixels, a multiple of 8.")] = 128,
    channels: Annotated[int, typer.Option(help="Channels of the backbone's first stage.")] = 12,
    head: Annotated[int, typer.Option(help="Channels of pyramid and head.")] = 32,
    blocks: Annotated[int, typer.Option(help="Residual blocks per stage.")] = 1,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 40,
    minutes: Annotated[float | None, typer.Option(help="Train this long instead of a number of epochs.")] = None,
    batch: Annotated[int, typer.Option(help="Photos per step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 4e-3,
    turn: Annotated[float, typer.Option(help="Degrees that photos are turned by at most, at random.")] = 25.0,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the data, for the card.", show_default=f"{OURS} for figures")
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 1,
    resume: Annotated[Path | None, typer.Option(help="Folder to save to every minute and to go on from.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores if left out.")] = None,
) -> None:
    """Train a key point model on photos of one person each, score it as delivered, and write it as an artefact.

    Examples:

        umiak train keypoints --data photos/people --out people-cloud --stages 4 --minutes 10

        umiak train keypoints --data photos/people --out people-edge --start people-cloud/ --minutes 10

        umiak train keypoints --data 'figures:day?seed=1&frames=1500' --val 'figures:day?seed=2&frames=200' \
            --out figures-edge
    """
    ready(out, threads)
    begin = None if start is None else named_model(start)
    torch.manual_seed(seed)
    samples = Joined(tuple(open_poses(uri, "all" if val else "train") for uri in data))
    reported = {uri: open_poses(uri, "all" if val else "val") for uri in val or data}
    shape = {"joints": len(JOINTS), "width": channels, "channels": head, "stages": stages, "blocks": blocks}
    fit = ViewFit(
        height=height,
        width=width,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        minutes=minutes,
        view=View(turn=turn),
        checkpoint=resume,
    )
    facts = Facts(
        name=out.name,
        task="keypoint-detection",
        classes=JOINTS,
        architecture=Architecture(name="jointnet", config={**shape}),
        size=(height, width),
        data=tuple(map(portable, data)),
        licence=licence or (OURS if all(uri.startswith("figures:") for uri in data) else NOT_STATED),
        made_by=command_line(
            "keypoints",
            {
                "data": list(map(portable, data)),
                "val": list(map(portable, val or [])),
                "start": short(start) if start else None,
                "out": out.name,
                "height": height,
                "width": width,
                "stages": stages,
                "channels": channels,
                "head": head,
                "blocks": blocks,
                **pace(fit),
                "turn": turn,
                "seed": seed,
            },
        ),
    )
    card = described(facts)
    network = build("jointnet", {**shape})
    taken = 0 if begin is None else begun_with(network, begin)
    with watched(out.name, console) as progress:
        report = fit_joints(network, samples, fit, progress)
    made = packed(network, card)
    model = OnnxJoints(made.card, made.graph, made.weights, threads=1)
    scores = {uri: correct_keypoints(photo_hits(model, part), seed) for uri, part in reported.items()}
    metrics = {f"pck[{portable(uri)}]": round(float(score.values[-1]), 4) for uri, score in scores.items()}
    digest = made.write(out, metrics, next(iter(reported.values()))[0].image)
    console.print(f"{out}: {digest}\n{summary(network, report, len(samples), seed, taken)}", soft_wrap=True)
    for uri, score in scores.items():
        console.print(table(portable(uri), {out.name: score}))
