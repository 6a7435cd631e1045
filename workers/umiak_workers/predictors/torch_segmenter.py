"""The same segmenter on torch, for the cloud's GPU and for a training Job that judges its own candidate."""

import numpy as np
import torch
from numpy.typing import NDArray

from umiak_workers.contract.errors import ArtefactError
from umiak_workers.core.model import Model
from umiak_workers.models.build import rebuild
from umiak_workers.models.export import Deployed
from umiak_workers.predictors.segmentation import (
    Image,
    SegmentationOutput,
    check_golden,
    checked_appeal,
    checked_logits,
    fitted,
    grown_labels,
)


class TorchSegmenter:
    """A model of an artefact whose card names an architecture; raises ArtefactError otherwise."""

    def __init__(self, model: Model, device: str) -> None:
        if model.card.input.dtype != "uint8" or model.card.input.layout != "NHWC":
            raise ArtefactError(f"{model.card.name}: torch runs models whose input is an NHWC uint8 photo")
        self.card = model.card
        self.digest = model.digest
        self._golden = model.golden
        self._device = torch.device(device)
        self._network = Deployed(rebuild(model.card, model.weights)).eval().to(self._device)

    def predict(self, image: Image) -> SegmentationOutput:
        """Answer one HxWx3 uint8 photo of any size; raises InvalidInput or InvalidPrediction."""
        spec = self.card.input
        photo = np.array(fitted(image, spec.width, spec.height))
        with torch.inference_mode():
            logits, labels, *more = self._network(torch.from_numpy(photo)[None].to(self._device))
        answer: NDArray[np.float32] = logits.cpu().numpy()
        height, width = image.shape[:2]
        found = grown_labels(labels[0].cpu().numpy(), height, width)
        appeal = checked_appeal(more[0].cpu().numpy(), answer.shape[2:]) if more else None
        return SegmentationOutput(found, checked_logits(answer, len(self.card.classes)), appeal)

    def check_golden(self) -> None:
        """Answer the golden input; raises InvalidPrediction unless the answer is the recorded one."""
        check_golden(self.predict(self._golden.image), self._golden)
