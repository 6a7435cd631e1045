"""What the cloud thinks of one photo: pixel scores, masks that vote on them, and how sure the result is.

Seed 001, 3.1 steps 6-7 and 3.2. Pixel scores come from the labeller where there is one, else from the edge model that
the upload names; the masks come from a promptable segmenter, asked about the areas that the pixel scores show.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image as Pillow

from umiak_workers.cloud.cache import Cache
from umiak_workers.cloud.question import Question
from umiak_workers.cloud.regions import cut
from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.whole import same_classes
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import InvalidPrediction, Refused
from umiak_workers.contract.messages import Box, Region, Scores
from umiak_workers.core.label import Labelled, Rule, label_masks, softmax, together
from umiak_workers.core.masks import prompts_from
from umiak_workers.predictors.answering import Answering
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.promptable import Embedding, Masks, Promptable
from umiak_workers.predictors.segmentation import SegmentationOutput
from umiak_workers.predictors.views import viewed

WORKING_PIXELS = 1_000_000
"""Larger photos are thought about at this size; labels are then grown to the photo's own."""
UNCERTAIN = 0.2
"""Lead of the best class below which a pixel is asked about by points alone."""
CACHE_BYTES = 64 * 1024 * 1024
log = structlog.get_logger()


@dataclass(frozen=True)
class Opinion:
    """`labels` HxW uint8 (photo's size, VOID = no opinion), `probability` hxw float32 of those labels (working size).

    `scores` are the edge model's own; `models` says who took part (role -> digest); `masks` how many masks decided.
    """

    labels: NDArray[np.uint8]
    probability: NDArray[np.float32]
    scores: Scores
    models: dict[str, str]
    masks: int

    @property
    def nbytes(self) -> int:
        """Memory held, roughly."""
        return int(self.labels.nbytes + self.probability.nbytes) + 1024

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photo in pixels."""
        return self.labels.shape[0], self.labels.shape[1]

    def answers(self, boxes: Sequence[Box]) -> tuple[tuple[Region, ...], tuple[bytes, ...]]:
        """(regions, their label PNGs)."""
        return cut(self, boxes)


class Thinker:
    """The cloud's own models and how their answers are joined. For one thread at a time."""

    def __init__(self, labeller: Answering | None, sam: Promptable | None, fusion: Fusion) -> None:
        self._labeller, self._sam, self._fusion = labeller, sam, fusion
        self.embeddings: Cache[Embedding] = Cache(CACHE_BYTES)

    def think(self, name: str, image: NDArray[np.uint8], edge: Answering, stages: Stages) -> Opinion:
        """The opinion on a single photo; see Question and think_all."""
        return self.think_all([Question(name, image, edge, stages)])[0]()

    def think_all(self, questions: Sequence[Question]) -> Sequence[Callable[[], Opinion]]:
        """See Mind.think_all: photos are embedded together. A labeller or promptable segmenter that cannot answer is
        left out."""
        embeddings = self._embeddings(self._sam, questions) if self._sam else [None] * len(questions)
        return [partial(self._opinion, *both) for both in zip(questions, embeddings, strict=True)]

    def _opinion(self, question: Question, embedding: Embedding | None) -> Opinion:
        image, edge, stages = question.image, question.edge, question.stages
        if self._labeller is not None:
            same_classes(edge, self._labeller)
        models = {"edge": edge.digest}
        with stages.timed("edge"):
            seen = _scored(edge, image)
            logits, scores = seen.logits, seen.scores()
        if self._labeller is not None:
            with stages.timed("labeller"):
                better = self._labelled(self._labeller, image)
            if better is not None:
                logits = joined(logits, better, self._fusion)
                models["labeller"] = self._labeller.digest
        height, width = working_size(*image.shape[:2])
        grown = grown_logits(logits, height, width)
        masks = self._masks(embedding, grown, stages)
        if masks is not None and self._sam is not None:
            models["sam"] = self._sam.digest
        with stages.timed("vote"):
            labelled = vote(grown, masks, self._fusion, height * width / (image.shape[0] * image.shape[1]))
            labels = _at_size(labelled.labels, image.shape[0], image.shape[1])
        return Opinion(labels, labelled.probability, scores, models, labelled.masks)

    def _agrees(self, edge: Answering) -> bool:
        return self._labeller is None or edge.card.classes == self._labeller.card.classes

    def _labelled(self, labeller: Answering, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        try:
            return viewed(lambda view: _said(labeller, view).logits, image, self._fusion.views)
        except InvalidPrediction as error:
            log.warning("the labeller is left out", reason=str(error))
            return None

    def _masks(self, embedding: Embedding | None, logits: NDArray[np.float32], stages: Stages) -> Masks | None:
        if self._sam is None or embedding is None:
            return None
        try:
            with stages.timed("sam_decode"):
                return ask(self._sam, embedding, logits, self._fusion)
        except InvalidPrediction as error:
            log.warning("masks are left out", reason=str(error))
            return None

    def _embeddings(self, sam: Promptable, questions: Sequence[Question]) -> list[Embedding | None]:
        found: dict[str | int, Embedding | None] = {}
        missing: dict[str | int, Question] = {}
        for number, one in enumerate(questions):
            with one.stages.timed("sam_encode"):
                known = self.embeddings.get(one.name) if one.name else None
            if known is not None:
                found[one.name] = known
            elif self._agrees(one.edge):  # the others are refused when it is their turn
                missing.setdefault(one.name or number, one)
        begun = time.perf_counter()
        made = embedded(sam, [one.image for one in missing.values()])
        took = (time.perf_counter() - begun) * 1000
        for (name, one), embedding in zip(missing.items(), made, strict=True):
            found[name] = embedding
            if one.name and embedding is not None:
                self.embeddings.put(one.name, embedding, int(embedding.features.nbytes))
        for number, one in enumerate(questions):
            if (one.name or number) in missing:
                one.stages.add("sam_encode", took)  # everybody waited for all of them
        return [found.get(one.name or number) for number, one in enumerate(questions)]


def embedded(sam: Promptable, images: Sequence[NDArray[np.uint8]]) -> list[Embedding | None]:
    """Photos embedded in one pass; None for one that cannot be, which the others do not suffer from."""
    if not images:
        return []
    try:
        return list(sam.encode_all(images))
    except (InvalidPrediction, MemoryError, RuntimeError) as error:  # torch: out of memory is a RuntimeError
        if len(images) > 1:
            return [embedding for image in images for embedding in embedded(sam, [image])]
        if not isinstance(error, InvalidPrediction):
            raise
        log.warning("masks are left out", reason=str(error))
        return [None]


def joined(edge: NDArray[np.float32], labeller: NDArray[np.float32], fusion: Fusion) -> NDArray[np.float32]:
    """Whose scores decide: the labeller's alone, or both models' at the finer of their sizes."""
    if fusion.labels == "labeller":
        return labeller
    height, width = max(edge.shape[1], labeller.shape[1]), max(edge.shape[2], labeller.shape[2])
    return together(grown_logits(edge, height, width), grown_logits(labeller, height, width))


def _scored(edge: Answering, image: NDArray[np.uint8]) -> SegmentationOutput:
    try:
        return _said(edge, image)
    except InvalidPrediction as error:
        raise Refused(f"edge model {edge.digest} cannot answer this photo: {error}", 422) from error


def _said(model: Answering, image: NDArray[np.uint8]) -> SegmentationOutput:
    said = model.predict(image)
    if not isinstance(said, SegmentationOutput):
        raise InvalidPrediction(f"{model.card.name} is a {model.card.task} model")
    return said


def ask(sam: Promptable, embedding: Embedding, logits: NDArray[np.float32], fusion: Fusion) -> Masks:
    """Masks (size of `logits`, CxHxW) of the areas that these pixel scores show; coordinates go by the photo's size."""
    height, width = logits.shape[1:]
    scale = height / embedding.height
    area = max(1, round(fusion.minimum_area * scale * scale))
    prompts = prompts_from(softmax(logits), fusion.prompts, area, UNCERTAIN)
    grown = tuple(prompt.scaled(embedding.width / width, embedding.height / height) for prompt in prompts)
    return sam.decode(embedding, grown, height, width)


def vote(logits: NDArray[np.float32], masks: Masks | None, fusion: Fusion, shrunk: float) -> Labelled:
    """Labels at the size of `logits`; `shrunk` is the share of the photo's pixels that are left at that size."""
    rule = Rule(
        vote=fusion.vote,
        minimum_area=round(fusion.minimum_area * shrunk),
        margin=fusion.margin,
        minimum_quality=fusion.minimum_quality,
        certain=fusion.certain,
    )
    if masks is None:
        none = np.zeros((0, *logits.shape[1:]), dtype=bool)
        return label_masks(logits, none, np.zeros(0, np.float32), rule)
    return label_masks(logits, masks.masks, masks.quality, rule)


def working_size(height: int, width: int) -> tuple[int, int]:
    """The photo's own size, or a smaller one of the same shape with at most WORKING_PIXELS."""
    scale = min(1.0, math.sqrt(WORKING_PIXELS / (height * width)))
    return max(1, int(height * scale)), max(1, int(width * scale))


def _at_size(labels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if labels.shape == (height, width):
        return labels
    return np.asarray(Pillow.fromarray(labels).resize((width, height), Pillow.Resampling.NEAREST))
