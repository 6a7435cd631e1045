"""Ways of asking compared: masks that are right help, masks that are wrong harm, and the table says which."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.bench.prompting import NONE, PromptingBench, Row, about_areas, about_both, about_doubt
from umiak_workers.bench.sam_throughput import SIZES, Request, batches, request, served
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.masks import Prompt
from umiak_workers.datasets.sample import Listed, Sample
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.promptable import Embedding, Masks
from umiak_workers.predictors.segmentation import SegmentationOutput

TRUTH = np.zeros((24, 32), np.uint8)
TRUTH[:, 16:] = 1
TRUTH[4:20, 4:12] = 2
WRONG = np.zeros((24, 32), bool)
WRONG[:, 8:24] = True


class Labels:
    """A segmenter that answers the truth with blurred, noisy scores; each photo's first pixel seeds the noise."""

    digest = "sha256:" + "3" * 64

    def __init__(self, card: object) -> None:
        self.card = card

    def predict(self, image: np.ndarray) -> SegmentationOutput:
        rng = np.random.default_rng(int(image[0, 0, 0]))
        logits = (np.eye(3, dtype=np.float32)[TRUTH] + rng.normal(0, 0.8, (24, 32, 3))).transpose(2, 0, 1)
        return SegmentationOutput(TRUTH, np.ascontiguousarray(logits, np.float32))


class Cutter:
    """Cuts out the true thing under a prompt's point, or always one shape that is nobody's."""

    digest = "sha256:" + "4" * 64

    def __init__(self, wrong: bool = False, quality: float = 0.9) -> None:
        self._wrong, self._quality = wrong, quality
        self.encoded: list[int] = []

    def encode(self, image: np.ndarray) -> Embedding:
        return self.encode_all((image,))[0]

    def encode_all(self, images: Sequence[np.ndarray]) -> tuple[Embedding, ...]:
        self.encoded.append(len(images))
        return tuple(Embedding(np.zeros((1, 2, 4, 4), np.float32), *image.shape[:2]) for image in images)

    def decode(self, embedding: Embedding, prompts: Sequence[Prompt], height: int, width: int) -> Masks:
        found = [WRONG if self._wrong else TRUTH[int(y), int(x)] == TRUTH for ((x, y),) in (p.points for p in prompts)]
        masks = np.array(found, dtype=bool).reshape(len(prompts), height, width)
        return Masks(masks, np.full(len(prompts), self._quality, np.float32))


