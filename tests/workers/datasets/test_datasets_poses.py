"""Joints from a folder's table and from procedural figures, frozen because weights rest on them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from umiak_workers.contract.errors import ConfigError, InvalidInput
from umiak_workers.core.keypoints import JOINTS, torso
from umiak_workers.datasets.figures import SIDE
from umiak_workers.datasets.pose_source import open_poses
from umiak_workers.datasets.sample import Joined

LSPET = Path(__file__).resolve().parents[4] / "shared" / "data" / "lspet"
HEADER = "file,width,height," + ",".join(f"{joint}_{part}" for joint in JOINTS for part in ("x", "y", "vis"))


def table(root: Path, *lines: str, header: str = HEADER) -> Path:
    (root / "images").mkdir(parents=True, exist_ok=True)
    for name in ("b.png", "a.png"):
        Pillow.new("RGB", (30, 40)).save(root / "images" / name)
    (root / "joints.csv").write_text("\n".join((header, *lines)) + "\n")
    return root


def line(name: str, seen: str = "1.0") -> str:
    return f"{name},30,40," + ",".join(f"{number},{number + 0.5},{seen}" for number in range(len(JOINTS)))


def test_a_table_in_the_order_of_its_photos(tmp_path: Path) -> None:
    found = open_poses(str(table(tmp_path, line("b.png"), line("gone.png"), line("../a.png"), line("a.png", "0.0"))))
    assert [found[index].name for index in range(len(found))] == ["a", "b"]
    assert not found[0].visible.any()
    assert found[1].visible.all()
    assert found[1].joints[3].tolist() == [3, 3.5]
    assert found[1].image.shape == (40, 30, 3)


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"joints\.csv is missing"):
        open_poses(str(tmp_path))
    with pytest.raises(ConfigError, match="column 'r_ankle_x' is missing"):
        open_poses(str(table(tmp_path, header="file,x")))
    with pytest.raises(ConfigError, match="no line names a photo"):
        open_poses(str(table(tmp_path, line("gone.png"))))
    with pytest.raises(InvalidInput, match=r"a\.png: could not convert"):
        open_poses(str(table(tmp_path, line("a.png", "yes"))))
    with pytest.raises(InvalidInput, match="not finite"):
        open_poses(str(table(tmp_path, line("a.png").replace(",3.5", ",nan"))))


def test_figures_repeat_and_are_frozen() -> None:
    found, again = open_poses("figures:day?seed=3&frames=6"), open_poses("figures:day?seed=3&frames=9")
    for index in range(6):
        assert (found[index].image == again[index].image).all()
        assert (found[index].joints == again[index].joints).all()
    digest = hashlib.sha256(np.round(found[4].joints, 2).tobytes()).hexdigest()[:16]
    assert digest == "62b9b76c1fcbe2a8"
    assert not np.array_equal(found[0].joints, open_poses("figures:day?seed=4&frames=1")[0].joints)


def test_a_figure_is_where_its_joints_say() -> None:
    """Pixels at the joints differ from the yard behind them: the figure is really painted there."""
    found = open_poses("figures:day?seed=3&frames=12")
    for index in range(12):
        photo = found[index]
        assert photo.image.shape == (SIDE, SIDE, 3)
        assert photo.visible.sum() >= 8
        scale = torso(photo.joints, photo.visible)
        assert scale is None or 20 < scale < 90
    heights = [np.ptp(found[index].joints[:, 1]) for index in range(12)]
    assert max(heights) - min(heights) > 30


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("figures:noon", "light is one of"),
        ("figures:day?size=3", "unknown size"),
        ("figures:day?frames=0", "frames is a whole number from 1"),
    ],
)
def test_a_wrong_uri_is_named(uri: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_poses(uri)


def test_joined_figures() -> None:
    both = Joined((open_poses("figures:day?seed=3&frames=2"), open_poses("figures:dusk?seed=3&frames=1")))
    assert len(both) == 3
    assert both[2].name == "figure-dusk-3-00000"


@pytest.mark.skipif(not LSPET.is_dir(), reason="the shared data sets are not here")
def test_real_people_are_read() -> None:
    found = open_poses(str(LSPET), "val")
    assert len(found) == 500
    assert found[0].name == "im00081"
    assert found[0].visible.sum() > 5
