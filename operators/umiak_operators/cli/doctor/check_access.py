"""What could not be looked at, and which right would help."""

from collections.abc import Iterator

from umiak_operators.cli.doctor.facts import Facts
from umiak_operators.cli.doctor.finding import Finding, unknown

RIGHTS = "docs/reference/doctor-rbac.yaml"


def check(facts: Facts) -> Iterator[Finding]:
    """One finding for each gap."""
    for gap in facts.gaps:
        if gap.right:
            yield unknown(
                "access.rights",
                f"not allowed to read {gap.what}",
                "what depends on it was left out; the doctor needs read rights only, and this one is missing",
                f"kubectl auth can-i {gap.right}",
                f"an administrator grants what is in {RIGHTS}",
            )
        else:
            yield unknown(
                "access.answer", f"{gap.what} could not be read: {gap.message}", "what depends on it was left out"
            )
