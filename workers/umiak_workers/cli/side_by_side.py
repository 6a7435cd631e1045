"""One model or two on labelled photos, and what two are worth together: answers fused, and hard photos alone asked.

Neither edge nor cloud fuses boxes or joints, since the cloud's answer alone was better
(`docs/adr/0015-an-answers-payload-goes-by-its-task.md`); that column is there to compare.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.cli.intervals import Intervals, as_json
from umiak_workers.contract.config import Miner, MinerRule
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.messages import Scores
from umiak_workers.contract.wire import explain
from umiak_workers.core.budget import Upload
from umiak_workers.core.judge import Judge, judge, new_judge
from umiak_workers.core.model import Model
from umiak_workers.datasets.sample import Indexed
from umiak_workers.datasets.source import portable
from umiak_workers.predictors.answering import Answering, Said

FUSED = "both, fused"
Part = Annotated[
    Literal["val", "train", "all"],
    typer.Option(help="Which photos of a folder: every fifth run of 20 neighbouring files is val."),
]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Seed = Annotated[int, typer.Option(help="Of the bootstrap.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")]

Rule = Annotated[
    Miner | None, typer.Option("--miner", help="With two models: a column in which hard photos alone go to the cloud.")
]
Threshold = Annotated[float | None, typer.Option(min=0, max=1, help="Hardness above which a photo is hard.")]
Budget = Annotated[float | None, typer.Option(min=0, max=1, help="Share of photos that may be hard, instead.")]


class Pictured(Protocol):
    """A labelled photo: its image HxWx3 uint8."""

    @property
    def image(self) -> NDArray[np.uint8]: ...


@dataclass
class Gate:
    """The router's own rule over photos in their order, and how many it called hard."""

    state: Judge
    rng: np.random.Generator
    seen: int = 0
    hard: int = 0

    def is_hard(self, scores: Scores) -> bool:
        """Whether the edge model's scores of the next photo say so."""
        upload = Upload(1, float(self.seen))
        verdict, self.state = judge(self.state, scores, upload, self.rng.random)
        self.seen, self.hard = self.seen + 1, self.hard + (verdict is not None)
        return verdict is not None


M = TypeVar("M", bound=Answering)
Photo = TypeVar("Photo", bound=Pictured)
Answer = TypeVar("Answer")
Score = TypeVar("Score")


def one_or_two(names: Sequence[str], load: Callable[[Model, int], M], threads: int) -> list[M]:
    """The models; raises ConfigError for more."""
    if len(names) > 2:
        raise ConfigError(f"{len(names)} models; give an edge model, or an edge and a cloud model")
    return [load(named_model(name), threads) for name in names]


def gate(models: Sequence[Answering], seed: int, rule: Mapping[str, object]) -> Gate | None:
    """What `rule` (fields of MinerRule) says, None for one without a miner; raises ConfigError as a resource would."""
    if rule["miner"] is None:
        if any(value is not None for value in rule.values()):
            raise ConfigError("--miner: say which rule these numbers are for")
        return None
    if len(models) < 2:
        raise ConfigError("--miner: hard photos go to a cloud model, name one after the edge model")
    try:
        return Gate(new_judge((MinerRule.model_validate(rule),)), np.random.default_rng(seed))
    except ValidationError as error:
        told = explain(error).removeprefix("(root): Value error, ")
        raise ConfigError(f"--miner {rule['miner']}: {told}") from error


def side_by_side(
    models: Sequence[Answering],
    samples: Indexed[Photo],
    answer: Callable[[Said], Answer],
    fuse: Callable[[Answer, Answer], Answer],
    score: Callable[[Answer, Photo], Score],
    console: Console,
    rule: Gate | None = None,
) -> dict[str, list[Score]]:
    """Photo by photo the score of each model by its name; with two of them of both answers fused, and by `rule`."""
    rows: list[list[Score]] = []
    for index in track(range(len(samples)), "photos", console=console, transient=True):
        photo = samples[index]
        said = [model.predict(photo.image) for model in models]
        answers = [answer(one) for one in said]
        if len(models) == 2:
            answers.append(fuse(answers[0], answers[1]))
        if rule is not None:
            answers.append(answers[1 if rule.is_hard(said[0].scores()) else 0])
        rows.append([score(one, photo) for one in answers])
    return {name: list(column) for name, column in zip(_columns(models, rule), zip(*rows, strict=True), strict=True)}


def _columns(models: Sequence[Answering], rule: Gate | None) -> list[str]:
    names = [model.card.name for model in models]
    if len(set(names)) != len(names):
        names = ["edge", "cloud"]
    asked = [] if rule is None else [f"of hard ones ({rule.hard / max(1, rule.seen):.0%}) the cloud's"]
    return [*names, FUSED, *asked] if len(models) == 2 else names


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
