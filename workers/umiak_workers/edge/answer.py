"""From pixels to an answer: gate scores and hard tiles of one photo, timed. Runs in an inference thread."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umiak_workers.adapters.photo import decode_photo
from umiak_workers.contract.config import EdgeConfig, Tiling
from umiak_workers.contract.messages import PredictionHeader, Scores, Tiles
from umiak_workers.core.regions import Grid, tiles_of
from umiak_workers.predictors.answering import Answering, Said


@dataclass(frozen=True)
class Seen:
    """What the model said, the gate scores, where it is hard, and how long the model took (milliseconds)."""

    said: Said
    scores: Scores
    milliseconds: float
    tiles: Tiles | None = None


def look(model: Answering, image: NDArray[np.uint8], tiling: Tiling | None = None) -> Seen:
    """Answer one HxWx3 uint8 image, with tiles where asked for and where the model can say them.

    Raises InvalidPrediction for anything that is not finite.
    """
    begun = time.perf_counter()
    output = model.predict(image)
    scores, tiles = output.scores(), None
    where = None if tiling is None else output.hardness(tiling.by)
    if tiling is not None and where is not None:
        tiles = tiles_of(Grid(image.shape[0], image.shape[1], tiling.side), where)
    return Seen(output, scores, (time.perf_counter() - begun) * 1000, tiles)


def predict(model: Answering, photo: bytes, config: EdgeConfig) -> tuple[PredictionHeader, bytes]:
    """(header, payload) of one JPEG or PNG photo; raises InvalidInput or InvalidPrediction."""
    image = decode_photo(photo, config.max_image_bytes, config.max_image_pixels)
    seen = look(model, image, config.regions)
    payload = seen.said.payload()
    header = PredictionHeader(
        task=config.task,
        model=model.digest,
        line=config.line,
        width=image.shape[1],
        height=image.shape[0],
        scores=seen.scores,
        inference_milliseconds=round(seen.milliseconds, 3),
        mask_size=len(payload),
        tiles=seen.tiles,
    )
    return header, payload