@pytest.fixture(scope="module")
def edge(tiny_model: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> OnnxSegmenter:
    folder: Path = tmp_path_factory.mktemp("edge") / "tiny"
    return OnnxSegmenter(load_model(folder, tiny_model(folder)), threads=1)


def photos(count: int, label: np.ndarray | None = TRUTH) -> Listed:
    return Listed([Sample(np.full((24, 32, 3), index + 1, np.uint8), label, f"{index}") for index in range(count)])


def run(edge: OnnxSegmenter, sam: Cutter, fusion: Fusion, count: int = 12) -> dict[str, Row]:
    bench = PromptingBench({"edge": Labels(edge.card)}, sam, (4,), fusion, seed=1)  # type: ignore[dict-item]
    return {row.way: row for row in bench.run("photos", photos(count), lambda: None)}


TRUSTING = Fusion(minimum_area=4, margin=0.0, certain=1.0)


def test_right_masks_help_by_every_way_that_finds_them(edge: OnnxSegmenter) -> None:
    rows = run(edge, Cutter(), TRUSTING)
    assert list(rows) == [NONE, "areas", "doubt", "areas+doubt", "grid 4x4"]
    alone, grid = rows[NONE], rows["grid 4x4"]
    assert (alone.verdict, alone.gain, alone.frames) == ("", None, 12)
    assert grid.prompts == 16
    assert (grid.kept, grid.decided) == (3, 3)
    assert grid.miou == pytest.approx(1.0)
    for way in ("areas", "areas+doubt", "grid 4x4"):
        assert rows[way].verdict == "help"
        assert rows[way].gain == pytest.approx(rows[way].miou - alone.miou)
        assert rows[way].as_json()["verdict"] == "help"


def test_wrong_masks_are_said_to_harm(edge: OnnxSegmenter) -> None:
    rows = run(edge, Cutter(wrong=True), TRUSTING)
    assert {rows[way].verdict for way in ("areas", "areas+doubt", "grid 4x4")} == {"harm"}


def test_masks_nobody_may_use_change_nothing_and_the_row_says_so(edge: OnnxSegmenter) -> None:
    rows = run(edge, Cutter(quality=0.3), TRUSTING)
    for way in ("areas", "doubt", "areas+doubt", "grid 4x4"):
        assert (rows[way].kept, rows[way].decided, rows[way].gain) == (0, 0, 0)
        assert rows[way].verdict == "not shown"
        assert rows[way].prompts > 0


def test_the_ways_ask_about_different_things() -> None:
    shares = np.zeros((2, 10, 20), np.float32)
    shares[0] = 0.95
    shares[0, :, 10:] = 0.05
    shares[0, 2:6, 2:6] = 0.55
    shares[1] = 1 - shares[0]
    areas, doubt, both = (ask(shares, 32, 4) for ask in (about_areas, about_doubt, about_both))
    assert [prompt.box is not None for prompt in areas] == [True, True]
    assert [prompt.box for prompt in doubt] == [None]
    ((x, y),) = doubt[0].points
    assert 2 <= x < 6
    assert 2 <= y < 6
    assert set(both) == {*areas, *doubt}
    assert len(about_both(shares, 2, 4)) == 2
    assert about_doubt(shares, 0, 4) == ()


def test_labels_of_other_classes_and_photos_without_are_refused(edge: OnnxSegmenter) -> None:
    bench = PromptingBench({"edge": edge}, Cutter(), (2,), TRUSTING, seed=1)
    strange = TRUTH.copy()
    strange[0, 0] = 7
    with pytest.raises(ConfigError, match="label 7 is no class of the edge model tiny"):
        bench.run("photos", photos(1, strange), lambda: None)
    with pytest.raises(ConfigError, match="no labelled photo"):
        bench.run("photos", photos(2, None), lambda: None)
    strange[0, 0] = 255
    assert bench.run("photos", photos(1, strange), lambda: None)


def test_requests_that_wait_are_embedded_in_every_size(edge: OnnxSegmenter) -> None:
    cutter = Cutter()
    found = served(edge, None, cutter, [sample.image for sample in photos(9).samples], rounds=1)
    assert [batch.size for batch in found] == list(SIZES)
    assert sum(cutter.encoded) == 9 * len(SIZES)
    assert max(cutter.encoded) > 1
    assert all(batch.per_second > 0 for batch in found)


def test_batches_encode_the_same_photos_in_every_size() -> None:
    cutter = Cutter()
    found = batches(cutter, [sample.image for sample in photos(18).samples])
    assert [batch.size for batch in found] == list(SIZES)
    assert found[0].gain == 1
    per_round = [size for size in SIZES for _ in range(16 // size)]
    assert cutter.encoded[1:] == per_round * 5
    for batch in found:
        assert batch.per_second == pytest.approx(1000 / batch.milliseconds)
        assert batch.gain == pytest.approx(found[0].milliseconds / batch.milliseconds)


def test_batches_are_of_distinct_photos() -> None:
    same = [np.zeros((4, 4, 3), np.uint8)] * 8
    for unfit in (same, same[:1]):
        with pytest.raises(ConfigError, match="no two of them the same"):
            batches(Cutter(), unfit)


def test_a_photo_seen_before_is_not_encoded_again(edge: OnnxSegmenter) -> None:
    cutter = Cutter()
    whole = request(edge, None, cutter, [sample.image for sample in photos(3).samples])
    assert sum(cutter.encoded) == 3 + 1  # and one to see how large an embedding is
    assert set(whole.cold) == {"edge", "sam_encode", "sam_decode", "vote"}
    assert whole.embedding_bytes == 128
    assert whole.remembered == 64 * 1024 * 1024 // 128


def test_what_a_faster_encoder_saves_is_bounded_by_its_share() -> None:
    whole = Request({"sam_encode": 30.0, "sam_decode": 70.0}, {}, 1, 1)
    assert whole.saved(1.5) == pytest.approx(0.1)
    assert whole.saved(0.9) == 0
