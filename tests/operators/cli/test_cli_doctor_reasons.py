"""Whatever reason a condition of Umiak gives, the doctor has plain words for it."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from umiak_operators.cli.doctor.reasons import MEANINGS
from umiak_workers.contract.fleet import ReleaseView
from umiak_workers.contract.messages import RoundReport

SOURCE = Path(__file__).resolve().parents[3] / "operators" / "umiak_operators"
FILES = [*sorted((SOURCE / "plan").glob("*.py")), SOURCE / "reconcile.py"]
PLACES = {"Condition": 2, "_not_ready": 0, "Waiting": 0}
"""Which argument of a call is the reason."""
KNOWN = {"namespace", "name", "singular", "system"}


def reasons(file: Path) -> Iterator[str]:
    """Every reason that stands in a file as text."""
    tree = ast.parse(file.read_text())
    words = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            words[node.targets[0].id].append(node.value)
    for node in ast.walk(tree):
        name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and name in PLACES and len(node.args) > PLACES[name]:
            said = node.args[PLACES[name]]
            for value in words[said.id] if isinstance(said, ast.Name) else [said]:
                yield from constants(value)


def constants(value: ast.AST) -> Iterator[str]:
    """CamelCase words in an expression."""
    for part in ast.walk(value):
        if (
            isinstance(part, ast.Constant)
            and isinstance(part.value, str)
            and re.fullmatch("[A-Z][A-Za-z]+", part.value)
        ):
            yield part.value


GIVEN = {reason for file in FILES for reason in reasons(file)}
STATES = set(get_args(ReleaseView.model_fields["state"].annotation))
OUTCOMES = set(get_args(RoundReport.model_fields["outcome"].annotation))


def test_reasons_are_found_where_they_are_given() -> None:
    assert {"HostPathNotAllowed", "EdgesProgressing", "CloudFailed", "TooFewSamples", "ChildRefused"} <= GIVEN
    assert len(GIVEN) > 30


@pytest.mark.parametrize("reason", sorted(GIVEN | STATES | OUTCOMES))
def test_every_reason_has_plain_words(reason: str) -> None:
    assert reason in MEANINGS


def test_no_words_for_reasons_that_nobody_gives() -> None:
    assert set(MEANINGS) == GIVEN | STATES | OUTCOMES


@pytest.mark.parametrize("reason", sorted(MEANINGS))
def test_what_is_not_fine_has_a_next_step(reason: str) -> None:
    meaning = MEANINGS[reason]
    assert meaning.why
    assert meaning.weight == "fine" or meaning.next
    fields = {field for one in meaning.next for _, field, _, _ in Formatter().parse(one) if field}
    assert fields <= KNOWN
