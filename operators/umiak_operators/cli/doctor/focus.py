"""`--resource`: the same facts, narrowed to one resource and what it stands on."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from umiak_operators.api.resource import Key, Kind
from umiak_operators.cli.doctor.check_nodes import selects
from umiak_operators.cli.doctor.facts import (
    Facts,
    Obj,
    Objects,
    condition_of,
    labels_of,
    name_of,
    namespace_of,
    span,
    status_of,
)
from umiak_operators.cli.doctor.finding import Finding, ok, unknown, warning
from umiak_operators.plan import names
from umiak_workers.contract.errors import ConfigError

_KINDS: Final[tuple[tuple[Kind, tuple[str, ...]], ...]] = (
    ("JointInference", ("ji", "jointinference", "jointinferences")),
    ("LifelongLearning", ("ll", "lifelonglearning", "lifelonglearnings")),
    ("ModelPatch", ("mp", "modelpatch", "modelpatches")),
)


def parse(text: str, namespace: str) -> Key:
    """`kind/name`, the kind as kubectl takes it; raises ConfigError."""
    kind, _, name = text.partition("/")
    asked = kind.lower().partition(".")[0]
    found = next((known for known, words in _KINDS if asked in words), None)
    if found is None or not name or "/" in name:
        raise ConfigError(f"--resource {text}: expected KIND/NAME, for example ji/yard; kinds: ji, ll, mp")
    return Key(found, namespace, name)


def narrowed(facts: Facts, key: Key) -> Facts:
    """The installation and what belongs to one resource (and to the JointInference it learns for)."""
    names_kept = {key.name} | {_follows(body) for body in facts.resources or () if _is(body, key)}

    def mine(kind: Objects | None) -> Objects | None:
        if kind is None:
            return None
        return tuple(body for body in kind if namespace_of(body) == facts.namespace or _owned(body, key, names_kept))

    own = None if facts.resources is None else [body for body in facts.resources if _wanted(body, key, names_kept)]
    return replace(
        facts,
        resources=None if own is None else tuple(own),
        deployments=mine(facts.deployments),
        pods=mine(facts.pods),
        jobs=mine(facts.jobs),
        claims=mine(facts.claims),
        figures=facts.figures
        and tuple(one for one in facts.figures if one.labels.get("resource") in (None, *sorted(names_kept))),
    )


def relevant(findings: Iterable[Finding], facts: Facts, key: Key) -> Iterator[Finding]:
    """What is about the resource, and whatever is not well that it may stand on."""
    nodes = {name_of(node) for node in edges(facts, key)}
    for finding in findings:
        kind, _, rest = finding.subject.partition(" ")
        if kind == "Node" and rest not in nodes:
            continue
        if finding.section == "resources" or finding.level != "ok":
            yield finding


def edges(facts: Facts, key: Key) -> Objects:
    """The nodes that the resource's selector takes."""
    found = [body for body in facts.resources or () if body["kind"] == "JointInference"]
    return tuple(node for node in facts.nodes or () if any(selects(body, node) for body in found))


def closer(facts: Facts, key: Key) -> Iterator[Finding]:
    """Whether it is there at all, and one line for each of its edges."""
    if facts.resources is not None and not any(_is(body, key) for body in facts.resources):
        look = f"kubectl get umiak -n {key.namespace}"
        text = f"there is no {key.kind} {key.name} in namespace {key.namespace}"
        yield unknown("resources.absent", text, "say its namespace with -n", look)
    if facts.pods is None:
        return
    for node in edges(facts, key):
        pod = next((pod for pod in facts.pods if _on(pod, node)), None)
        yield _edge(facts, node, pod)


def _edge(facts: Facts, node: Obj, pod: Obj | None) -> Finding:
    name, subject = name_of(node), f"Node {name_of(node)}"
    if pod is None:
        look = f"kubectl describe node {name}"
        return warning(
            "resources.edge", "has no edge pod yet", "the operator makes one for each node", look, subject=subject
        )
    ready = condition_of(pod, "Ready")
    age = facts.age(ready.get("lastTransitionTime"))
    since = f" for {span(age)}" if age is not None else ""
    if condition_of(node, "Ready").get("status") != "True":
        return ok("resources.edge", f"its node is away; pod {name_of(pod)} was last known as {_phase(pod)}", subject)
    if ready.get("status") == "True":
        return ok("resources.edge", f"pod {name_of(pod)} is ready{since}", subject)
    look = f"kubectl describe pod {name_of(pod)} -n {namespace_of(pod)}"
    return warning(
        "resources.edge", f"pod {name_of(pod)} is {_phase(pod)}, not ready{since}", "", look, subject=subject
    )


def _phase(pod: Obj) -> str:
    return str(status_of(pod).get("phase", "Unknown"))


def _on(pod: Obj, node: Obj) -> bool:
    return names.EDGE in labels_of(pod) and labels_of(pod)[names.EDGE] == names.label_value(name_of(node))


def _is(body: Obj, key: Key) -> bool:
    return (body["kind"], namespace_of(body), name_of(body)) == (key.kind, key.namespace, key.name)


def _wanted(body: Obj, key: Key, known: set[str]) -> bool:
    followed = body["kind"] == "JointInference" and namespace_of(body) == key.namespace and name_of(body) in known
    return _is(body, key) or (followed and key.kind == "LifelongLearning")


def _follows(body: Obj) -> str:
    return str(((body.get("spec") or {}).get("jointInferenceRef") or {}).get("name", ""))


def _owned(body: Obj, key: Key, known: set[str]) -> bool:
    return namespace_of(body) == key.namespace and labels_of(body).get(names.OWNER_NAME) in known
