"""`umiak data`: what is written reads back as the same data set; a folder in use stays as it is."""

from pathlib import Path

import numpy as np
import pytest

from umiak_workers.cli.data import data
from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.source import open_dataset

URI = "yard:dusk?seed=5&frames=3"


def test_a_yard_becomes_a_folder_with_the_same_labels(tmp_path: Path) -> None:
    data(URI, tmp_path / "dusk")
    written, yard = open_dataset(str(tmp_path / "dusk")), open_dataset(URI)
    assert len(written) == 3
    for index in range(3):
        assert np.array_equal(written[index].label, yard[index].label)  # type: ignore[arg-type]
        assert np.abs(written[index].image.astype(int) - yard[index].image.astype(int)).mean() < 8  # JPEG


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        data(URI, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
