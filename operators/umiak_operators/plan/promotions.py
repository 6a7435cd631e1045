"""From a promoted candidate to a ModelPatch child, listed until a later promotion takes its place.

It is made only while the head is still what the round started from: a patch for a head that has moved on could only
end in a conflict. Once made it stays, so that what became of it can be read.
"""

from collections.abc import Iterable

from umiak_operators.api.conditions import find
from umiak_operators.api.resource import API_VERSION, Resource
from umiak_operators.plan import names, objects
from umiak_operators.plan.model import Child, Observed
from umiak_operators.plan.objects import Obj
from umiak_operators.plan.rounds import Lesson
from umiak_workers.contract.fleet import FleetView
from umiak_workers.contract.messages import RoundReport


def latest_promoted(reports: Iterable[RoundReport]) -> RoundReport | None:
    """The newest report that promoted something."""
    found = [
        report for report in reports if report.outcome == "Promoted" and report.candidate not in (None, report.base)
    ]
    return max(found, key=lambda report: (report.watermark, report.finished_at), default=None)


def patch_objects(lesson: Lesson, seen: Observed) -> list[Obj]:
    """The ModelPatch children to list: the latest promotion's; what is there while the hub knows of none."""
    there = {child.name: child for child in seen.children if child.kind == "ModelPatch"}
    report = latest_promoted(seen.fleet.rounds) if seen.fleet else None
    if report is None or report.candidate is None:
        return [_kept(lesson, child) for child in there.values() if _move(child) is not None]
    name = names.patch(lesson.resource.key.name, report.candidate)
    if name in there or _head(seen.fleet) == report.base:
        return [_patch(lesson, name, report.base, report.candidate)]
    return []


def landing(resource: Resource, seen: Observed) -> str | None:
    """Name of the ModelPatch that should still move the head: made or about to be, and not given up."""
    report = latest_promoted(seen.fleet.rounds) if seen.fleet else None
    if report is None or report.candidate is None or _head(seen.fleet) != report.base:
        return None
    name = names.patch(resource.key.name, report.candidate)
    return None if _given_up(name, seen.related) else name


def _given_up(name: str, related: Iterable[Resource]) -> bool:
    for other in related:
        if other.key.kind == "ModelPatch" and other.key.name == name:
            found = find(other.status.get("conditions") or (), "Succeeded")
            return found is not None and found.get("status") == "False"
    return False


def _head(fleet: FleetView | None) -> str | None:
    return fleet.line.digest if fleet and fleet.line else None


def _move(child: Child) -> tuple[str, str] | None:
    base, candidate = child.annotations.get(names.BASE_DIGEST), child.annotations.get(names.CANDIDATE_DIGEST)
    return (base, candidate) if base and candidate else None


def _kept(lesson: Lesson, child: Child) -> Obj:
    base, candidate = _move(child) or ("", "")
    return _patch(lesson, child.name, base, candidate)


def _patch(lesson: Lesson, name: str, base: str, candidate: str) -> Obj:
    key = lesson.resource.key
    own = objects.labels(objects.owner_labels("LifelongLearning", key.name), "patch")
    notes = {names.BASE_DIGEST: base, names.CANDIDATE_DIGEST: candidate}
    model = {"line": lesson.line.partition("/")[2], "from": base, "to": candidate}
    metadata = objects.meta(name, key.namespace, own, notes)
    return {"apiVersion": API_VERSION, "kind": "ModelPatch", "metadata": metadata, "spec": {"model": model}}
