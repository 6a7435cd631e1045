"""How a model is made from data: one recipe in, one artefact out. The built-in models are recipes kept here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.contract.artefact import Architecture, Card, DataSource, InputSpec, OutputSpec
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.metrics import Counts, class_iou, mean_iou
from umiak_workers.core.model import Model
from umiak_workers.datasets.sample import Chosen, Dataset, Joined, Span, sequences
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.datasets.yard import CLASSES, PALETTE, VOID
from umiak_workers.models.batches import Photometric
from umiak_workers.models.build import LAYER_SETS, build, rebuild, state_tensors
from umiak_workers.models.export import export_graph
from umiak_workers.models.loop import FitReport, Progress
from umiak_workers.models.train import FitConfig, fit
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.onnx import OnnxGraph
from umiak_workers.predictors.onnx_graph import spare_tensors, strip
from umiak_workers.predictors.scoring import total_counts

HELD_BACK = 0.2
"""Share of each data set that is reported on and not trained on where there is no validation set."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a model: data, classes, architecture, training, and what its card says."""

    name: str
    data: tuple[str, ...]
    validation: tuple[str, ...]
    """Data sets to report on; with none, the last part of each of `data` is held back from training for it."""
    classes: tuple[str, ...]
    void: int
    palette: tuple[tuple[int, int, int], ...]
    architecture: Architecture
    fit: FitConfig
    sources: tuple[DataSource, ...]
    licence: str
    base_data: str | None
    made_by: str
    start: Model | None = None
    """Weights to go on from instead of random ones; of the same architecture."""
    then: tuple[FitConfig, ...] = ()
    """Further passes after `fit`, for example on larger crops once small ones taught the basics."""
    left_out: str | None = None
    """A sequence of `data` that is reported on and not trained on, instead of `validation`."""


@dataclass(frozen=True)
class Made:
    """What making it gave: the artefact's digest, how each fit went, and confusion counts per validation set."""

    digest: str
    reports: tuple[FitReport, ...]
    parameters: int
    scores: dict[str, Counts]


def make(recipe: Recipe, out: Path, progress: Callable[[Progress], None]) -> Made:
    """Train, export, score as delivered (ONNX, at the photo's resolution) and write the artefact folder `out`."""
    torch.manual_seed(recipe.fit.seed)
    network = begun(recipe)
    samples, validation = lessons(recipe)
    reports = tuple(fit(network, samples, config, progress) for config in phases(recipe))
    weights = state_tensors(network)
    exported = export_graph(network, recipe.fit.height, recipe.fit.width)
    card = _card(recipe, spare_tensors(exported, weights))
    graph = strip(exported, weights)
    image = next(iter(validation.values()))[0].image
    segmenter = OnnxGraph(card, graph, weights, threads=1)
    scores = {name: total_counts(segmenter, part) for name, part in validation.items()}
    metrics = {f"miou[{portable(uri)}]": round(mean_iou(counts), 4) for uri, counts in scores.items()}
    card = card.with_metrics(metrics, recipe.made_by)
    digest = write_artefact(out, card, graph, weights, record_golden(card, graph, weights, image))
    parameters = sum(tensor.numel() for tensor in network.parameters())
    return Made(digest, reports, parameters, scores)


def begun(recipe: Recipe) -> nn.Module:
    """The network before its first lesson; raises ConfigError where `start` is another architecture.

    Whether photos are standardised may differ: that has no weights.
    """
    if recipe.start is None:
        return build(recipe.architecture.name, recipe.architecture.config)
    card = recipe.start.card
    if _shape(card.architecture) != _shape(recipe.architecture) or card.classes != recipe.classes:
        told = card.architecture.config if card.architecture else "no architecture"
        raise ConfigError(
            f"--start: {card.name} has {told} for {len(card.classes)} classes, asked for is "
            f"{recipe.architecture.config} for {len(recipe.classes)}"
        )
    return rebuild(card.model_copy(update={"architecture": recipe.architecture}), recipe.start.weights)


def _shape(architecture: Architecture | None) -> dict[str, object] | None:
    """What weights must fit."""
    if architecture is None:
        return None
    return {"name": architecture.name, **architecture.config, "standardise": None}


def lessons(recipe: Recipe) -> tuple[Dataset, dict[str, Dataset]]:
    """(what is trained on, what is reported on by name); raises ConfigError for too few photos to hold any back."""
    parts = {uri: open_dataset(uri) for uri in recipe.data}
    if recipe.left_out is not None:
        others, held = without(Joined(tuple(parts.values())), recipe.left_out)
        return others, {f"sequence {recipe.left_out}": held}
    if recipe.validation:
        return Joined(tuple(parts.values())), {uri: open_dataset(uri) for uri in recipe.validation}
    training: list[Dataset] = []
    validation: dict[str, Dataset] = {}
    for uri, part in parts.items():
        cut = len(part) - max(1, round(len(part) * HELD_BACK))
        if cut < 1:
            raise ConfigError(f"{uri}: too few photos to hold any back; name others with --val")
        training.append(Span(part, 0, cut))
        validation[f"{uri}, last {HELD_BACK:.0%}"] = Span(part, cut, len(part))
    return Joined(tuple(training)), validation


