"""The opinion on one photo, without a network: who takes part, how masks change it, what is bounded."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from cloud_kit import Tiny, box

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.cloud import think
from umiak_workers.cloud.cache import Cache
from umiak_workers.cloud.question import Question
from umiak_workers.cloud.regions import cut
from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.think import Opinion, Thinker, working_size
from umiak_workers.contract.config import CloudConfig, Fusion
from umiak_workers.contract.errors import InvalidPrediction, Unavailable
from umiak_workers.contract.messages import Scores
from umiak_workers.core.masks import Prompt
from umiak_workers.core.scores import gate_scores, softmax
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.planes import grown_logits
from umiak_workers.predictors.promptable import Embedding, Masks
from umiak_workers.predictors.sam import load_sam
from umiak_workers.predictors.segmentation import SegmentationOutput
from umiak_workers.predictors.views import PASSES

BLOCKS = np.random.default_rng(0).choice(np.array([1, 255], np.uint8), (8, 12, 3))
IMAGE = np.ascontiguousarray(BLOCKS.repeat(8, axis=0).repeat(8, axis=1))
TRUSTING = Fusion(minimum_quality=0.0, minimum_area=1, margin=0.0)


@pytest.fixture(scope="module")
def edge(tiny: Tiny) -> OnnxSegmenter:
    return OnnxSegmenter(load_model(tiny.edge), threads=1)


@pytest.fixture(scope="module")
def labeller(tiny: Tiny) -> OnnxSegmenter:
    return OnnxSegmenter(load_model(tiny.labeller), threads=1)


def test_both_models_scores_are_averaged_where_that_is_asked_for(edge: OnnxSegmenter, labeller: OnnxSegmenter) -> None:
    opinions = {
        labels: Thinker(labeller, None, Fusion(labels=labels)).think("", IMAGE, edge, Stages())  # type: ignore[arg-type]
        for labels in ("labeller", "both")
    }
    mine, better = (model.predict(IMAGE).logits for model in (edge, labeller))
    finest = max(mine.shape[1:], better.shape[1:])
    mean = np.mean([softmax(grown_logits(logits, *finest)) for logits in (mine, better)], axis=0)
    expected = grown_logits(np.log(mean), *IMAGE.shape[:2])
    assert (opinions["both"].labels == expected.argmax(axis=0)).mean() > 0.999
    assert (opinions["both"].labels != opinions["labeller"].labels).any()
    assert opinions["both"].models == opinions["labeller"].models
    assert np.allclose(opinions["both"].probability, softmax(expected).max(axis=0), atol=1e-3)


def test_a_labeller_looks_as_often_as_is_asked_for(edge: OnnxSegmenter, labeller: OnnxSegmenter) -> None:
    class Counting:
        card, digest, seen = labeller.card, labeller.digest, 0

        def predict(self, image: np.ndarray) -> object:
            self.seen += 1
            return labeller.predict(image)

    found = {}
    for views, passes in PASSES.items():
        looking = Counting()
        opinion = Thinker(looking, None, Fusion(views=views)).think("", IMAGE, edge, Stages())  # type: ignore[arg-type]
        assert looking.seen == passes
        assert opinion.labels.shape == IMAGE.shape[:2]
        found[views] = opinion.probability
    assert found["closer"].shape == found["one"].shape
    assert not np.allclose(found["one"], found["closer"])


def test_only_a_labeller_of_pixels_looks_more_than_once() -> None:
    source = {"uri": "builtin:a", "digest": "sha256:" + "2" * 64}
    facts = {"namespace": "plant", "resource": "watch", "line": "plant/watch", "fusion": {"views": "mirrored"}}
    assert CloudConfig.model_validate({**facts, "labeller": source}).fusion.views == "mirrored"
    for wrong in ({"sam": source}, {"labeller": source, "task": "image-classification"}):
        with pytest.raises(ValueError, match=r"fusion\.views"):
            CloudConfig.model_validate({**facts, **wrong})


class Stencil:
    """A promptable segmenter with one answer: the same mask for every prompt."""

    digest = "sha256:" + "5" * 64

    def __init__(self, mask: np.ndarray, quality: float = 1.0, error: str = "") -> None:
        self._mask, self._quality, self._error = mask, quality, error
        self.encoded: list[int] = []
        self.asked: list[tuple[Prompt, ...]] = []

    def encode(self, image: np.ndarray) -> Embedding:
        return self.encode_all((image,))[0]

    def encode_all(self, images: Sequence[np.ndarray]) -> tuple[Embedding, ...]:
        self.encoded.append(len(images))
        if any(image.min() == image.max() for image in images):
            raise InvalidPrediction("not finite")
        return tuple(Embedding(np.zeros((1, 1, 1, 1), np.float32), *image.shape[:2]) for image in images)

    def decode(self, embedding: Embedding, prompts: Sequence[Prompt], height: int, width: int) -> Masks:
        if self._error:
            raise InvalidPrediction(self._error)
        self.asked.append(tuple(prompts))
        masks = np.broadcast_to(self._mask[:height, :width], (len(prompts), height, width))
        return Masks(masks, np.full(len(prompts), self._quality, np.float32))


def test_without_labeller_and_masks_it_is_the_edge_model(edge: OnnxSegmenter) -> None:
    opinion = Thinker(None, None, Fusion()).think("a", IMAGE, edge, Stages())
    assert np.array_equal(opinion.labels, edge.predict(IMAGE).labels)
    assert opinion.scores == gate_scores(edge.predict(IMAGE).logits)
    assert opinion.models == {"edge": edge.digest}


def test_the_labeller_labels_and_the_edge_model_scores(edge: OnnxSegmenter, labeller: OnnxSegmenter) -> None:
    opinion = Thinker(labeller, None, Fusion()).think("a", IMAGE, edge, Stages())
    assert np.array_equal(opinion.labels, labeller.predict(IMAGE).labels)
    assert opinion.scores == gate_scores(edge.predict(IMAGE).logits)
    assert opinion.models == {"edge": edge.digest, "labeller": labeller.digest}


def test_a_mask_gets_the_class_that_its_pixels_vote_for(edge: OnnxSegmenter) -> None:
    mask = np.zeros((64, 96), bool)
    mask[8:40, 8:60] = True
    own = edge.predict(IMAGE)
    opinion = Thinker(None, Stencil(mask), TRUSTING).think("a", IMAGE, edge, Stages())
    winner = np.bincount(opinion.labels[mask]).argmax()
    assert set(opinion.labels[mask].tolist()) == {int(winner)}
    assert np.array_equal(opinion.labels[~mask], own.labels[~mask])
    assert len(set(own.labels[mask].tolist())) > 1
    assert opinion.masks > 0
    assert "sam" in opinion.models


@pytest.mark.parametrize(
    "sam", [Stencil(np.ones((64, 96), bool), quality=0.2), Stencil(np.ones((64, 96), bool), error="not finite")]
)
def test_masks_that_are_bad_or_missing_do_no_harm(edge: OnnxSegmenter, sam: Stencil) -> None:
    opinion = Thinker(None, sam, Fusion(minimum_quality=0.5)).think("a", IMAGE, edge, Stages())
    assert np.array_equal(opinion.labels, edge.predict(IMAGE).labels)
    assert opinion.masks == 0


def test_a_labeller_that_fails_leaves_the_edge_scores(edge: OnnxSegmenter) -> None:
    class Broken:
        card, digest = edge.card, "sha256:" + "6" * 64

        def predict(self, image: np.ndarray) -> SegmentationOutput:
            raise InvalidPrediction("not finite")

    opinion = Thinker(Broken(), None, Fusion()).think("a", IMAGE, edge, Stages())
    assert np.array_equal(opinion.labels, edge.predict(IMAGE).labels)
    assert opinion.models == {"edge": edge.digest}


def test_models_of_other_classes_are_not_mixed(edge: OnnxSegmenter, labeller: OnnxSegmenter) -> None:
    class Other:
        card = labeller.card.model_copy(update={"classes": ("sea", "sand", "rock")})
        digest = labeller.digest
        predict = labeller.predict

    with pytest.raises(Unavailable, match="sea, sand, rock"):
        Thinker(Other(), sam := Stencil(np.ones((64, 96), bool)), Fusion()).think("a", IMAGE, edge, Stages())
    assert sam.encoded == []  # nothing was computed for nobody


def test_a_photo_is_embedded_once(edge: OnnxSegmenter) -> None:
    sam = Stencil(np.ones((64, 96), bool))
    thinker = Thinker(None, sam, Fusion())
    for name in ("a", "a", "b"):
        thinker.think(name, IMAGE, edge, Stages())
    assert sam.encoded == [1, 1]
    assert (thinker.embeddings.hits, thinker.embeddings.misses) == (1, 2)


def test_photos_are_embedded_together_and_answered_as_if_alone(
    tiny: Tiny, edge: OnnxSegmenter, labeller: OnnxSegmenter
) -> None:
    photos = [IMAGE, np.ascontiguousarray(IMAGE[::-1]), np.ascontiguousarray(IMAGE[:40, :56])]
    sam = load_sam(load_model(tiny.sam))
    alone = [Thinker(labeller, sam, TRUSTING).think("", photo, edge, Stages()) for photo in photos]
    questions = [Question("", photo, edge, Stages()) for photo in photos]
    together = [answer() for answer in Thinker(labeller, sam, TRUSTING).think_all(questions)]
    for one, other in zip(alone, together, strict=True):
        assert np.mean(one.labels == other.labels) > 0.999
        assert np.allclose(one.probability, other.probability, atol=1e-3)
    assert all(one.stages.milliseconds["sam_encode"] > 0 for one in questions)


def test_a_photo_that_cannot_be_embedded_costs_the_others_nothing(edge: OnnxSegmenter) -> None:
    sam, flat = Stencil(np.ones((64, 96), bool)), np.full_like(IMAGE, 9)
    thinker = Thinker(None, sam, TRUSTING)
    thinker.think("known", IMAGE, edge, Stages())
    photos = (("known", IMAGE), ("new", IMAGE), ("flat", flat), ("new", IMAGE))
    views = [one() for one in thinker.think_all([Question(name, image, edge, Stages()) for name, image in photos])]
    assert sam.encoded == [1, 2, 1, 1]  # the first alone, two together (one of them asked about twice), then each alone
    assert ["sam" in view.models for view in views] == [True, True, False, True]


def test_too_little_memory_for_all_is_enough_for_each(edge: OnnxSegmenter) -> None:
    class Small(Stencil):
        def encode_all(self, images: Sequence[np.ndarray]) -> tuple[Embedding, ...]:
            if len(images) > 1:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return super().encode_all(images)

    sam = Small(np.ones((64, 96), bool))
    questions = [Question(name, IMAGE, edge, Stages()) for name in ("a", "b")]
    assert all("sam" in one().models for one in Thinker(None, sam, TRUSTING).think_all(questions))
    assert sam.encoded == [1, 1]


def test_prompts_are_bounded_and_in_the_photos_pixels(edge: OnnxSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(think, "WORKING_PIXELS", 32 * 48)
    sam = Stencil(np.ones((32, 48), bool))
    opinion = Thinker(None, sam, Fusion(prompts=3, minimum_area=1)).think("a", IMAGE, edge, Stages())
    (asked,) = sam.asked
    assert len(asked) == 3
    assert max(prompt.box[2] for prompt in asked if prompt.box) > 48
    assert opinion.labels.shape == (64, 96)
    assert opinion.probability.shape == (32, 48)


def test_the_real_parts_fit_together(tiny: Tiny, edge: OnnxSegmenter, labeller: OnnxSegmenter) -> None:
    stages = Stages()
    sam = load_sam(load_model(tiny.sam))
    opinion = Thinker(labeller, sam, TRUSTING).think("a", IMAGE, edge, stages)
    assert set(stages.milliseconds) == {"edge", "labeller", "sam_encode", "sam_decode", "vote"}
    assert opinion.models["sam"] == tiny.sam_digest


@pytest.mark.parametrize(
    ("size", "wanted"), [((64, 96), (64, 96)), ((4000, 4000), (1000, 1000)), ((1, 10**7), (1, 3162277))]
)
def test_working_sizes(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert working_size(*size) == wanted


def test_confidence_of_a_region_is_the_mean_probability_in_it() -> None:
    labels = np.zeros((4, 8), np.uint8)
    labels[:, 6:] = 255
    probability = np.array([[0.2, 0.4, 0.6, 0.9]] * 2, np.float32)
    scores = Scores(margin=0, max_probability=0, entropy=0)
    opinion = Opinion(labels, probability, scores, {}, 0)
    regions, pictures = cut(opinion, (box(0, 0, 2, 4), box(2, 1, 4, 2), box(6, 0, 2, 2)))
    assert [region.confidence for region in regions] == pytest.approx([0.2, 0.5, 0.0])
    assert [region.size for region in regions] == [len(picture) for picture in pictures]
    ((whole,), _) = cut(opinion, ())
    assert whole.confidence == pytest.approx(0.4)


def test_a_cache_forgets_what_was_used_least() -> None:
    cache: Cache[str] = Cache(10)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    assert cache.get("a") == "A"
    cache.put("c", "C", 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("A", None, "C")
    assert (len(cache), cache.bytes) == (2, 8)
    cache.put("huge", "H", 11)
    assert (cache.get("huge"), cache.bytes) == (None, 8)
    cache.put("a", "A2", 1)
    assert (cache.get("a"), cache.bytes) == ("A2", 5)


def test_stages_add_up() -> None:
    stages = Stages()
    stages.add("vote", 1.25)
    stages.add("vote", 1.5)
    with stages.timed("encode"):
        pass
    assert stages.milliseconds["vote"] == 2.75
    assert stages.milliseconds["encode"] >= 0
    assert dataclasses.is_dataclass(Opinion)
