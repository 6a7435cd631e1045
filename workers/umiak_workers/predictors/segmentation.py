"""What every segmenter answers, whatever runs it, and the resizing they share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from umiak_workers.contract.artefact import Card, InputSpec
from umiak_workers.contract.errors import InvalidInput, InvalidPrediction
from umiak_workers.contract.messages import Scores
from umiak_workers.core.mask_png import encode_mask
from umiak_workers.core.model import Golden
from umiak_workers.core.scores import gate_scores, hardness

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class SegmentationOutput:
    """`labels` HxW uint8 class ids at the photo's resolution, `logits` Cxhxw float32 at the model's own.

    `appeal` hxw float32: the gain in -1..1 to expect from asking the cloud, of models that have such a head.
    """

    labels: NDArray[np.uint8]
    logits: NDArray[np.float32]
    appeal: NDArray[np.float32] | None = None

    def scores(self) -> Scores:
        """Means over the native grid; raises InvalidPrediction."""
        return gate_scores(self.logits, self.appeal)

    def payload(self) -> bytes:
        """The mask PNG."""
        return encode_mask(self.labels)

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """HxW uint8."""
        return {"labels": self.labels}

    def hardness(self, by: Literal["Margin", "Appeal"] = "Margin") -> NDArray[np.float32] | None:
        """On the native grid, by the margin of each pixel or by the appeal head; None for a model without one."""
        return self.appeal if by == "Appeal" else hardness(self.logits)


class Scored(Protocol):
    """An answer that was made from logits."""

    @property
    def logits(self) -> NDArray[np.float32]: ...


class Segmenter(Protocol):
    """A loaded model that answers photos."""

    @property
    def card(self) -> Card: ...

    @property
    def digest(self) -> str: ...

    def predict(self, image: Image) -> SegmentationOutput:
        """Answer one HxWx3 uint8 photo; raises InvalidInput or InvalidPrediction."""
        ...

    def check_golden(self) -> None:
        """Answer the golden input; raises InvalidPrediction unless the answer is the recorded one."""
        ...


def fitted(image: Image, width: int, height: int) -> Image:
    """The photo at the model's size; raises InvalidInput unless it is HxWx3 uint8."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InvalidInput(f"a photo is HxWx3 uint8, this is {image.shape} {image.dtype}")
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    return np.asarray(Pillow.fromarray(image).resize((width, height), Pillow.Resampling.BILINEAR))


def checked_logits(logits: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Cxhxw of a 1xCxhxw answer; raises InvalidPrediction for a wrong shape or non-finite numbers."""
    if logits.ndim != 4 or logits.shape[:2] != (1, classes) or logits.dtype != np.float32:
        raise InvalidPrediction(f"logits are {logits.shape} {logits.dtype}, expected 1x{classes}xhxw float32")
    if not np.isfinite(logits).all():
        raise InvalidPrediction("logits are not finite")
    native: NDArray[np.float32] = logits[0]
    return native


def checked_appeal(appeal: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """hxw of a 1xhxw answer, `size` that of the logits; raises InvalidPrediction unless all is in -1..1."""
    if appeal.shape != (1, *size) or appeal.dtype != np.float32:
        raise InvalidPrediction(f"appeal is {appeal.shape} {appeal.dtype}, expected {(1, *size)} float32")
    if not (np.abs(appeal) <= 1).all():
        raise InvalidPrediction("appeal is not within -1 and 1")
    places: NDArray[np.float32] = appeal[0]
    return places


def grown_labels(labels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Class ids at the photo's resolution, by nearest neighbour."""
    if labels.shape == (height, width):
        return labels
    return np.asarray(Pillow.fromarray(labels).resize((width, height), Pillow.Resampling.NEAREST))


def labels_of(logits: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """Class ids at the photo's resolution from Cxhxw logits: each class resized bilinearly, then the best one."""
    grown = [
        np.asarray(Pillow.fromarray(plane).resize((width, height), Pillow.Resampling.BILINEAR)) for plane in logits
    ]
    best: NDArray[np.uint8] = np.argmax(np.stack(grown), axis=0).astype(np.uint8)
    return best


def fed(image: Image, spec: InputSpec) -> NDArray[Any]:
    """The batch of one that the card's input asks for, from a photo of the model's size."""
    batch: NDArray[Any] = image[None]
    if spec.dtype == "float32":
        mean, std = np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
        batch = ((image[None].astype(np.float32) / 255 - mean) / std).astype(np.float32)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) if spec.layout == "NCHW" else batch


def check_golden(answer: "Scored", golden: Golden) -> None:
    """Compare the answer to a golden input; raises InvalidPrediction unless every logit is within the tolerance."""
    if answer.logits.shape != golden.logits.shape:
        raise InvalidPrediction(f"golden input: logits are {answer.logits.shape}, recorded were {golden.logits.shape}")
    worst = float(np.abs(answer.logits - golden.logits).max())
    if not worst <= golden.tolerance:
        raise InvalidPrediction(f"golden input: a logit is off by {worst:.4g}, allowed is {golden.tolerance:.4g}")
