"""From pixels to an answer: labels and gate scores of one photo, timed. Runs in an inference thread."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.adapters.photo import decode_photo, encode_mask
from umiak_workers.contract.config import EdgeConfig
from umiak_workers.contract.messages import PredictionHeader, Scores
from umiak_workers.core.scores import gate_scores
from umiak_workers.predictors.segmentation import Segmenter


@dataclass(frozen=True)
class Seen:
    """`labels` HxW uint8, the gate scores, and how long the model took (milliseconds)."""

    labels: NDArray[np.uint8]
    scores: Scores
    milliseconds: float


def look(segmenter: Segmenter, image: NDArray[np.uint8]) -> Seen:
    """Answer one HxWx3 uint8 image; raises InvalidPrediction for anything that is not finite."""
    begun = time.perf_counter()
    output = segmenter.predict(image)
    scores = gate_scores(output.logits)
    return Seen(output.labels, scores, (time.perf_counter() - begun) * 1000)


def predict(segmenter: Segmenter, photo: bytes, config: EdgeConfig) -> tuple[PredictionHeader, bytes]:
    """(header, mask PNG) of one JPEG or PNG photo; raises InvalidInput or InvalidPrediction."""
    image = decode_photo(photo, config.max_image_bytes, config.max_image_pixels)
    seen = look(segmenter, image)
    mask = encode_mask(seen.labels)
    header = PredictionHeader(
        model=segmenter.digest,
        line=config.line,
        width=image.shape[1],
        height=image.shape[0],
        scores=seen.scores,
        inference_milliseconds=round(seen.milliseconds, 3),
        mask_size=len(mask),
    )
    return header, mask
