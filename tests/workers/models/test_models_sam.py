"""The promptable segmenter's parts: sizes, cards, lessons, losses, and that it learns."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from umiak_workers.contract.errors import ArtefactError, ConfigError
from umiak_workers.datasets.sample import Listed, Sample
from umiak_workers.models.batches import Photometric
from umiak_workers.models.build import build
from umiak_workers.models.sam import SMALL, Asked, SamConfig, aligned, assemble, decode, geometry, parameters
from umiak_workers.models.sam_lessons import Lesson, Lessons, ask, covered, drawn, jittered, mirrored, prepare
from umiak_workers.models.sam_parts import Sam, TwoWayTransformer
from umiak_workers.models.sam_train import SamFit, dice_loss, fit_sam, focal_loss, iou, scales
from umiak_workers.predictors.sam import SamSegmenter, golden_prompts
from umiak_workers.predictors.sam_scoring import score_masks

TINY = dataclasses.replace(
    SMALL, image=64, patch=8, width=48, depth=2, heads=2, window=4, global_layers=(1,), embedding=32, decoder_mlp=64
)
STILL = Photometric(0, 0, 0, 0)
BOXES = torch.tensor([[4.0, 4.0, 30.0, 30.0], [10.0, 20.0, 60.0, 44.0]])


def tiles(count: int) -> Listed:
    """Dim photos of 64x48 with a bright and a middling rectangle, class 1 and 2."""
    samples = []
    for index in range(count):
        rng = np.random.default_rng(index)
        image, label = np.full((48, 64, 3), 30, np.uint8), np.zeros((48, 64), np.uint8)
        for kind, level in ((1, 235), (2, 130)):
            left, top = (kind - 1) * 32 + int(rng.integers(2, 12)), int(rng.integers(2, 20))
            area = (slice(top, top + int(rng.integers(12, 26))), slice(left, left + int(rng.integers(12, 18))))
            image[area], label[area] = level, kind
        samples.append(Sample(image, label, f"tile-{index}"))
    return Listed(samples)


def test_the_small_one_is_small() -> None:
    sam = assemble(SMALL)
    assert parameters(sam) < 3_000_000
    assert sum(tensor.numel() for tensor in sam.state_dict().values()) * 4 < 8_000_000


def test_shapes_of_embedding_masks_and_quality() -> None:
    sam = assemble(TINY)
    with torch.inference_mode():
        embedding = sam.image_encoder(sam.preprocess(torch.zeros(3, 48, 64))[None])
        points, inside = torch.full((2, 1, 2), 20.0), torch.ones(2, 1)
        answers = [
            decode(sam, embedding, Asked(points, inside, None)),
            decode(sam, embedding, Asked(None, None, BOXES)),
            decode(sam, embedding, Asked(points.repeat(1, 3, 1), inside.repeat(1, 3), BOXES)),
        ]
    assert embedding.shape == (1, 32, 8, 8)
    assert [(masks.shape, quality.shape) for masks, quality in answers] == [((2, 32, 32), (2,))] * 3
    assert scales(sam) == (64, 2)


def test_of_three_alternatives_for_a_lone_point_the_best_is_taken() -> None:
    parts = assemble(TINY)
    transformer = TwoWayTransformer(depth=1, embedding_dim=32, num_heads=2, mlp_dim=16)
    decoder = type(parts.mask_decoder)(transformer_dim=32, transformer=transformer, num_multimask_outputs=3)
    sam = Sam(parts.image_encoder, parts.prompt_encoder, decoder).eval()
    points, inside = torch.full((2, 1, 2), 20.0), torch.ones(2, 1)
    with torch.inference_mode():
        embedding = sam.image_encoder(torch.zeros(1, 3, 64, 64))
        sparse, dense = sam.prompt_encoder(points=(points, inside), boxes=None, masks=None)
        _, every = decoder(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True)
        _, lone = decode(sam, embedding, Asked(points, inside, None))
        _, boxed = decode(sam, embedding, Asked(points, inside, BOXES))
    assert every.shape == (2, 3)
    assert torch.equal(lone, every.max(dim=1).values)
    assert boxed.shape == (2,)


def test_published_sizes_stand_behind_the_same_card() -> None:
    sam = build("sam", {"variant": "vit_b"})
    assert isinstance(sam, Sam)
    assert parameters(sam) == 93_735_472
    assert sam.image_encoder.img_size == 1024


def test_a_card_names_every_size() -> None:
    sam = build("sam", TINY.to_json())
    assert isinstance(sam, Sam)
    assert parameters(sam) == parameters(assemble(TINY))


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"variant": "vit_x"}, "vit_b, vit_l, vit_h"),
        ({"variant": "vit_b", "image": 256}, "stands alone"),
        ({}, "image"),
        ({**SMALL.to_json(), "colour": 3}, "colour"),
        ({**SMALL.to_json(), "image": "256"}, "image"),
        ({**SMALL.to_json(), "image": 250}, "multiple of patch"),
        ({**SMALL.to_json(), "embedding": 60}, "embedding"),
    ],
)
def test_a_wrong_config_is_named(config: dict[str, object], word: str) -> None:
    with pytest.raises(ArtefactError, match=word):
        build("sam", config)  # type: ignore[arg-type]


def test_torchvision_stays_out_and_the_package_stays_usable() -> None:
    import segment_anything

    assert segment_anything.sam_model_registry["vit_b"]
    assert sys.modules["segment_anything.modeling"].Sam is Sam


@pytest.mark.parametrize(
    ("size", "wanted"), [((48, 64), (48, 64)), ((100, 200), (32, 64)), ((640, 32), (64, 3)), ((1, 6400), (1, 64))]
)
def test_a_photo_is_fitted_by_its_longest_side(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert geometry(64, *size) == wanted


def test_aligned_attention_peaks_where_it_is_asked() -> None:
    """Before any training, queries at a place match keys at the same place better than anywhere else."""
    torch.manual_seed(0)
    sam = aligned(assemble(TINY))
    cross = sam.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    grid = sam.prompt_encoder.get_dense_pe()[0].flatten(1).T
    with torch.no_grad():
        scores = cross.q_proj(grid) @ cross.k_proj(grid).T
    assert (scores.argmax(dim=1) == torch.arange(len(grid))).float().mean() > 0.95


def test_a_scene_knows_its_things() -> None:
    scene = prepare(tiles(1)[0], 64)
    assert scene.image.shape == (48, 64, 3)
    assert len(scene.areas) == 3
    for thing, (x, y) in enumerate(scene.inner):
        assert scene.ids[y, x] == thing


def test_a_sample_without_label_teaches_nothing() -> None:
    with pytest.raises(ConfigError, match="no label"):
        prepare(Sample(np.zeros((8, 8, 3), np.uint8), None, "bare"), 64)


def test_truth_is_the_share_of_each_cell() -> None:
    label = np.zeros((48, 64), np.uint8)
    label[0:30, 0:31] = 1
    scene = prepare(Sample(np.zeros((48, 64, 3), np.uint8), label, "x"), 64)
    share = covered(scene, np.array([1]), 2)[0]
    assert share.shape == (24, 32)
    assert share[0, 0] == 1
    assert share[0, 15] == 0.5
    assert share[20, 20] == 0
    assert float(share.sum()) * 4 == 30 * 31


def test_lessons_are_the_same_whenever_asked_for() -> None:
    lessons = Lessons(tiles(4), 64, 2, 3, Photometric(), seed=3)
    first, again, other = lessons.at(5), lessons.at(5), lessons.at(6)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.truth, again.truth)
    assert not torch.equal(first.image, other.image)


def test_questions_point_at_their_thing() -> None:
    """Every point of every form lies where the truth is; every box is near its thing; mirrored lessons as well."""
    lessons = Lessons(tiles(6), 64, 2, 3, STILL, seed=1)
    asked_points = 0
    for number in range(40):
        lesson = lessons.at(number)
        for row, truth in enumerate(lesson.truth):
            ys, xs = torch.nonzero(truth > 0, as_tuple=True)
            if lesson.asked.points is not None:
                for x, y in lesson.asked.points[row].tolist():
                    assert truth[int(y // 2), int(x // 2)] > 0
                    asked_points += 1
            if lesson.asked.boxes is not None:
                left, top, right, bottom = lesson.asked.boxes[row].tolist()
                assert abs(left - 2 * xs.min()) <= 0.1 * 64 + 3
                assert abs(bottom - 2 * (ys.max() + 1)) <= 0.1 * 48 + 3
                assert left < right
                assert top < bottom
    assert asked_points > 50


def test_mirrored_twice_is_the_same() -> None:
    scene = prepare(tiles(1)[0], 64)
    asked = ask(scene, np.array([0, 1]), "box+point", np.random.default_rng(0))
    lesson = Lesson(torch.rand(3, 48, 64), asked, torch.rand(2, 24, 32))
    twice = mirrored(mirrored(lesson, 64), 64)
    assert torch.equal(twice.image, lesson.image)
    assert torch.allclose(twice.asked.points, lesson.asked.points)  # type: ignore[arg-type]
    assert torch.allclose(twice.asked.boxes, lesson.asked.boxes)  # type: ignore[arg-type]


def test_things_are_drawn_without_repeats_and_boxes_moved_a_little() -> None:
    rng = np.random.default_rng(0)
    assert sorted(drawn(np.array([100, 20, 5000]), 9, rng).tolist()) == [0, 1, 2]
    moved = jittered(np.array([[10, 20, 100, 50]]), rng) - np.array([[10, 20, 110, 70]])
    assert np.abs(moved).max() <= 11
    assert np.abs(moved).max() > 0


def test_losses_by_literals() -> None:
    truth = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    right, wrong = (2 * truth - 1) * 50, (1 - 2 * truth) * 50
    assert float(dice_loss(right, truth)) == pytest.approx(0.0, abs=1e-6)
    assert float(dice_loss(wrong, truth)) == pytest.approx(0.8)
    assert float(focal_loss(right, truth)) == pytest.approx(0.0, abs=1e-6)
    assert float(focal_loss(torch.zeros_like(truth), truth)) == pytest.approx(0.25 * np.log(2), rel=1e-5)
    assert iou(right, truth).tolist() == [1.0]
    assert iou(wrong, truth).tolist() == [0.0]
    assert iou(torch.tensor([[[1.0, 1.0, 1.0, 1.0]]]), truth).tolist() == [0.5]


def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = aligned(_seeded(TINY))
    fit_sam(whole, tiles(4), SamFit(8, 10**6, 2, 2, 1e-3, 1), lambda now: None)
    stopped = SamFit(8, 10**6, 2, 2, 1e-3, 1, checkpoint=tmp_path)
    half = aligned(_seeded(TINY))
    ticks = iter([0.0, *[float(second) for second in range(100, 10_000, 100)]])

    class Enough(Exception):
        pass

    def stop(now: object) -> None:
        if getattr(now, "step", 0) == 6:
            raise Enough

    with pytest.raises(Enough):
        fit_sam(half, tiles(4), stopped, stop, clock=lambda: next(ticks))
    resumed = aligned(_seeded(TINY))
    fit_sam(resumed, tiles(4), stopped, lambda now: None)
    assert np.abs(_answer(whole) - _answer(resumed)).max() < 1e-3
    assert np.abs(_answer(whole) - _answer(aligned(_seeded(TINY)))).max() > 0.1


def test_another_run_is_not_resumed(tmp_path: Path) -> None:
    fit_sam(_seeded(TINY), tiles(2), SamFit(1, 60, 1, 1, 1e-3, 1, checkpoint=tmp_path), lambda now: None)
    with pytest.raises(ConfigError, match="other settings"):
        fit_sam(_seeded(TINY), tiles(2), SamFit(1, 60, 1, 1, 1e-3, 2, checkpoint=tmp_path), lambda now: None)


@pytest.mark.train
def test_it_learns_to_cut_out_what_a_point_means() -> None:
    """On photos it has not seen; untrained it cannot, so this fails if training does nothing."""
    photos = [tiles(20)[index] for index in range(20)]
    seen, unseen = Listed(photos[:14]), Listed(photos[14:])
    sam = aligned(_seeded(TINY))
    before = score_masks(SamSegmenter(sam, ""), unseen)["box+point"]
    fit_sam(sam, seen, SamFit(150, 60, photos=2, questions=3, learning_rate=2e-3, seed=1), lambda now: None)
    after = score_masks(SamSegmenter(sam, ""), unseen)["box+point"]
    assert before.iou < 0.35
    assert after.iou > 0.5
    assert after.iou_by_area > 0.75
    assert after.quality_error < 0.25


def _answer(sam: Sam) -> np.ndarray:
    segmenter = SamSegmenter(sam, "")
    return segmenter.logits(segmenter.encode(tiles(1)[0].image), golden_prompts(48, 64))


def _seeded(config: SamConfig) -> Sam:
    torch.manual_seed(0)
    return assemble(config)
