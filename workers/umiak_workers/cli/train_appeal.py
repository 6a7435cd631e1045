"""`umiak train appeal`: give an edge model a second head that says where the cloud would do better."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.adapters.modelstore import named_model
from umiak_workers.cli.made_by import command_line, short
from umiak_workers.cli.watch import ready
from umiak_workers.cloud.think import joined
from umiak_workers.contract.artefact import Architecture, Card
from umiak_workers.contract.config import Codec, Fusion
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.codec import decoded, encode_upload
from umiak_workers.core.model import Model
from umiak_workers.datasets.sample import Dataset, Joined, Sample, Span, walk
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.models.appeal import AppealNet, Lessons, fit_head, outcome_shares
from umiak_workers.models.batches import PHOTOMETRIC, Light, Photometric
from umiak_workers.models.build import LAYER_SETS, build, rebuild, state_tensors
from umiak_workers.models.export import Deployed, export_graph
from umiak_workers.models.loop import Progress
from umiak_workers.models.rfnet import RFNetConfig
from umiak_workers.models.train import FitConfig, fit
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.onnx_graph import spare_tensors, strip
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.segmentation import Image, SegmentationOutput, fitted, grown_labels

console = Console()
Report = Callable[[str, float, str], None]
"""What is under way, the share of it that is done, and facts about it."""


@dataclass(frozen=True)
class Pair:
    """The two models whose disagreement is learnt, and how long each fold's copies of them train (epochs).

    The cloud labels what arrives, photos as they came or written anew by (codec, quality), by whose scores `fusion`
    says.
    """

    edge: Card
    cloud: Card
    edge_epochs: int
    cloud_epochs: int
    written: tuple[Codec, int] | None
    fusion: Fusion


def appeal(
    data: Annotated[Path, typer.Option(help="Labelled photos that both models learnt from, in order of time.")],
    edge: Annotated[str, typer.Option(help="Edge model that gets the head (folder, builtin: or file: URI).")],
    cloud: Annotated[str, typer.Option(help="The cloud's labeller (folder, builtin: or file: URI).")],
    out: Annotated[Path, typer.Option(help="The artefact folder to write.")],
    folds: Annotated[int, typer.Option(min=2, help="Parts of the data; each is answered by models of the others.")] = 3,
    edge_epochs: Annotated[int, typer.Option(min=1, help="Passes of each fold's edge model.")] = 24,
    cloud_epochs: Annotated[int, typer.Option(min=1, help="Passes of each fold's cloud model.")] = 14,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the head's own training.")] = 600,
    light: Annotated[Light, typer.Option(help="As both models were trained: their copies are.")] = "usual",
    labels: Annotated[
        Literal["labeller", "both"], typer.Option(help="Whose scores count in the cloud: the labeller's, or both.")
    ] = "labeller",
    codec: Annotated[
        Codec | None, typer.Option(help="What uploads are written as, with regions.", show_default="as photos came")
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of uploads, with --codec.")] = 40,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 1,
    resume: Annotated[Path | None, typer.Option(help="Folder to save to every minute and to go on from.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores if left out.")] = None,
) -> None:
    """Teach an edge model where its cloud would do better, from answers about photos that neither model learnt from.

    For each fold, copies of both models are trained from scratch on the other folds and answer it; so this takes about
    as long as training both models twice. Classes and weights of the edge model stay as they are. A cloud model that
    is slow to train may be stood in for by a smaller one of its kind: what is learnt is where a better model helps.

    Examples:

        umiak train appeal --data camvid/train --edge street-edge --cloud street-cloud --out street-gate

        umiak train appeal --data photos/train --edge my-edge --cloud my-cloud --out my-gate --folds 2
    """
    ready(out, threads)
    base, better = named_model(edge), named_model(cloud)
    cards = _alike(base.card, better.card)
    pair = Pair(*cards, edge_epochs, cloud_epochs, (codec, quality) if codec else None, Fusion(labels=labels))
    samples = open_dataset(str(data))
    if len(samples) < 2 * folds:
        raise ConfigError(f"{data}: {len(samples)} photos are too few for {folds} folds")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[facts]}"))
    with Bar(*columns, console=console) as bar:
        tasks: dict[str, object] = {}

        def report(what: str, done: float, facts: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=1.0, facts="")
            bar.update(tasks[what], completed=done, facts=facts)  # type: ignore[arg-type]

        lessons = out_of_fold(pair, samples, folds, School(seed, PHOTOMETRIC[light], resume, report))
        network = with_head(base, lessons, steps, seed, report)
    told = command_line(
        "appeal",
        {
            "data": portable(str(data)),
            "edge": short(edge),
            "cloud": short(cloud),
            "out": out.name,
            "folds": folds,
            "edge-epochs": edge_epochs,
            "cloud-epochs": cloud_epochs,
            "steps": steps,
            "light": light,
            "labels": labels,
            "codec": codec,
            "quality": quality if codec else None,
            "seed": seed,
        },
    )
    digest = write(network, base, f"{base.card.made_by}; {told}", samples[0], out)
    mended, spoilt = (float(lessons.outcomes[:, kind].mean()) for kind in (0, 1))
    console.print(f"{out}: {digest}")
    console.print(f"out of fold the cloud mends {mended:.2%} of the pixels and spoils {spoilt:.2%}; seed {seed}")


def architecture_of(card: Card) -> Architecture:
    """What a copy of the model is built from; raises ConfigError."""
    if card.architecture is None or card.task != "semantic-segmentation":
        raise ConfigError(f"{card.name}: a fold's copy needs a segmentation model whose card names its architecture")
    return card.architecture


def _alike(edge: Card, cloud: Card) -> tuple[Card, Card]:
    if architecture_of(edge).name != "rfnet":
        raise ConfigError(f"{edge.name}: the head is made for an rfnet, this is an {architecture_of(edge).name}")
    architecture_of(cloud)
    if edge.classes != cloud.classes:
        raise ConfigError(f"{edge.name} and {cloud.name} speak of different classes")
    return edge, cloud


@dataclass(frozen=True)
class School:
    """Where copies of a model are trained from scratch."""

    seed: int
    photometric: Photometric
    resume: Path | None
    report: Report

    def copy(self, card: Card, epochs: int, samples: Dataset, what: str) -> Deployed:
        """A fresh network of the card's architecture, taught by `samples`."""
        architecture, config = architecture_of(card), self._lessons(card, epochs, what)
        torch.manual_seed(self.seed)
        network = build(architecture.name, architecture.config)
        fit(network, samples, config, lambda now: self._say(what, now))
        return Deployed(network).eval()

    def _lessons(self, card: Card, epochs: int, what: str) -> FitConfig:
        height, width = card.input.height, card.input.width
        checkpoint = None if self.resume is None else self.resume / what.replace(" ", "-")
        crop = (height * 5 // 6, width * 5 // 6)
        return FitConfig(
            height,
            width,
            len(card.classes),
            epochs,
            batch=8,
            learning_rate=4e-3,
            seed=self.seed,
            crop=crop,
            photometric=self.photometric,
            checkpoint=checkpoint,
        )

    def _say(self, what: str, now: Progress) -> None:
        self.report(what, now.done, f"loss {now.loss:.3f}, {now.seconds_left:.0f} s to go")


def out_of_fold(pair: Pair, samples: Dataset, folds: int, school: School) -> Lessons:
    """What copies of both models say of photos that they did not learn from; folds are runs of neighbouring photos."""
    logits, outcomes = [], []
    for number, (held, others) in enumerate(_folds(samples, folds), start=1):
        edge = school.copy(pair.edge, pair.edge_epochs, others, f"edge without fold {number}")
        cloud = school.copy(pair.cloud, pair.cloud_epochs, others, f"cloud without fold {number}")
        for sample in walk(held):
            if sample.label is not None:
                mine = answer(edge, pair.edge, sample.image)
                size = (len(pair.edge.classes), *mine.logits.shape[1:])
                logits.append(mine.logits)
                outcomes.append(
                    outcome_shares(sample.label, mine.labels, asked(edge, cloud, pair, sample.image), *size)
                )
    if not logits:
        raise ConfigError("--data: no photo has a label")
    return Lessons(np.stack(logits), np.stack(outcomes))


def _folds(samples: Dataset, folds: int) -> Iterator[tuple[Dataset, Dataset]]:
    cuts = np.linspace(0, len(samples), folds + 1).round().astype(int).tolist()
    for start, end in itertools.pairwise(cuts):
        yield Span(samples, start, end), Joined((Span(samples, 0, start), Span(samples, end, len(samples))))


def answer(network: Deployed, card: Card, image: Image) -> SegmentationOutput:
    """What a network says of a photo, labels at the photo's size."""
    photo = np.array(fitted(image, card.input.width, card.input.height))
    with torch.inference_mode():
        logits, labels = network(torch.from_numpy(photo)[None])[:2]
    return SegmentationOutput(grown_labels(labels[0].numpy(), *image.shape[:2]), logits[0].numpy())


def asked(edge: Deployed, cloud: Deployed, pair: Pair, image: Image) -> NDArray[np.uint8]:
    """The cloud's labels of a photo as it arrives, at the photo's size."""
    arrived = decoded(encode_upload(image, *pair.written)) if pair.written else image
    mine, better = (answer(*one, arrived).logits for one in ((edge, pair.edge), (cloud, pair.cloud)))
    logits = grown_logits(joined(mine, better, pair.fusion), *image.shape[:2])
    labels: NDArray[np.uint8] = logits.argmax(axis=0).astype(np.uint8)
    return labels


def with_head(base: Model, lessons: Lessons, steps: int, seed: int, report: Report) -> AppealNet:
    """The base model with a head taught by the lessons."""
    torch.manual_seed(seed)
    network = AppealNet(RFNetConfig.model_validate(architecture_of(base.card).config))
    network.load_state_dict({**network.state_dict(), **rebuild(base.card, base.weights).state_dict()})
    fit_head(network.appeal, lessons, steps, seed, lambda done, loss: report("head", done, f"loss {loss:.4f}"))
    return network.eval()


def write(network: AppealNet, base: Model, made_by: str, sample: Sample, out: Path) -> str:
    """Export and write the artefact; its digest."""
    weights = state_tensors(network)
    exported = export_graph(network, base.card.input.height, base.card.input.width)
    card = base.card.model_copy(
        update={
            "name": out.name,
            "architecture": Architecture(name="rfnet-appeal", config=architecture_of(base.card).config),
            "outputs": base.card.outputs.model_copy(update={"appeal": "appeal"}),
            "training_only": spare_tensors(exported, weights),
            "layer_sets": LAYER_SETS["rfnet-appeal"],
            "made_by": made_by,
        }
    )
    graph = strip(exported, weights)
    return write_artefact(out, card, graph, weights, record_golden(card, graph, weights, sample.image))
