"""Alert rules: promtool runs their unit tests, every rule has one, and every rule speaks of figures that exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts" / "umiak" / "alerts" / "umiak.yaml"
CASES = Path(__file__).with_name("umiak.test.yaml")
SOURCES = (ROOT / "workers" / "umiak_workers", ROOT / "operators" / "umiak_operators")
SUFFIXES = re.compile(r"_(total|bucket|sum|count|info)$")


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None and not os.environ.get("CI"):
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    assert found, "promtool is not installed (Debian: apt-get install prometheus)"
    return found


def run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


@pytest.mark.processes
def test_promtool_takes_the_rules_and_their_cases_hold(promtool: str) -> None:
    assert f"SUCCESS: {len(rules())} rules found" in run(promtool, "check", "rules", RULES)
    assert "SUCCESS" in run(promtool, "test", "rules", CASES)


@pytest.mark.processes
def test_a_changed_limit_fails_the_cases(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "umiak.yaml").write_text(RULES.read_text().replace("> 0.5", "> 1.5"))
    cases = CASES.read_text().replace("../../charts/umiak/alerts/umiak.yaml", "umiak.yaml")
    (tmp_path / "cases.yaml").write_text(cases)
    done = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "cases.yaml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "UmiakCloudLost" in done.stdout + done.stderr


def test_every_rule_has_a_case_and_says_what_to_think_of_it() -> None:
    cases = CASES.read_text()
    for rule in rules():
        name = rule["alert"]
        assert re.search(rf'exp_samples:\n.*alertname="{name}"', cases) or re.search(
            rf"alertname: {name}\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels", cases
        ), f"no case in which {name} fires"
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_every_figure_of_a_rule_is_one_that_we_export() -> None:
    said = "".join(file.read_text() for folder in SOURCES for file in folder.rglob("*.py"))
    for rule in rules():
        found = re.findall(r"umiak_\w+", rule["expr"])
        assert found
        for metric in found:
            assert f'"{SUFFIXES.sub("", metric)}"' in said, f"{rule['alert']}: nobody exports {metric}"


def test_the_page_lists_every_alert() -> None:
    page = (ROOT / "docs" / "howto" / "dashboards.md").read_text()
    for rule in rules():
        assert f"| `{rule['alert']}` | {rule['labels']['severity']} |" in page
