"""docs/howto/own-model.md, followed to the letter."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.cli import model as model_command
from umiak_workers.predictors.onnx import OnnxSegmenter

HOWTO = Path(__file__).parents[3] / "docs" / "howto" / "own-model.md"
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_step_of_the_howto_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(HOWTO.read_text(encoding="utf-8"))
    for _, name, text in blocks:
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "make.py"], cwd=tmp_path, check=True, timeout=120, env=dict(os.environ))
    commands = [line for kind, _, text in blocks if kind == "sh" for line in text.splitlines() if line]
    assert [shlex.split(line)[:3] for line in commands] == [["umiak", "model", "pack"], ["umiak", "model", "show"]]
    printed = ""
    for line in commands:
        result = CliRunner().invoke(model_command.app, shlex.split(line)[2:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        printed += result.output
    model = load_model(tmp_path / "three-colours")
    assert model.digest in printed
    answer = OnnxSegmenter(model, threads=1).predict(np.full((30, 40, 3), (10, 20, 220), np.uint8))
    assert (answer.labels == 2).all()
