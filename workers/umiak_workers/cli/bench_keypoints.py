"""`umiak bench keypoints`: how good key point models are on labelled photos, an edge and a cloud model side by side."""

import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.cli.intervals import as_json, cell
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.keypoints import JOINTS, Correct, correct_keypoints, fuse_joints, hits_of
from umiak_workers.datasets.pose_source import open_poses
from umiak_workers.datasets.poses import PoseDataset
from umiak_workers.datasets.source import portable
from umiak_workers.predictors.keypoints import OnnxKeypoints

FUSED = "both, fused"
Hits = list[NDArray[np.float64] | None]
console = Console()


def keypoints(
    model: Annotated[
        list[str],
        typer.Argument(metavar="EDGE [CLOUD]", help="One key point model or two (folder, builtin: or file: URI)."),
    ],
    data: Annotated[str, typer.Option(help="Photos with joints: a folder with joints.csv or a figures: URI.")],
    part: Annotated[
        Literal["val", "train", "all"],
        typer.Option(help="Which photos of a folder: every fifth run of 20 neighbouring files is val."),
    ] = "val",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
) -> None:
    """PCK at 0.2 of the torso, per joint and over all, with 95 % intervals over blocks of neighbouring photos.

    With two models there is a third column: of each joint the answer that is surer of it.

    Examples:

        umiak bench keypoints builtin:figure-keypoints-edge builtin:figure-keypoints-cloud \
            --data 'figures:day?seed=501&frames=200'

        umiak bench keypoints people-edge/ --data photos/people --json joints.json
    """
    if len(model) > 2:
        raise ConfigError(f"{len(model)} models; give an edge model, or an edge and a cloud model")
    networks = [OnnxKeypoints(named_model(name), threads) for name in model]
    for network in networks:
        if network.card.classes != JOINTS:
            raise ConfigError(f"{network.card.name}: its joints are not those that the data are labelled with")
    found = {
        name: correct_keypoints(hits, seed) for name, hits in side_by_side(networks, open_poses(data, part)).items()
    }
    console.print(table(f"{portable(data)}, {part}", found))
    if out is not None:
        out.write_text(json.dumps(_facts(data, part, networks, found), indent=1) + "\n")


def side_by_side(networks: list[OnnxKeypoints], samples: PoseDataset) -> dict[str, Hits]:
    """Each model's hits by its name, and with two of them those of their fused answers."""
    ways = [network.card.name for network in networks]
    if len(set(ways)) != len(ways):
        ways = ["edge", "cloud"]
    hits: dict[str, Hits] = {way: [] for way in [*ways, FUSED][: 1 if len(ways) == 1 else 3]}
    for index in track(range(len(samples)), "photos", console=console, transient=True):
        photo = samples[index]
        answers = [network.predict(photo.image).pose for network in networks]
        if len(answers) == 2:
            answers.append(fuse_joints(answers[0], answers[1]))
        for photos, answer in zip(hits.values(), answers, strict=True):
            photos.append(hits_of(answer, photo.joints, photo.visible))
    return hits


def table(title: str, found: dict[str, Correct]) -> Table:
    """A row for each joint and one for all, a column for each model."""
    first = next(iter(found.values()))
    title = f"{title}: {first.photos} photos, {first.left_out} without a labelled torso left out"
    shown = Table("PCK at 0.2 of the torso", *found, box=SIMPLE_HEAD, title=title)
    for row, name in enumerate((*JOINTS, "all")):
        shown.add_row(name, *(cell(one, row) for one in found.values()))
    return shown


def _facts(data: str, part: str, networks: list[OnnxKeypoints], found: dict[str, Correct]) -> dict[str, object]:
    first = next(iter(found.values()))
    return {
        "data": portable(data),
        "part": part,
        "photos": first.photos,
        "left_out": first.left_out,
        "joints": [*JOINTS, "all"],
        "digests": [network.digest for network in networks],
        "models": {name: as_json(one) for name, one in found.items()},
    }
