"""A candidate as an artefact: the base's graph and card with new weights, measured as an edge will run it."""

from pathlib import Path

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.contract.artefact import Card, DataSource
from umiak_workers.contract.config import TrainerConfig
from umiak_workers.contract.errors import ArtefactError
from umiak_workers.core.metrics import mean_iou
from umiak_workers.core.model import Model, Tensors
from umiak_workers.core.promotion import Measured
from umiak_workers.datasets.sample import Listed
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.onnx import OnnxGraph
from umiak_workers.predictors.scoring import total_counts
from umiak_workers.trainer.material import Material

PHOTOS_LICENCE = "of whoever owns the photos"


def measure(base: Model, weights: Tensors, material: Material, threads: int) -> Measured:
    """mIoU of base and candidate on both holdouts, on ONNX Runtime like an edge, at the photos' resolution.

    A class that only the predictions hold does not count; not-a-number where a holdout has no labelled pixel.
    """
    replay, guard = Listed(material.replay_held_back), Listed(material.base_held_back)
    before = OnnxGraph(base.card, base.graph, base.weights, threads)
    after = OnnxGraph(base.card, base.graph, weights, threads)
    return Measured(
        replay_base=mean_iou(total_counts(before, replay)),
        replay_candidate=mean_iou(total_counts(after, replay)),
        base_base=mean_iou(total_counts(before, guard)),
        base_candidate=mean_iou(total_counts(after, guard)),
    )


def write_candidate(folder: Path, base: Model, weights: Tensors, card: Card) -> str:
    """Write the artefact (the graph is the base's: the architecture is the same) and return its digest."""
    golden = record_golden(card, base.graph, weights, base.golden.image)
    return write_artefact(folder, card, base.graph, weights, golden)


def candidate_card(base: Model, config: TrainerConfig, measured: Measured, learnt: int) -> Card:
    """The base's card with what was learnt since, its figures and what made it."""
    place = f"replay of {config.namespace}/{config.joint_inference}"
    learnt_from = DataSource(
        name=f"{place}: {learnt} photos with the cloud's answers, up to position {config.watermark}",
        licence=PHOTOS_LICENCE,
    )
    kept = tuple(source for source in base.card.data if not source.name.startswith(f"{place}:"))
    card = base.card.model_copy(update={"data": (*kept, learnt_from), "base_data": config.base_data})
    metrics = {name: round(value, 4) for name, value in measured.metrics().items()}
    return card.with_metrics(metrics, f"umiak trainer, round {config.round}, base {config.base}, seed {config.seed}")


def check_trainable(model: Model) -> None:
    """Raise ArtefactError for a model that can answer but not be trained here."""
    spec = model.card.input
    if model.card.task != "semantic-segmentation":
        raise ArtefactError(
            f"{model.card.name} is a {model.card.task} model; only semantic-segmentation is learnt here"
        )
    if model.card.architecture is None:
        raise ArtefactError(f"{model.card.name}: its card names no architecture, so it can answer but not be trained")
    if spec.dtype != "uint8" or spec.layout != "NHWC":
        raise ArtefactError(f"{model.card.name}: only models that take the photo as NHWC uint8 are trained here")
