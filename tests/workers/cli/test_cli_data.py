"""`umiak data`: what is written reads back as the same data set; a folder in use stays as it is."""

from pathlib import Path

import numpy as np
import pytest

from umiak_workers.adapters.camera import file as camera_file
from umiak_workers.adapters.camera import pictures
from umiak_workers.cli.data import data
from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.classified import read_parts
from umiak_workers.datasets.pose_source import open_poses
from umiak_workers.datasets.source import open_dataset
from umiak_workers.datasets.yard import Yard
from umiak_workers.datasets.yard_watch import Watch

URI = "yard:dusk?seed=5&frames=3"


def test_a_yard_becomes_a_folder_with_the_same_labels(tmp_path: Path) -> None:
    data(URI, tmp_path / "dusk")
    written, yard = open_dataset(str(tmp_path / "dusk")), open_dataset(URI)
    assert len(written) == 3
    for index in range(3):
        assert np.array_equal(written[index].label, yard[index].label)  # type: ignore[arg-type]
        assert np.abs(written[index].image.astype(int) - yard[index].image.astype(int)).mean() < 8  # JPEG


def test_a_yards_windows_go_into_folders_of_their_classes(tmp_path: Path) -> None:
    data("yard:day?seed=3&frames=2&shot=1", tmp_path / "watch", classes=True)
    part = read_parts(tmp_path / "watch")[""]
    watch = Watch(Yard("day", "clear", 3, 2, 1))
    assert len(part) == len(watch) == 8
    assert sorted(part[index].kind for index in range(8)) == sorted(
        part.classes.index(watch.classes[watch[index].kind]) for index in range(8)
    )
    folder = tmp_path / "frames"
    data(URI, folder)
    with pytest.raises(ConfigError, match="only a yard"):
        data(str(folder), tmp_path / "other", classes=True)


def test_figures_become_a_folder_with_the_same_joints(tmp_path: Path) -> None:
    uri = "figures:dusk?seed=5&frames=3"
    data(uri, tmp_path / "people")
    written, figures = open_poses(str(tmp_path / "people")), open_poses(uri)
    assert len(written) == 3
    for index in range(3):
        one, other = written[index], figures[index]
        assert (one.name, one.visible.tolist()) == (other.name, other.visible.tolist())
        assert one.joints == pytest.approx(other.joints, abs=0.006)
        assert np.abs(one.image.astype(int) - other.image.astype(int)).mean() < 8  # JPEG
    with pytest.raises(ConfigError, match="exists already"):
        data(uri, tmp_path / "people")
    with pytest.raises(ConfigError, match="figures are photos with joints"):
        data(uri, tmp_path / "more", video=tmp_path / "more.mp4")


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        data(URI, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_yard_as_a_video_shows_the_same_photos(tmp_path: Path) -> None:
    film = tmp_path / "dusk.mp4"
    data(URI, tmp_path / "dusk", video=film, rate=5)
    yard = open_dataset(URI)
    found = list(pictures(camera_file(film), pytest.fail))
    assert [round(one.seconds, 2) for one in found] == [0, 0.2, 0.4]
    for index, one in enumerate(found):
        pixels = one.frame.to_ndarray(format="rgb24").astype(int)
        assert np.abs(pixels - yard[index].image[: pixels.shape[0], : pixels.shape[1]].astype(int)).mean() < 8
    with pytest.raises(ConfigError, match="cannot be written as a video"):
        data(URI, tmp_path / "again", video=tmp_path / "nowhere" / "dusk.mp4", rate=5)
    with pytest.raises(ConfigError, match=r"dusk\.mp4: exists already"):
        data(URI, tmp_path / "more", video=film)
    assert not (tmp_path / "more").exists()
