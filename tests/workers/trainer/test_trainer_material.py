"""What a round learns from: cloud answers only, split by time, unreadable samples left out, base data held back."""

from typing import Any

import numpy as np
import pytest

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import Sample
from umiak_workers.trainer import material
from umiak_workers.trainer.material import gather


def test_the_newest_samples_are_held_back_and_the_rest_is_learnt_from(hub: Any, config: Any, dusk: Any) -> None:
    found = gather(hub, config)
    assert [sample.name for sample in found.replay_held_back] == [f"edge-{n % 2}/http/{n}" for n in range(21, 28)]
    assert len(found.replay) == 21
    assert len(found.base) == 18
    assert len(found.base_held_back) == 6
    assert all((sample.label == dusk[index].label).all() for index, sample in enumerate(found.replay))


def test_samples_after_the_watermark_do_not_exist_for_this_round(hub: Any, config: Any) -> None:
    found = gather(hub, config.model_copy(update={"watermark": 10}))
    assert len(found.replay) + len(found.replay_held_back) == 10


def test_samples_that_are_gone_or_broken_are_left_out(hub: Any, config: Any) -> None:
    (first, _, mask), (second, photo, _) = hub.samples[1], hub.samples[2]
    third, _, third_mask = hub.samples[3]
    hub.samples[1] = (first, b"", mask)
    hub.samples[2] = (second, photo, b"\x89PNG not really")
    hub.samples[3] = (third, photo[:200], third_mask)
    found = gather(hub, config)
    assert len(found.replay) == 18
    assert not {sample.name for sample in found.replay} & {first.frame, second.frame, third.frame}


def test_a_label_of_another_size_is_left_out(hub: Any, config: Any) -> None:
    hub.keep("edge-0/http/99", 1.0, np.zeros((24, 32, 3), np.uint8), np.zeros((12, 16), np.uint8))
    found = gather(hub, config.model_copy(update={"watermark": 29}))
    assert "edge-0/http/99" not in {sample.name for sample in found.replay}


def test_a_large_store_is_cut_down_evenly_and_repeatably(
    hub: Any, config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("MOST_LEARNT", 8), ("MOST_HELD_BACK", 4), ("MOST_BASE", 5), ("MOST_BASE_HELD_BACK", 3)):
        monkeypatch.setattr(material, name, most)
    first, second = gather(hub, config), gather(hub, config)
    sizes = [len(part) for part in (first.replay, first.replay_held_back, first.base, first.base_held_back)]
    assert sizes == [8, 4, 5, 3]
    assert sum(sample.name.startswith("edge-0/") for sample in first.replay) == 4
    assert [sample.name for sample in first.replay] == [sample.name for sample in second.replay]
    assert [sample.name for sample in first.base] == [sample.name for sample in second.base]


def test_large_photos_are_shrunk_with_their_labels() -> None:
    label = np.repeat(np.arange(4, dtype=np.uint8), 500)[:, None].repeat(1000, axis=1)
    found = material.shrunk(Sample(np.zeros((2000, 1000, 3), np.uint8), label, "large"))
    height, width = found.image.shape[:2]
    assert found.label is not None
    assert found.label.shape == (height, width)
    assert 0.98 * material.MOST_PIXELS <= height * width <= material.MOST_PIXELS
    assert set(np.unique(found.label)) == {0, 1, 2, 3}
    small = Sample(np.zeros((8, 8, 3), np.uint8), None, "small")
    assert material.shrunk(small) is small


def test_base_data_without_labels_is_a_clear_error(hub: Any, config: Any, tmp_path: Any) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (32, 24)).save(tmp_path / "images" / f"{name}.png")
    with pytest.raises(ConfigError, match="has no label"):
        gather(hub, config.model_copy(update={"base_data": str(tmp_path)}))
