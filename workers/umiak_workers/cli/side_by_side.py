"""One model or two on labelled photos, and a third column that is there to compare: both answers of a photo fused.

Neither edge nor cloud fuses boxes or joints, since the cloud's answer alone was better
(`docs/adr/0015-an-answers-payload-goes-by-its-task.md`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.cli.intervals import Intervals, as_json
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.model import Model
from umiak_workers.datasets.sample import Indexed
from umiak_workers.datasets.source import portable
from umiak_workers.predictors.answering import Answering

FUSED = "both, fused"
Part = Annotated[
    Literal["val", "train", "all"],
    typer.Option(help="Which photos of a folder: every fifth run of 20 neighbouring files is val."),
]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Seed = Annotated[int, typer.Option(help="Of the bootstrap.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")]

M = TypeVar("M", bound=Answering)
Photo = TypeVar("Photo")
Answer = TypeVar("Answer")
Score = TypeVar("Score")


def one_or_two(names: Sequence[str], load: Callable[[Model, int], M], threads: int) -> list[M]:
    """The models; raises ConfigError for more."""
    if len(names) > 2:
        raise ConfigError(f"{len(names)} models; give an edge model, or an edge and a cloud model")
    return [load(named_model(name), threads) for name in names]


def side_by_side(
    models: Sequence[M],
    samples: Indexed[Photo],
    answer: Callable[[M, Photo], Answer],
    fuse: Callable[[Answer, Answer], Answer],
    score: Callable[[Answer, Photo], Score],
    console: Console,
) -> dict[str, list[Score]]:
    """Photo by photo the score of each model by its name, and with two of them of their fused answers."""
    names = [model.card.name for model in models]
    if len(set(names)) != len(names):
        names = ["edge", "cloud"]
    scores: dict[str, list[Score]] = {name: [] for name in (names if len(names) == 1 else [*names, FUSED])}
    for index in track(range(len(samples)), "photos", console=console, transient=True):
        photo = samples[index]
        answers = [answer(model, photo) for model in models]
        if len(answers) == 2:
            answers.append(fuse(answers[0], answers[1]))
        for photos, one in zip(scores.values(), answers, strict=True):
            photos.append(score(one, photo))
    return scores


def write(
    out: Path,
    data: str,
    part: str,
    facts: Mapping[str, object],
    models: Sequence[Answering],
    found: Mapping[str, Intervals],
) -> None:
    """Every figure as JSON; `facts` are what the task has to say of the data."""
    figures = {
        "data": portable(data),
        "part": part,
        **facts,
        "digests": [model.digest for model in models],
        "models": {name: as_json(one) for name, one in found.items()},
    }
    out.write_text(json.dumps(figures, indent=1) + "\n")
