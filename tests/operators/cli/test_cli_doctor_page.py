"""The page by symptom and the doctor say the same, in the same words."""

import re
from pathlib import Path

import pytest

from umiak_operators.cli.doctor.facts import PARTS
from umiak_operators.cli.doctor.reasons import MEANINGS, Meaning

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "howto" / "troubleshooting.md").read_text()
SOURCE = "\n".join(
    file.read_text() for file in sorted((ROOT / "operators" / "umiak_operators" / "cli" / "doctor").glob("*.py"))
)
SECTIONS = ("access", "certificates", "installation", "machine", "nodes", "resources", "storage", "versions")
COMMAND = re.compile(r"(?:^|(?<=: ))((?:kubectl|umiak) .*)$")
PLACES = {"namespace": "NAMESPACE", "name": "NAME", "singular": "KIND", "system": "umiak-system"}


def row(reason: str, meaning: Meaning) -> str:
    """The line of the page's table for a reason."""
    steps = (COMMAND.sub(r"`\1`", step.format(**PLACES)) for step in meaning.next)
    return f"| `{reason}` | {meaning.why} | {'; '.join(steps)} |"


@pytest.mark.parametrize("reason", sorted(reason for reason, known in MEANINGS.items() if known.weight != "fine"))
def test_every_reason_that_may_need_somebody_is_on_the_page(reason: str) -> None:
    assert row(reason, MEANINGS[reason]) in PAGE.splitlines()


def test_checks_that_the_page_names_are_the_doctor_s() -> None:
    named = set(re.findall(rf"`((?:{'|'.join(SECTIONS)})\.[a-z-]+)`", PAGE))
    assert len(named) > 15
    of_parts = {f"{section}.{part}" for section in ("certificates", "installation") for part in PARTS}
    for check in sorted(named - of_parts):
        assert f'"{check}"' in SOURCE, check
    for pod in re.findall(r"`(pod-[a-z]+)`", PAGE):
        assert f'"{pod}"' in SOURCE or f".{pod}" in SOURCE, pod


def test_files_that_the_page_links_to_are_there() -> None:
    folder = ROOT / "docs" / "howto"
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert (folder / target).exists() or target == "images.md", target


def test_figures_that_the_doctor_reads_are_exported() -> None:
    metrics = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    for name in re.findall(r'"(umiak_(?:hub|fleet)_[a-z_]+)"', SOURCE):
        assert f"`{name}`" in metrics, name
