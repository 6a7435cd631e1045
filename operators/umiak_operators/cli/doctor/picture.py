"""The report for a person: a line for each finding, and below what is not well why that matters and what to type."""

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from umiak_operators.cli.doctor.finding import Finding, Level, Place, Report

_TITLES: Final = {
    "versions": "Versions",
    "installation": "Installation",
    "storage": "Storage",
    "nodes": "Nodes and clocks",
    "certificates": "Keys, certificates, addresses",
    "resources": "Resources",
    "machine": "This machine",
    "access": "Not looked at",
}
_STYLES: Final[dict[Level, str]] = {"ok": "green", "warning": "yellow", "problem": "bold red", "unknown": "cyan"}
_MARKS: Final[dict[Level, str]] = {"ok": "✓", "warning": "!", "problem": "✗", "unknown": "?"}
_PLAIN: Final[dict[Level, str]] = {"ok": "+", "warning": "!", "problem": "x", "unknown": "?"}


def show(report: Report, console: Console) -> None:
    """Print it; commands stay on one line, so that they can be copied."""
    plain = (console.encoding or "").lower().replace("-", "") not in ("utf8", "utf16")
    console.print(_heading(report), soft_wrap=True)
    for section, title in _TITLES.items():
        found = [finding for finding in report.findings if finding.section == section]
        if found:
            console.print()
            console.print(Text(title, style="bold"))
            for finding in found:
                _finding(finding, console, _PLAIN if plain else _MARKS)
    console.print()
    console.print(_verdict(report))


def _finding(finding: Finding, console: Console, marks: dict[Level, str]) -> None:
    head = Text(f"{finding.subject}: " if finding.subject else "", style="bold" if finding.level != "ok" else "")
    _print(console, Text(f" {marks[finding.level]} ", style=_STYLES[finding.level]), head + Text(finding.found))
    if finding.why:
        _print(console, Text("     why ", style="dim"), Text(finding.why, style="dim"))
    for number, command in enumerate(finding.next):
        label = "     do  " if number == 0 else "         "
        console.print(Text.assemble((label, "dim"), (command, "cyan")), soft_wrap=True)


def _print(console: Console, label: Text, body: Text) -> None:
    """A label and text that wraps beside it; in a pipe it does not wrap at all, so that it can be searched."""
    if not console.is_terminal:
        console.print(label + body, soft_wrap=True)
        return
    indent = len(label)
    for number, part in enumerate(body.wrap(console, max(20, console.width - indent))):
        console.print(label + part if number == 0 else Padding(part, (0, 0, 0, indent)))


def _heading(report: Report) -> Text:
    place = report.place
    return Text(" · ".join((f"umiak doctor {report.umiak}", *_where(place))), style="bold")


def _where(place: Place) -> Iterator[str]:
    if place.kind == "machine":
        yield "this machine"
        return
    yield place.server + (f" (context {place.context})" if place.context else "")
    if place.kubernetes:
        yield f"Kubernetes {place.kubernetes}"
    yield f"namespace {place.namespace}"


def _verdict(report: Report) -> Text:
    found = report.counts
    parts = (
        (found.problem, "problem", "problems", "bold red"),
        (found.warning, "warning", "warnings", "yellow"),
        (found.unknown, "not looked at", "not looked at", "cyan"),
        (found.ok, "well", "well", "green"),
    )
    said = [Text(f"{count} {one if count == 1 else many}", style=style) for count, one, many, style in parts if count]
    return Text(", ").join(said) if said else Text("nothing was looked at")
