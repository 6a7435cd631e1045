"""`umiak train segmentation`: a card tells the whole recipe, and a model that is gone on from stays what it was."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.cli import train
from umiak_workers.contract.artefact import Card

PHOTOS = "yard:day?seed=9&frames=4&shot=1"
SHORT = "--height 48 --width 64 --channels 4 --decoder 8 --epochs 1 --batch 2 --threads 1"


def trained(out: Path, *more: str) -> Card:
    told = ["segmentation", "--data", PHOTOS, "--out", str(out), *SHORT.split(), *more]
    result = CliRunner().invoke(train.app, told, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return load_model(out).card


def config(card: Card) -> dict[str, Any]:
    assert card.architecture is not None
    return dict(card.architecture.config)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "plain"
    trained(folder, "--no-standardise")
    return folder


def test_a_new_model_standardises_and_its_card_says_in_which_light_it_learnt(tmp_path: Path) -> None:
    card = trained(tmp_path / "model", "--light", "any", "--partial", "0.5")
    assert config(card)["standardise"] is True
    assert all(words in card.made_by for words in ("--standardise", "--light any", "--partial 0.5"))


def test_what_is_gone_on_from_stays_as_it_is_unless_said(plain: Path, tmp_path: Path) -> None:
    same = trained(tmp_path / "same", "--start", str(plain))
    changed = trained(tmp_path / "changed", "--start", str(plain), "--standardise")
    assert "standardise" not in {**config(load_model(plain).card), **config(same)}
    assert same.made_by.count("--no-standardise") == 2
    assert config(changed)["standardise"] is True
    assert changed.made_by.count("--no-standardise") == changed.made_by.count("--standardise") == 1
