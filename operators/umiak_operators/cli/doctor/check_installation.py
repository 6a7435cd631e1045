"""Are operator, hub, signer, broker and gateway there and available?"""

from collections.abc import Iterator, Mapping
from typing import Final

from umiak_operators.cli.doctor.facts import (
    PARTS,
    Facts,
    Obj,
    condition_of,
    name_of,
    namespace_of,
    span,
    status_of,
    subject_of,
)
from umiak_operators.cli.doctor.finding import Finding, ok, problem, warning

LOSS: Final[Mapping[str, str]] = {
    "operator": "what runs goes on, but no change to a resource has any effect, and no status is true any more",
    "hub": "no hard example is stored, no model is published, and no edge is seen; edges keep answering by themselves",
    "signer": "no new model reaches any edge: nobody signs releases",
    "broker": "edges hear of new models and the fleet hears of edges only by their slower polls",
    "gateway": "edges outside the cluster reach neither hub nor cloud; they answer by themselves and keep what is hard",
}
_OPTIONAL: Final = ("broker", "gateway")


def check(facts: Facts) -> Iterator[Finding]:
    """Each part, then Services that wait for an address."""
    if facts.deployments is None:
        return
    if not any(facts.deployment(part) for part in PARTS):
        yield _nothing(facts)
        return
    for part in PARTS:
        yield from _part(facts, part)
    yield from _services(facts)


def _nothing(facts: Facts) -> Finding:
    install = (
        f"helm install umiak charts/umiak -n {facts.namespace} --create-namespace --wait --set outside.host=HOST ..."
    )
    where = sorted({namespace_of(body) for body in facts.deployments or () if name_of(body) == "umiak-operator"})
    if where:
        return problem(
            "installation.absent",
            f"no installation in namespace {facts.namespace}; there is one in {', '.join(where)}",
            "there is one installation per cluster",
            f"umiak doctor --namespace {where[0]}",
        )
    if facts.resources:
        why = "resources are there, and need an operator: in the cluster, or beside it (umiak operator)"
        return warning("installation.absent", f"no installation in namespace {facts.namespace}", why, install)
    why = "without operator and hub nothing happens to resources"
    return problem("installation.absent", f"no installation in namespace {facts.namespace}", why, install)


def _part(facts: Facts, part: str) -> Iterator[Finding]:
    body = facts.deployment(part)
    if body is None:
        if part not in _OPTIONAL or (facts.configs is not None and f"umiak-{part}" in facts.configs):
            yield problem(
                f"installation.{part}",
                f"Deployment umiak-{part} is gone",
                LOSS[part],
                facts.helm(),
                subject=f"Deployment {facts.namespace}/umiak-{part}",
            )
        return
    wanted, there = body["spec"].get("replicas", 1), status_of(body).get("availableReplicas", 0)
    subject, at = subject_of("Deployment", body), f"-n {facts.namespace}"
    if wanted == 0:
        again = f"kubectl scale deployment/umiak-{part} {at} --replicas=1"
        yield problem(f"installation.{part}", "is scaled to 0", LOSS[part], again, subject=subject)
    elif there >= wanted:
        yield ok(f"installation.{part}", f"{there} of {wanted} available", subject)
    elif there:
        text = f"{there} of {wanted} available"
        look = f"kubectl get pods {at} -l umiak.dev/component={part}"
        yield warning(f"installation.{part}", text, "it works, with less in reserve", look, subject=subject)
    else:
        look = f"kubectl describe pods {at} -l umiak.dev/component={part}"
        text = f"not available{_since(facts, body)}{_refused(body)}"
        yield problem(f"installation.{part}", text, LOSS[part], look, subject=subject)


def _since(facts: Facts, body: Obj) -> str:
    """How long, if the Deployment says so."""
    found = condition_of(body, "Available")
    age = facts.age(found.get("lastTransitionTime")) if found.get("status") == "False" else None
    return f" for {span(age)}" if age is not None and age > 0 else ""


def _refused(body: Obj) -> str:
    found = condition_of(body, "ReplicaFailure")
    return f": {found.get('message', '')}" if found.get("status") == "True" else ""


def _services(facts: Facts) -> Iterator[Finding]:
    for body in facts.own(facts.services):
        waiting = body["spec"].get("type") == "LoadBalancer" and not (status_of(body).get("loadBalancer") or {}).get(
            "ingress"
        )
        if waiting:
            part = "broker" if "broker" in name_of(body) else "gateway"
            yield problem(
                "installation.address",
                "waits for an address of a load balancer, and none comes",
                "edges outside the cluster cannot dial in",
                facts.helm(f"{part}.service.type=NodePort"),
                subject=subject_of("Service", body),
            )
