"""Every architecture by name, so that a model's card is enough to build the module its weights fit."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError
from torch import nn

from umiak_workers.contract.artefact import Card
from umiak_workers.contract.errors import ArtefactError
from umiak_workers.contract.wire import explain
from umiak_workers.core.model import Tensors
from umiak_workers.models.appeal import AppealNet
from umiak_workers.models.boxnet import BoxNet, BoxNetConfig
from umiak_workers.models.classifier import Classifier, ClassifierConfig
from umiak_workers.models.jointnet import JointNet, JointNetConfig
from umiak_workers.models.rfnet import RFNet, RFNetConfig

MEAN = (0.45, 0.45, 0.45)
STD = (0.25, 0.25, 0.25)
"""How every network of this room wants photos normalised: (photo / 255 - MEAN) / STD per channel."""


def build_rfnet(config: Mapping[str, JsonValue]) -> nn.Module:
    """RFNet from a card's config; raises ArtefactError that names the field."""
    try:
        return RFNet(RFNetConfig.model_validate(dict(config)))
    except ValidationError as error:
        raise ArtefactError(f"architecture rfnet: {explain(error)}") from error


def build_appeal(config: Mapping[str, JsonValue]) -> nn.Module:
    """RFNet with an appeal head, from the same config; raises ArtefactError that names the field."""
    try:
        return AppealNet(RFNetConfig.model_validate(dict(config)))
    except ValidationError as error:
        raise ArtefactError(f"architecture rfnet-appeal: {explain(error)}") from error


def build_classifier(config: Mapping[str, JsonValue]) -> nn.Module:
    """A `Classifier` from a card's config; raises ArtefactError that names the field."""
    try:
        return Classifier(ClassifierConfig.model_validate(dict(config)))
    except ValidationError as error:
        raise ArtefactError(f"architecture classifier: {explain(error)}") from error


def build_boxnet(config: Mapping[str, JsonValue]) -> nn.Module:
    """A detector from a card's config; raises ArtefactError that names the field."""
    try:
        return BoxNet(BoxNetConfig.model_validate(dict(config)))
    except ValidationError as error:
        raise ArtefactError(f"architecture boxnet: {explain(error)}") from error


def build_jointnet(config: Mapping[str, JsonValue]) -> nn.Module:
    """A key point network from a card's config; raises ArtefactError that names the field."""
    try:
        return JointNet(JointNetConfig.model_validate(dict(config)))
    except ValidationError as error:
        raise ArtefactError(f"architecture jointnet: {explain(error)}") from error


def build_promptable(config: Mapping[str, JsonValue]) -> nn.Module:
    """A `Sam` from a card's config; raises ArtefactError that names the field."""
    from umiak_workers.models.sam import build_sam  # only the cloud's installation has segment-anything

    built: nn.Module = build_sam(config)
    return built


BUILDERS: dict[str, Callable[[Mapping[str, JsonValue]], nn.Module]] = {
    "rfnet": build_rfnet,
    "rfnet-appeal": build_appeal,
    "classifier": build_classifier,
    "boxnet": build_boxnet,
    "jointnet": build_jointnet,
    "sam": build_promptable,
}
LAYER_SETS: dict[str, dict[str, tuple[str, ...]]] = {
    "rfnet": dict(RFNet.LAYER_SETS),
    "classifier": dict(Classifier.LAYER_SETS),
    "rfnet-appeal": {**RFNet.LAYER_SETS, "appeal": ("appeal.",)},
    "boxnet": dict(BoxNet.LAYER_SETS),
    "jointnet": dict(JointNet.LAYER_SETS),
}


def build(name: str, config: Mapping[str, JsonValue]) -> nn.Module:
    """A fresh module; raises ArtefactError for a name nobody knows."""
    if name not in BUILDERS:
        raise ArtefactError(f"no architecture is called {name!r}; there are {', '.join(sorted(BUILDERS))}")
    return BUILDERS[name](config)


def rebuild(card: Card, weights: Tensors) -> nn.Module:
    """The card's module with its trained weights, in evaluation mode; raises ArtefactError where they do not fit."""
    if card.architecture is None:
        raise ArtefactError(f"{card.name}: the card names no architecture, so the model can answer but not be trained")
    module = build(card.architecture.name, card.architecture.config)
    state = {name: torch.from_numpy(np.array(tensor)) for name, tensor in weights.items()}
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ArtefactError(f"{card.name}: {str(error).splitlines()[-1].strip()}") from error
    return module.eval()


def state_tensors(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """The module's state_dict as arrays, by its own tensor names."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}
