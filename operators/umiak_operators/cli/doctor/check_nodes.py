"""Nodes: are there edges, who is away since when, under pressure, and do clocks agree?"""

from collections.abc import Iterator
from typing import Final

from umiak_operators.cli.doctor.facts import (
    Facts,
    Obj,
    condition_of,
    few,
    labels_of,
    name_of,
    namespace_of,
    seconds_of,
    span,
    subject_of,
)
from umiak_operators.cli.doctor.finding import Finding, ok, problem, warning
from umiak_operators.plan import names

AGENT_ROLE: Final = "node-role.kubernetes.io/agent"
"""Set by KubeEdge."""
_PRESSURES: Final = {
    "DiskPressure": "pods are evicted, images removed, and edges lose room for hard examples",
    "MemoryPressure": "pods are evicted or killed",
    "PIDPressure": "no new process can start",
}
_CLOCK_WARNING: Final = 10.0
_CLOCK_PROBLEM: Final = 300.0
_FOREVER: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def check(facts: Facts) -> Iterator[Finding]:
    """Roles, readiness, pressure, tolerations, clocks."""
    yield from _here(facts)
    if facts.nodes is None:
        return
    yield from _roles(facts, facts.nodes)
    for node in facts.nodes:
        yield from _ready(facts, node)
        yield from _pressure(node)
    yield from _tolerations(facts, facts.nodes)
    yield from _clocks(facts)


def is_edge(node: Obj) -> bool:
    """By its label."""
    return names.EDGE_ROLE in labels_of(node)


def _roles(facts: Facts, nodes: tuple[Obj, ...]) -> Iterator[Finding]:
    edges, others = [node for node in nodes if is_edge(node)], [node for node in nodes if not is_edge(node)]
    label = f"kubectl label node NODE {names.EDGE_ROLE}="
    if not edges:
        wanted = any(body["kind"] == "JointInference" for body in facts.resources or ())
        say = problem if wanted and not _all_matched(facts, nodes) else warning
        why = "resources that ask for edge nodes find none, and get no edge pod"
        yield say("nodes.edges", f"no node carries {names.EDGE_ROLE}", why, label)
    else:
        kube_edge = sum(AGENT_ROLE in labels_of(node) for node in edges)
        by = f", by KubeEdge: {kube_edge}" if kube_edge else ""
        yield ok("nodes.edges", f"edge nodes: {len(edges)}{by}")
    if nodes and not others:
        yield problem(
            "nodes.cloud",
            "every node is an edge",
            "operator, hub and cloud workers keep off edges, so they have no place to run",
            f"kubectl label node NODE {names.EDGE_ROLE}-",
        )


def _all_matched(facts: Facts, nodes: tuple[Obj, ...]) -> bool:
    """Whether every JointInference finds nodes by labels of its own."""
    return all(
        any(selects(body, node) for node in nodes) for body in facts.resources or () if body["kind"] == "JointInference"
    )


def selects(resource: Obj, node: Obj) -> bool:
    """Whether a JointInference's selector takes a node."""
    wanted = (((resource.get("spec") or {}).get("edge") or {}).get("nodes") or {}).get("matchLabels") or {}
    return all(labels_of(node).get(key) == value for key, value in wanted.items())


def _ready(facts: Facts, node: Obj) -> Iterator[Finding]:
    found = condition_of(node, "Ready")
    if found.get("status") == "True":
        return
    age = facts.age(found.get("lastTransitionTime"))
    text = f"not ready{f' since {span(age)}' if age is not None else ''}: {found.get('message') or 'no word from it'}"
    subject, look = subject_of("Node", node), f"kubectl describe node {name_of(node)}"
    if AGENT_ROLE in labels_of(node):
        why = (
            "being offline is normal for an edge: its pods go on answering and send later what they kept; meanwhile "
            "kubectl shows what was last known of them, mostly Running. If it should be online, look at edgecore there"
        )
        yield warning("nodes.ready", text, why, "on the node: journalctl -u edgecore -n 50", look, subject=subject)
    elif is_edge(node):
        why = (
            "being offline is normal for an edge: its pods go on answering and send later what they kept. "
            "If it should be online, look at its kubelet"
        )
        yield warning("nodes.ready", text, why, look, subject=subject)
    else:
        why = "what ran there is moved after five minutes, and what has its volume there waits"
        yield problem("nodes.ready", text, why, look, subject=subject)


