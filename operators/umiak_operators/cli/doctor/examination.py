"""All checks, in the order in which a person wants to read them: what stands on what comes later."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from umiak_operators.cli.doctor import (
    check_access,
    check_certificates,
    check_installation,
    check_nodes,
    check_pods,
    check_resources,
    check_storage,
    check_versions,
)
from umiak_operators.cli.doctor.facts import Facts
from umiak_operators.cli.doctor.finding import Finding, Place, Report, counts, exit_code

Check = Callable[[Facts], Iterator[Finding]]
CHECKS: Final[tuple[Check, ...]] = (
    check_versions.check,
    check_installation.check,
    check_pods.check,
    check_storage.check,
    check_nodes.check,
    check_certificates.check,
    check_resources.check,
    check_access.check,
)


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Every finding; the same one is said once."""
    return tuple(dict.fromkeys(finding for check in CHECKS for finding in check(facts)))


def report(findings: tuple[Finding, ...], place: Place, version: str, now: float) -> Report:
    """The findings with their verdict."""
    found = counts(findings)
    at = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Report(umiak=version, at=at, place=place, counts=found, exit_code=exit_code(found), findings=findings)
