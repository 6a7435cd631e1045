"""Do hub and signer have their volumes, may edges keep state on their nodes, and is there room?"""

from collections.abc import Iterator, Mapping
from typing import Final

from umiak_operators.cli.doctor.facts import (
    Facts,
    Obj,
    few,
    labels_of,
    name_of,
    namespace_of,
    status_of,
    subject_of,
)
from umiak_operators.cli.doctor.finding import Finding, ok, problem, warning
from umiak_operators.plan import names

_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_ENFORCED: Final = "pod-security.kubernetes.io/enforce"
_FULL: Final = 0.9


def check(facts: Facts) -> Iterator[Finding]:
    """Claims, then hostPath namespaces, then the hub's room."""
    yield from _claims(facts)
    yield from _host_paths(facts)
    yield from _room(facts)


def _claims(facts: Facts) -> Iterator[Finding]:
    if facts.claims is None:
        return
    for part in ("hub", "signer"):
        if facts.deployment(part) is None:
            continue
        body = next((one for one in facts.own(facts.claims) if name_of(one) == f"umiak-{part}"), None)
        if body is None:
            yield _absent(facts, part)
        elif status_of(body).get("phase") == "Bound":
            size = (status_of(body).get("capacity") or {}).get("storage", "")
            yield ok("storage.claim", f"bound {size}".strip(), subject_of("PersistentVolumeClaim", body))
        else:
            yield _unbound(facts, body)
    for body in facts.claims:
        edges = names.EDGE in labels_of(body) and namespace_of(body) != facts.namespace
        if edges and status_of(body).get("phase") != "Bound":
            yield _unbound(facts, body)


def _absent(facts: Facts, part: str) -> Finding:
    return problem(
        "storage.claim",
        "is gone",
        f"the {part} cannot start without its volume; what it knew was there",
        facts.helm(),
        subject=f"PersistentVolumeClaim {facts.namespace}/umiak-{part}",
    )


def _unbound(facts: Facts, body: Obj) -> Finding:
    phase, wanted = status_of(body).get("phase", "Pending"), body["spec"].get("storageClassName")
    said = next((str(event.get("message", "")) for event in facts.events_of(body, "PersistentVolumeClaim")), "")
    why = "its pod stays Pending until the claim has a volume"
    describe = f"kubectl describe pvc {name_of(body)} -n {namespace_of(body)}"
    fix = f"kubectl get storageclass, then on a new claim: {facts.helm('storageClass=NAME')}"
    if facts.storage_classes is not None and not wanted and not any(map(_is_default, facts.storage_classes)):
        known = few(sorted(map(name_of, facts.storage_classes))) or "none"
        said = f"it names no storage class, and the cluster has no default one (known: {known})"
    elif facts.storage_classes is not None and wanted and wanted not in set(map(name_of, facts.storage_classes)):
        said = said or f"there is no storage class {wanted}"
    text = f"{phase}: {said}" if said else f"is {phase}"
    return problem("storage.claim", text, why, describe, fix, subject=subject_of("PersistentVolumeClaim", body))


def _is_default(body: Obj) -> bool:
    return (body["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"


def _host_paths(facts: Facts) -> Iterator[Finding]:
    """Only where edges keep their state in folders of their nodes."""
    if facts.platform is None or facts.resources is None or facts.namespaces is None:
        return
    if facts.platform.get("stateVolume", "hostPath") != "hostPath":
        return
    spaces = {namespace_of(body) for body in facts.resources if body["kind"] == "JointInference"}
    known, good = {name_of(body): labels_of(body) for body in facts.namespaces}, 0
    for space in sorted(spaces):
        found = _host_path(facts, space, known.get(space, {}))
        good += found is None
        if found is not None:
            yield found
    if good:
        yield ok("storage.host-path", f"edges may keep state on their nodes in {few(sorted(spaces))}")


def _host_path(facts: Facts, space: str, labels: Mapping[str, str]) -> Finding | None:
    subject, allowed = f"Namespace {space}", f"{names.HOST_PATH_ALLOWED}=allowed"
    if labels.get(names.HOST_PATH_ALLOWED) != "allowed":
        return problem(
            "storage.host-path",
            f"edges keep their state in folders of their nodes, and the namespace does not say {allowed}",
            "the operator makes no edge pod there",
            f"kubectl label namespace {space} {allowed}",
            subject=subject,
        )
    if labels.get(_ENFORCED) in ("baseline", "restricted"):
        return problem(
            "storage.host-path",
            f"enforces PodSecurity {labels[_ENFORCED]}, which admits no hostPath volume",
            "the API server refuses every edge pod",
            f"kubectl label namespace {space} {_ENFORCED}=privileged --overwrite",
            f"or claims instead of folders: {facts.helm('edge.stateVolume=persistentVolumeClaim')}",
            subject=subject,
        )
    return None


def _room(facts: Facts) -> Iterator[Finding]:
    values = {figure.name: figure.value for figure in facts.figures or () if not figure.labels}
    used, most = values.get("umiak_hub_state_bytes"), values.get("umiak_hub_state_limit_bytes")
    if used is None or not most:
        return
    text = f"the hub keeps {used / 2**30:.1f} of at most {most / 2**30:.1f} GiB"
    if used < _FULL * most:
        yield ok("storage.hub", text)
        return
    why = "once it is full no hard example and no model is stored; edges keep theirs as long as they have room"
    fix = "lower replay.capacity or replay.retention of JointInferences: kubectl get ji -A"
    yield warning("storage.hub", text, why, fix, subject=f"Deployment {facts.namespace}/umiak-hub")