def _pressure(node: Obj) -> Iterator[Finding]:
    for kind, why in _PRESSURES.items():
        found = condition_of(node, kind)
        if found.get("status") == "True":
            text = f"{kind}: {found.get('message', '')}"
            look = f"kubectl describe node {name_of(node)}"
            yield problem("nodes.pressure", text, why, look, subject=subject_of("Node", node))


def _tolerations(facts: Facts, nodes: tuple[Obj, ...]) -> Iterator[Finding]:
    """Edge pods have to outlast their node's absence."""
    edges = {name_of(node) for node in nodes if is_edge(node)}
    frail = [
        pod
        for pod in facts.pods or ()
        if pod["spec"].get("nodeName") in edges and names.EDGE in labels_of(pod) and not outlasts(pod)
    ]
    if frail:
        spaces = few(sorted({namespace_of(pod) for pod in frail}))
        yield problem(
            "nodes.tolerations",
            f"{few(sorted(map(name_of, frail)))} in {spaces} do not tolerate not-ready and unreachable for ever",
            "five minutes after the link is lost they are marked for deletion, and replaced once it is back",
            "the operator writes both tolerations without seconds; find who changes pods: kubectl get "
            "mutatingwebhookconfigurations",
        )


def outlasts(pod: Obj) -> bool:
    """Whether a pod tolerates both taints of an absent node without end."""
    kept = {
        str(item.get("key", ""))
        for item in pod["spec"].get("tolerations") or ()
        if item.get("effect") in (None, "", "NoExecute") and item.get("tolerationSeconds") is None
    }
    return "" in kept or kept.issuperset(_FOREVER)


def _here(facts: Facts) -> Iterator[Finding]:
    """This machine's clock against the API server's."""
    if facts.server_ahead is None:
        return
    if abs(facts.server_ahead) <= _CLOCK_WARNING:
        yield ok("nodes.clock", "this machine's clock agrees with the API server's")
        return
    side = "behind" if facts.server_ahead > 0 else "ahead of"
    say = problem if abs(facts.server_ahead) > _CLOCK_PROBLEM else warning
    yield say(
        "nodes.clock",
        f"this machine's clock is {span(abs(facts.server_ahead))} {side} the API server's",
        "certificates look expired or not yet valid, and short-lived credentials fail; one of the two is wrong",
        "timedatectl status, here and on the control plane",
    )


def _clocks(facts: Facts) -> Iterator[Finding]:
    agreed = 0
    for lease in facts.leases or ():
        ahead = clock_ahead(lease)
        if ahead is None:
            continue
        if abs(ahead) <= _CLOCK_WARNING:
            agreed += 1
            continue
        side = "ahead of" if ahead > 0 else "behind"
        say = problem if abs(ahead) > _CLOCK_PROBLEM else warning
        yield say(
            "nodes.clock",
            f"its clock is {span(abs(ahead))} {side} the API server's",
            "times of frames and heartbeats from there are wrong by as much, and certificates may look invalid there",
            f"on {name_of(lease)}: timedatectl set-ntp true",
            subject=f"Node {name_of(lease)}",
        )
    if agreed:
        yield ok("nodes.clock", f"nodes whose clock agrees with the API server's: {agreed}")


def clock_ahead(lease: Obj) -> float | None:
    """Seconds by which a node's clock is ahead: it writes renewTime, the API server notes when that was written."""
    said = seconds_of((lease.get("spec") or {}).get("renewTime"))
    noted = [
        when
        for entry in lease["metadata"].get("managedFields") or ()
        if "f:renewTime" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        and (when := seconds_of(entry.get("time"))) is not None
    ]
    return None if said is None or not noted else said - max(noted)
