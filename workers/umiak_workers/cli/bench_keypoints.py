"""`umiak bench keypoints`: how good key point models are on labelled photos, an edge and a cloud model side by side."""

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
from umiak_workers.core.keypoints import JOINTS, Correct, Pose, correct_keypoints, fuse_joints, hits_of
from umiak_workers.datasets.pose_source import open_poses
from umiak_workers.datasets.source import portable
from umiak_workers.predictors.answering import Said
from umiak_workers.predictors.keypoints import KeypointOutput, OnnxKeypoints

console = Console()


def keypoints(
    model: Annotated[
        list[str],
        typer.Argument(metavar="EDGE [CLOUD]", help="One key point model or two (folder, builtin: or file: URI)."),
    ],
    data: Annotated[str, typer.Option(help="Photos with joints: a folder with joints.csv or a figures: URI.")],
    part: Part = "val",
    miner: Rule = None,
    threshold: Threshold = None,
    budget: Budget = None,
    threads: Threads = 1,
    seed: Seed = 1,
    out: Json = None,
) -> None:
    """PCK at 0.2 of the torso, per joint and over all, with 95 % intervals over blocks of neighbouring photos.

    With two models there is a third column, to compare: of each joint the answer that is surer of it. Nothing else
    fuses joints; where edge and cloud work together, the cloud's answer stands.

    Examples:

        umiak bench keypoints builtin:figure-keypoints-edge builtin:figure-keypoints-cloud \
            --data 'figures:day?seed=501&frames=200' --miner MaxProbability --threshold 0.5

        umiak bench keypoints people-edge/ --data photos/people --json joints.json
    """
    networks = one_or_two(model, OnnxKeypoints, threads)
    for network in networks:
        if network.card.classes != JOINTS:
            raise ConfigError(f"{network.card.name}: its joints are not those that the data are labelled with")
    hits = side_by_side(
        networks,
        open_poses(data, part),
        _pose,
        fuse_joints,
        lambda answer, photo: hits_of(answer, photo.joints, photo.visible),
        console,
        gate(networks, seed, {"miner": miner, "threshold": threshold, "budget": budget}),
    )
    found = {name: correct_keypoints(photos, seed) for name, photos in hits.items()}
    console.print(table(f"{portable(data)}, {part}", found))
    if out is not None:
        first = next(iter(found.values()))
        facts = {"photos": first.photos, "left_out": first.left_out, "joints": [*JOINTS, "all"]}
        write(out, data, part, facts, networks, found)


def _pose(said: Said) -> Pose:
    assert isinstance(said, KeypointOutput), "a key point model answers joints"
    return said.pose


def table(title: str, found: dict[str, Correct]) -> Table:
    """A row for each joint and one for all, a column for each model."""
    first = next(iter(found.values()))
    title = f"{title}: {first.photos} photos, {first.left_out} without a labelled torso left out"
    shown = Table("PCK at 0.2 of the torso", *found, box=SIMPLE_HEAD, title=title)
    for row, name in enumerate((*JOINTS, "all")):
        shown.add_row(name, *(cell(one, row) for one in found.values()))
    return shown
