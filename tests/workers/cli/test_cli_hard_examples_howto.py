"""docs/howto/hard-examples.md: its programs run, its specs are taken, and its knots are what its data give."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from umiak_operators.api.joint_inference import HardExamples

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "docs" / "howto" / "hard-examples.md").read_text(encoding="utf-8"))
PROGRAMS = {name: text for _, name, text in BLOCKS if name}
RECORDED = ROOT / "tests" / "workers" / "core" / "yard_day_to_dusk.csv"


def run(folder: Path, program: str, text: str) -> str:
    """What a program of the page prints."""
    (folder / program).write_text(text, encoding="utf-8")
    line = [sys.executable, program]
    return subprocess.run(
        line, cwd=folder, check=True, timeout=120, env=dict(os.environ), capture_output=True, text=True
    ).stdout


def specs() -> list[HardExamples]:
    """Every hardExamples of the page."""
    found = [yaml.safe_load(text)["hardExamples"] for kind, _, text in BLOCKS if kind == "yaml"]
    return [HardExamples.model_validate(spec) for spec in found]


def test_every_spec_is_taken() -> None:
    kinds = {
        name for spec in specs() for rule in spec.miners for name in rule.model_dump(exclude_none=True, by_alias=True)
    }
    assert kinds == {"miner", "threshold", "calibration", "budget", "bytesPerSecond", "cost"}


def test_the_knots_are_those_of_the_recorded_yard(tmp_path: Path) -> None:
    with RECORDED.open() as file, (tmp_path / "pairs.csv").open("w") as pairs:
        lines = [f"{1 - float(row['margin'])},{row['gain']}\n" for row in csv.DictReader(file)]
        pairs.writelines(["hardness,gain\n", *lines])
    printed = yaml.safe_load(run(tmp_path, "fit.py", PROGRAMS["fit.py"]))
    (rule,) = (rule for spec in specs() for rule in spec.miners if rule.calibration)
    assert printed["calibration"] == [list(knot) for knot in rule.calibration or ()]


def test_pairs_are_those_that_were_recorded(tmp_path: Path) -> None:
    few = PROGRAMS["pairs.py"].replace("frames=500", "frames=2")
    assert few.count("frames=2") == 2
    run(tmp_path, "pairs.py", few)
    with RECORDED.open() as file, (tmp_path / "pairs.csv").open() as pairs:
        recorded, found = list(csv.DictReader(file)), list(csv.DictReader(pairs))
    for row, kept in zip(found, (recorded[index] for index in (0, 1, 500, 501)), strict=True):
        assert abs(float(row["hardness"]) - (1 - float(kept["margin"]))) <= 1e-3
        assert abs(float(row["gain"]) - float(kept["gain"])) <= 0.01
