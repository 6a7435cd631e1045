"""The promptable predictor: what it loads, what it refuses, and that answers do not depend on how they are grouped."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

sys.path.insert(0, str(Path(__file__).parents[1]))

from sam_kit import TINY, make_tiny_sam, tiny_card

from umiak_workers.adapters.artefacts import load_model, read_artefact
from umiak_workers.contract.errors import ArtefactError, InvalidInput, InvalidPrediction
from umiak_workers.core.masks import Prompt
from umiak_workers.core.model import Model
from umiak_workers.models.sam import assemble, decode, geometry
from umiak_workers.predictors import sam as sams
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.promptable import Embedding
from umiak_workers.predictors.sam import AT_ONCE, SamSegmenter, load_sam

IMAGE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
PROMPTS = (
    Prompt((5.0, 5.0, 30.0, 40.0), ((12.0, 20.0),)),
    Prompt(None, ((40.0, 20.0),)),
    Prompt((1.0, 2.0, 60.0, 45.0), ()),
    Prompt(None, ((40.0, 20.0), (42.0, 22.0))),
    Prompt((30.0, 5.0, 69.0, 40.0), ((50.0, 20.0),)),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("sam") / "tiny"
    return load_model(folder, make_tiny_sam(folder))


@pytest.fixture(scope="module")
def segmenter(model: Model) -> SamSegmenter:
    return load_sam(model)


def test_masks_have_the_asked_size(segmenter: SamSegmenter) -> None:
    embedding = segmenter.encode(IMAGE)
    assert (embedding.height, embedding.width) == (50, 70)
    for size in ((50, 70), (25, 35), (200, 280)):
        answer = segmenter.decode(embedding, PROMPTS, *size)
        assert answer.masks.shape == (5, *size)
        assert answer.masks.dtype == bool
        assert answer.quality.shape == (5,)
        assert answer.quality.min() >= 0
        assert answer.quality.max() <= 1


def test_a_batch_of_photos_is_embedded_as_each_alone(segmenter: SamSegmenter) -> None:
    photos = (IMAGE, np.ascontiguousarray(IMAGE[::-1, :40]), np.full((20, 90, 3), 9, np.uint8))
    together = segmenter.encode_all(photos)
    assert [(one.height, one.width) for one in together] == [(50, 70), (50, 40), (20, 90)]
    for photo, found in zip(photos, together, strict=True):
        alone = segmenter.encode(photo).features
        assert found.features.shape == alone.shape
        assert np.abs(found.features - alone).max() < 1e-4
    assert np.abs(together[0].features - together[1].features).max() > 0.1


def test_answers_come_in_the_order_of_the_prompts(segmenter: SamSegmenter) -> None:
    embedding = segmenter.encode(IMAGE)
    together = segmenter.decode(embedding, PROMPTS, 50, 70)
    for index, prompt in enumerate(PROMPTS):
        alone = segmenter.decode(embedding, (prompt,), 50, 70)
        assert (alone.masks[0] != together.masks[index]).mean() < 0.002
        assert alone.quality[0] == pytest.approx(together.quality[index], abs=1e-4)


def test_many_prompts_are_asked_in_parts(segmenter: SamSegmenter) -> None:
    embedding = segmenter.encode(IMAGE)
    many = tuple(Prompt(None, ((float(x), 20.0),)) for x in range(AT_ONCE + 5))
    assert segmenter.decode(embedding, many, 10, 14).masks.shape == (AT_ONCE + 5, 10, 14)
    assert segmenter.decode(embedding, (), 10, 14).masks.shape == (0, 10, 14)


def test_prompts_go_by_the_photos_pixels(segmenter: SamSegmenter) -> None:
    """The same photo at twice the size, asked at twice the coordinates, gives nearly the same mask logits."""
    large = np.ascontiguousarray(IMAGE.repeat(2, axis=0).repeat(2, axis=1))
    small_logits = segmenter.logits(segmenter.encode(IMAGE), (PROMPTS[0],))
    embedding = segmenter.encode(large)
    same = segmenter.logits(embedding, (PROMPTS[0].scaled(2, 2),))
    elsewhere = segmenter.logits(embedding, (PROMPTS[0],))
    assert np.abs(same - small_logits).mean() < 0.5 * np.abs(elsewhere - small_logits).mean()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
    ],
)
def test_what_is_no_photo_is_refused(segmenter: SamSegmenter, image: np.ndarray) -> None:
    with pytest.raises(InvalidInput):
        segmenter.encode(image)


def test_a_poisoned_embedding_is_an_invalid_prediction(segmenter: SamSegmenter) -> None:
    features = np.full_like(segmenter.encode(IMAGE).features, np.nan)
    with pytest.raises(InvalidPrediction):
        segmenter.decode(Embedding(features, 50, 70), PROMPTS[:1], 50, 70)


def test_weights_are_bound_by_name_each_or_none(model: Model) -> None:
    name = "image_encoder.patch_embed.proj.weight"
    without = {key: value for key, value in model.weights.items() if key != name}
    for weights, word in (
        (without, name),
        ({**model.weights, "extra": np.zeros(3, np.float32)}, "extra"),
        ({**model.weights, name: np.zeros((1, 2), np.float32)}, name),
    ):
        with pytest.raises(ArtefactError, match=word):
            load_sam(dataclasses.replace(model, weights=weights))


def test_another_answer_to_the_golden_input_is_refused(model: Model) -> None:
    name = "mask_decoder.mask_tokens.weight"
    altered = {**model.weights, name: model.weights[name] + 1}
    with pytest.raises(InvalidPrediction, match="golden"):
        load_sam(dataclasses.replace(model, weights=altered))


def test_an_artefact_without_graph_is_promptable_only(model: Model, tmp_path: Path) -> None:
    assert model.graph == b""
    digest = make_tiny_sam(tmp_path / "tiny")
    assert set(read_artefact(tmp_path / "tiny", digest).manifest.files) == {
        "card.json",
        "weights.safetensors",
        "golden.safetensors",
    }
    with pytest.raises(ValueError, match="classes"):
        tiny_card(classes=("a", "b"))
    with pytest.raises(ValueError, match="architecture"):
        tiny_card(architecture=None)
    with pytest.raises(ValueError, match="classes"):
        tiny_card(task="semantic-segmentation")


def test_planes_grow_bilinearly() -> None:
    planes = np.array([[[0.0, 4.0]], [[1.0, 1.0]]], np.float32)
    grown = grown_logits(planes, 1, 4)
    assert grown.tolist() == [[[0.0, 1.0, 3.0, 4.0]], [[1.0, 1.0, 1.0, 1.0]]]
    assert grown_logits(planes, 1, 2) is planes


@pytest.mark.parametrize("prompt", PROMPTS[:3])
def test_nothing_of_a_question_stays_in_main_memory_when_a_gpu_answers(prompt: Prompt) -> None:
    """A simulated GPU, whose tensors have shapes and no values: torch refuses to join them with those of the CPU."""
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv()):
        sam = _simulated_on_gpu()
        segmenter = SamSegmenter(sam, "", "cuda")
        features = sam.image_encoder(segmenter._pixels([IMAGE]))
        embedding = Embedding(np.zeros(features.shape, np.float32), *IMAGE.shape[:2])
        assert segmenter._features(embedding).device == features.device == torch.device("cuda", 0)
        logits, quality = decode(sam, features, segmenter._scaled([prompt], embedding))
        masks = sam.postprocess_masks(logits[:, None], geometry(TINY.image, 50, 70), (50, 70))
    assert {one.device for one in (logits, quality, masks)} == {torch.device("cuda", 0)}
    assert masks.shape == (1, 1, 50, 70)


def _simulated_on_gpu() -> Any:
    with torch.device("cuda"):
        sam = assemble(TINY)
    for module in sam.modules():
        module._buffers.update(
            {name: buffer.to("cuda") for name, buffer in module._buffers.items() if buffer is not None}
        )
    sam.to = lambda device: sam
    return sam


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (Path(torch.__file__).parent / "lib" / "libtorch_cuda_linalg.so").exists():
        assert "sees no GPU" in sams.gpu_missing()
    monkeypatch.setattr(torch, "__file__", str(tmp_path / "torch" / "__init__.py"))
    assert "no libraries for GPUs" in sams.gpu_missing()
