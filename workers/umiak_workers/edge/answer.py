"""From pixels to an answer: labels, gate scores and hard tiles of one photo, timed. Runs in an inference thread."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.adapters.photo import decode_photo, encode_mask
from umiak_workers.contract.config import EdgeConfig, Tiling
from umiak_workers.contract.messages import PredictionHeader, Scores, Tiles
from umiak_workers.core.regions import Grid, tiles_of
from umiak_workers.core.scores import gate_scores, hardness
from umiak_workers.predictors.segmentation import Segmenter


@dataclass(frozen=True)
class Seen:
    """`labels` HxW uint8, the gate scores, where it is hard, and how long the model took (milliseconds)."""

    labels: NDArray[np.uint8]
    scores: Scores
    milliseconds: float
    tiles: Tiles | None = None


def look(segmenter: Segmenter, image: NDArray[np.uint8], tiling: Tiling | None = None) -> Seen:
    """Answer one HxWx3 uint8 image, with tiles where asked for; a model without the head has none by appeal.

    Raises InvalidPrediction for anything that is not finite.
    """
    begun = time.perf_counter()
    output = segmenter.predict(image)
    scores, tiles = gate_scores(output.logits, output.appeal), None
    where = None if tiling is None else output.appeal if tiling.by == "Appeal" else hardness(output.logits)
    if tiling is not None and where is not None:
        tiles = tiles_of(Grid(image.shape[0], image.shape[1], tiling.side), where)
    return Seen(output.labels, scores, (time.perf_counter() - begun) * 1000, tiles)


def predict(segmenter: Segmenter, photo: bytes, config: EdgeConfig) -> tuple[PredictionHeader, bytes]:
    """(header, mask PNG) of one JPEG or PNG photo; raises InvalidInput or InvalidPrediction."""
    image = decode_photo(photo, config.max_image_bytes, config.max_image_pixels)
    seen = look(segmenter, image, config.regions)
    mask = encode_mask(seen.labels)
    header = PredictionHeader(
        model=segmenter.digest,
        line=config.line,
        width=image.shape[1],
        height=image.shape[0],
        scores=seen.scores,
        inference_milliseconds=round(seen.milliseconds, 3),
        mask_size=len(mask),
        tiles=seen.tiles,
    )
    return header, mask