def without(samples: Dataset, sequence: str) -> tuple[Dataset, Dataset]:
    """(all samples of other sequences, those of this one)."""
    held = sequences(samples)[sequence]
    return Chosen(samples, tuple(sorted(set(range(len(samples))) - set(held)))), Chosen(samples, held)


def phases(recipe: Recipe) -> tuple[FitConfig, ...]:
    """The fits of a recipe in order, each with a checkpoint folder of its own."""
    home = recipe.fit.checkpoint
    later = [
        replace(config, checkpoint=None if home is None else home / f"phase-{number}")
        for number, config in enumerate(recipe.then, start=2)
    ]
    return (recipe.fit, *later)


def iou_by_class(recipe: Recipe, counts: Counts) -> dict[str, float]:
    """IoU of every class that the labels hold."""
    pairs = zip(recipe.classes, class_iou(counts).tolist(), strict=True)
    return {name: value for name, value in pairs if value == value}


def _card(recipe: Recipe, training_only: tuple[str, ...]) -> Card:
    return Card(
        name=recipe.name,
        classes=recipe.classes,
        void=recipe.void,
        palette=recipe.palette,
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=recipe.fit.height, width=recipe.fit.width),
        outputs=OutputSpec(logits="logits", labels="labels"),
        architecture=recipe.architecture,
        data=recipe.sources,
        licence=recipe.licence,
        base_data=recipe.base_data,
        training_only=training_only,
        layer_sets=LAYER_SETS.get(recipe.architecture.name, {}),
        made_by=recipe.made_by,
    )


def yard_edge() -> Recipe:
    """The small model: day and clear weather only, so that dusk is news to it."""
    data = ("yard:day?seed=101&frames=700&shot=1",)
    return Recipe(
        name="yard-edge",
        data=data,
        validation=("yard:day?seed=201&frames=200", "yard:dusk?seed=202&frames=200"),
        classes=CLASSES,
        void=VOID,
        palette=PALETTE,
        architecture=Architecture(
            name="rfnet", config={"classes": len(CLASSES), "width": 16, "decoder": 32, "blocks": 1}
        ),
        fit=FitConfig(
            height=192,
            width=256,
            classes=len(CLASSES),
            epochs=11,
            batch=8,
            learning_rate=4e-3,
            seed=1,
            crop=(160, 208),
            photometric=Photometric(brightness=0.45, contrast=0.35, colour=0.12, noise=6.0),
        ),
        sources=(_yard_source(data, ("day", "clear")),),
        licence="Apache-2.0",
        base_data="yard:day?seed=101&frames=300&shot=1",
        made_by="umiak train builtin yard-edge",
    )


def yard_cloud() -> Recipe:
    """The larger labeller: full resolution, every light and weather."""
    data = (
        "yard:day?seed=111&frames=400&shot=1",
        "yard:dusk?seed=112&frames=450&shot=1",
        "yard:day?seed=113&frames=120&shot=1&weather=rain",
        "yard:day?seed=114&frames=120&shot=1&weather=fog",
        "yard:dusk?seed=115&frames=80&shot=1&weather=rain",
        "yard:dusk?seed=116&frames=80&shot=1&weather=fog",
        "yard:night?seed=117&frames=100&shot=1",
    )
    small_crops = FitConfig(
        height=240,
        width=320,
        classes=len(CLASSES),
        epochs=7,
        batch=8,
        learning_rate=4e-3,
        seed=1,
        crop=(160, 208),
    )
    return Recipe(
        name="yard-cloud",
        data=data,
        validation=("yard:day?seed=201&frames=200", "yard:dusk?seed=202&frames=200"),
        classes=CLASSES,
        void=VOID,
        palette=PALETTE,
        architecture=Architecture(
            name="rfnet", config={"classes": len(CLASSES), "width": 32, "decoder": 48, "blocks": 1}
        ),
        fit=small_crops,
        then=(replace(small_crops, epochs=6, seed=2, learning_rate=3e-3, crop=(200, 264)),),
        sources=(_yard_source(data, ("day", "dusk", "night", "clear", "rain", "fog")),),
        licence="Apache-2.0",
        base_data=None,
        made_by="umiak train builtin yard-cloud",
    )


BUILTIN: dict[str, Callable[[], Recipe]] = {"yard-edge": yard_edge, "yard-cloud": yard_cloud}


def _yard_source(data: tuple[str, ...], saw: tuple[str, ...]) -> DataSource:
    return DataSource(name=f"procedural yard scenes: {', '.join(data)}", licence="Apache-2.0", saw=saw)
