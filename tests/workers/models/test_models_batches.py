"""Augmented batches: repeatable, zoomed and partly sharp where asked, and the same when made ahead."""

import numpy as np
import pytest
import torch

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import Listed, Sample
from umiak_workers.models.batches import ANY_LIGHT, Ahead, Batches, Partial, Photometric, Zoom, toned, tones

STILL = Photometric(0, 0, 0, 0)
UNZOOMED, SHARP = Zoom(), Partial()


def photos(count: int, height: int = 96, width: int = 128) -> Listed:
    """Noise whose red channel is also its label: what happens to one must happen to the other."""
    samples = []
    for index in range(count):
        label = np.random.default_rng(index).integers(0, 2, (height // 16, width // 16), dtype=np.uint8)
        label = label.repeat(16, axis=0).repeat(16, axis=1)
        noise = np.random.default_rng(index).integers(0, 60, (height, width, 3), dtype=np.uint8)
        samples.append(Sample(noise + 180 * label[:, :, None], label, f"noise-{index}"))
    return Listed(samples)


def batches(zoom: Zoom = UNZOOMED, partial: Partial = SHARP, seed: int = 3) -> Batches:
    return Batches(photos(6), 96, 128, 4, (48, 64), STILL, seed, zoom, partial)


def agreement(images: torch.Tensor, labels: torch.Tensor) -> float:
    return float(((images[..., 0] > 120) == (labels > 0)).float().mean())


@pytest.mark.parametrize("zoom", [Zoom(), Zoom(0.6, 1.8), Zoom(2, 2)])
def test_photo_and_label_stay_together_at_every_scale(zoom: Zoom) -> None:
    for number in range(3):
        images, labels = batches(zoom).batch_at(number)
        assert images.shape == (4, 48, 64, 3)
        assert labels.shape == (4, 48, 64)
        assert agreement(images, labels) > 0.93


def test_a_zoom_shows_things_larger() -> None:
    def borders(zoom: Zoom) -> float:
        labels = torch.cat([batches(zoom).batch_at(number)[1] for number in range(8)]).numpy()
        return float((labels[:, :, 1:] != labels[:, :, :-1]).mean())

    assert borders(Zoom(2, 2)) < 0.65 * borders(Zoom())


def test_partly_sharp_crops_keep_their_labels_and_lose_detail() -> None:
    def detail(images: torch.Tensor) -> float:
        return float((images[:, :, 1:].float() - images[:, :, :-1].float()).abs().mean())

    plain, labels = batches().batch_at(0)
    seen, same = batches(partial=Partial(1.0, side=16, cells=(8,))).batch_at(0)
    assert torch.equal(labels[0], same[0])  # later ones differ: which tiles are sharp is drawn too
    assert detail(seen[:1]) < 0.9 * detail(plain[:1])
    assert agreement(seen, same) > 0.8
    untouched, _ = batches(partial=Partial(0.0)).batch_at(0)
    assert torch.equal(untouched, plain)


def test_any_light_changes_colours_and_tones_and_leaves_labels_where_they_are() -> None:
    def lit(by: Photometric) -> tuple[torch.Tensor, torch.Tensor]:
        found = [Batches(photos(6), 96, 128, 6, None, by, 3).batch_at(number) for number in range(8)]
        return torch.cat([images for images, _ in found]), torch.cat([labels for _, labels in found])

    def unlike(images: torch.Tensor) -> float:
        return float(images.float().mean(dim=(1, 2)).std(dim=0).mean())

    (still, _), (usual, _), (images, labels) = (lit(by) for by in (STILL, Photometric(), ANY_LIGHT))
    assert unlike(images) > 1.05 * unlike(usual) > 1.05 * unlike(still)
    for image, label in zip(images[..., 0].float(), labels, strict=True):
        assert image[label > 0].mean() > image[label == 0].mean() + 20


def test_a_photo_takes_on_the_tones_of_another_by_share() -> None:
    rng = np.random.default_rng(0)
    image, other = (np.clip(rng.normal(m, s, (40, 50, 3)), 0, 255).astype(np.uint8) for m, s in ((60, 10), (150, 25)))
    assert np.abs(toned(image, tones(other), 0.0).astype(int) - image).max() <= 1
    for share, mean, spread in ((1.0, 150, 25), (0.5, 105, 17.5)):
        found = toned(image, tones(other), share)
        assert found.mean() == pytest.approx(mean, abs=1.5)
        assert found.std() == pytest.approx(spread, abs=2.5)


def test_a_batch_is_the_same_whenever_and_however_it_is_asked_for() -> None:
    source = batches(Zoom(0.6, 1.8), Partial(0.5, side=16))
    with Ahead(source) as ahead:
        for number in (0, 1, 2, 7, 3):
            images, labels = ahead.batch_at(number)
            again, same = source.batch_at(number)
            assert torch.equal(images, again)
            assert torch.equal(labels, same)


def test_a_crop_larger_than_the_photo_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="crop: 200x64 does not fit into photos of 96x128"):
        Batches(photos(2), 96, 128, 2, (200, 64), STILL, 1)


@pytest.mark.parametrize(("smallest", "largest"), [(0, 1), (2, 1), (-1, 2)])
def test_a_scale_that_is_none_is_refused(smallest: float, largest: float) -> None:
    with pytest.raises(ConfigError, match="scale: expected"):
        Zoom(smallest, largest)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_of_partial_crops_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="partial: expected a share"):
        Partial(share)
