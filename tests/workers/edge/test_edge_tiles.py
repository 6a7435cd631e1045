"""Where a photo is hard, as the edge server says it: by margin, small and bounded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from umiak_workers.adapters.artefacts import load_model, read_artefact
from umiak_workers.contract.config import EdgeConfig, Tiling
from umiak_workers.core.regions import Grid, tiles_of
from umiak_workers.edge.answer import predict
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.segmentation import SegmentationOutput

STREET = Path(__file__).parents[3] / "docs" / "examples" / "street" / "street-edge"
DIGEST = "sha256:" + "b" * 64
SURE, TORN = (8.0, 0.0), (0.0, 0.0)


@dataclass
class Fixed:
    """A model that is sure of the left half of any photo and torn on the right."""

    appeal: np.ndarray | None = None
    card: Any = None
    digest: str = DIGEST

    def predict(self, image: np.ndarray) -> SegmentationOutput:
        logits = np.asarray([[[SURE[0], TORN[0]]], [[SURE[1], TORN[1]]]], np.float32)
        return SegmentationOutput(np.zeros(image.shape[:2], np.uint8), logits, self.appeal)

    def check_golden(self) -> None:
        """Fine."""


def config(side: int | None, by: Literal["Margin", "Appeal"] = "Margin") -> EdgeConfig:
    return EdgeConfig(line="yard/street", regions=None if side is None else Tiling(side=side, by=by))


def test_nobody_who_asked_no_tiles(png: Callable[[np.ndarray], bytes]) -> None:
    header, _ = predict(Fixed(), png(np.zeros((64, 128, 3), np.uint8)), config(None))
    assert header.tiles is None


def test_tiles_are_hard_where_the_margin_is_small(png: Callable[[np.ndarray], bytes]) -> None:
    header, _ = predict(Fixed(), png(np.zeros((64, 120, 3), np.uint8)), config(32))
    assert header.tiles is not None
    assert (header.tiles.side, header.tiles.rows, header.tiles.columns) == (32, 2, 4)
    left, between, right, last = header.tiles.hardness[:4]
    assert left <= 1
    assert between == pytest.approx(255 * 4 / 32, abs=2)
    assert right == last == 255
    assert header.tiles.hardness[4:] == (left, between, right, last)


def test_an_appeal_head_decides_nothing_unless_it_is_asked(png: Callable[[np.ndarray], bytes]) -> None:
    photo = png(np.zeros((64, 128, 3), np.uint8))
    plain, _ = predict(Fixed(), photo, config(64))
    judged, _ = predict(Fixed(appeal=np.asarray([[0.4, -0.9]], np.float32)), photo, config(64))
    assert plain.tiles is not None
    assert judged.tiles == plain.tiles
    assert (plain.scores.appeal, judged.scores.appeal) == (None, pytest.approx(-0.25))


def test_by_appeal_a_tile_is_as_hard_as_the_gain_that_is_expected_there(png: Callable[[np.ndarray], bytes]) -> None:
    photo = png(np.zeros((64, 128, 3), np.uint8))
    header, _ = predict(Fixed(appeal=np.asarray([[0.4, -0.9]], np.float32)), photo, config(64, "Appeal"))
    assert header.tiles is not None
    assert header.tiles.hardness == (102, 0), "a loss is no gain"


def test_by_appeal_a_model_without_the_head_says_nothing_of_tiles(png: Callable[[np.ndarray], bytes]) -> None:
    header, _ = predict(Fixed(), png(np.zeros((64, 128, 3), np.uint8)), config(64, "Appeal"))
    assert header.tiles is None


def test_a_photo_of_too_many_tiles_says_nothing_of_them(png: Callable[[np.ndarray], bytes]) -> None:
    header, _ = predict(Fixed(), png(np.zeros((2064, 2064, 3), np.uint8)), config(16))
    assert header.tiles is None


def test_a_real_model_with_the_head_tells_photo_and_tiles_what_it_expects(png: Callable[[np.ndarray], bytes]) -> None:
    model = OnnxSegmenter(load_model(STREET, read_artefact(STREET).digest), threads=1)
    seed = 4
    print(f"seed {seed}")
    image = np.random.default_rng(seed).integers(0, 256, (180, 240, 3), dtype=np.uint8)
    header, _ = predict(model, png(image), config(48, "Appeal"))
    appeal = model.predict(image).appeal
    assert appeal is not None
    assert header.scores.appeal == pytest.approx(float(appeal.mean()), abs=1e-6)
    assert header.tiles == tiles_of(Grid(180, 240, 48), appeal)
