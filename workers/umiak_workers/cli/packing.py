"""A trained network as an artefact: exported, described, recognisable by its answer to one photo."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.contract.artefact import Architecture, Card, DataSource, InputSpec, OutputSpec
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.messages import Task
from umiak_workers.contract.wire import explain
from umiak_workers.core.model import Model
from umiak_workers.models.build import LAYER_SETS, state_tensors
from umiak_workers.models.export import export_graph
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.onnx_graph import spare_tensors, strip

OURS = "Apache-2.0"
NOT_STATED = "not stated"
"""Licences of procedural data, and of data of which nobody said one."""


@dataclass(frozen=True)
class Facts:
    """What a card says that the network itself does not."""

    name: str
    task: Task
    classes: tuple[str, ...]
    architecture: Architecture
    size: tuple[int, int]
    """Height and width of the input in pixels."""
    data: tuple[str, ...]
    """Its names, without what belongs to one machine."""
    licence: str
    made_by: str


@dataclass(frozen=True)
class Packed:
    """An artefact that is not written yet, so that what is scored is what will be delivered."""

    card: Card
    graph: bytes
    weights: dict[str, NDArray[Any]]

    def write(self, out: Path, metrics: dict[str, float], image: NDArray[np.uint8]) -> str:
        """Write the folder with these figures; its digest. `image` HxWx3 uint8 becomes the golden input."""
        card = self.card.with_metrics(metrics, self.card.made_by)
        golden = record_golden(card, self.graph, self.weights, image)
        return write_artefact(out, card, self.graph, self.weights, golden)


def described(facts: Facts) -> Card:
    """The card before anything is measured; raises ConfigError that names what it cannot say, before any training."""
    try:
        return Card(
            name=facts.name,
            task=facts.task,
            classes=facts.classes,
            input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=facts.size[0], width=facts.size[1]),
            outputs=OutputSpec(logits="logits"),
            architecture=facts.architecture,
            data=tuple(DataSource(name=name, licence=facts.licence) for name in facts.data),
            licence=facts.licence,
            layer_sets=LAYER_SETS.get(facts.architecture.name, {}),
            made_by=facts.made_by,
        )
    except ValidationError as error:
        raise ConfigError(f"the model's card: {explain(error)}") from error


def packed(network: nn.Module, card: Card) -> Packed:
    """Export a trained network whose graph answers logits alone."""
    weights = state_tensors(network)
    exported = export_graph(network, card.input.height, card.input.width)
    card = card.model_copy(update={"training_only": spare_tensors(exported, weights)})
    return Packed(card, strip(exported, weights), weights)


def begun_with(network: nn.Module, model: Model) -> int:
    """Take over the tensors that both have, by name and shape; how many. Raises ConfigError where there are none.

    So an EdgeNet starts with its CloudNet's layers (seed 000, section 4), a detector with a segmenter's encoder.
    """
    own = network.state_dict()
    shared = {
        name: torch.tensor(value)
        for name, value in model.weights.items()
        if name in own and tuple(own[name].shape) == value.shape and not name.endswith("num_batches_tracked")
    }
    if not shared:
        raise ConfigError(f"--start: {model.card.name} has no tensor of the same name and shape")
    network.load_state_dict({**own, **shared})
    return len(shared)
