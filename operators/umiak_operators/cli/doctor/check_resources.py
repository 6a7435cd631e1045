"""How every JointInference, LifelongLearning and ModelPatch stands, and what piles up at its edges."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from umiak_operators.api.conditions import find
from umiak_operators.cli.doctor.facts import (
    Facts,
    Figure,
    Obj,
    condition_of,
    few,
    labels_of,
    name_of,
    namespace_of,
    span,
    status_of,
    subject_of,
)
from umiak_operators.cli.doctor.finding import Finding, ok, problem, unknown, warning
from umiak_operators.cli.doctor.reasons import MEANINGS, PATIENCE, Meaning
from umiak_operators.plan import names

_UNSEEN: Final = 60.0
"""Seconds after which the operator should have looked at a new resource."""
_LEAVING: Final = 300.0
_OLD_QUEUE: Final = 900.0
_MAIN: Final = {"JointInference": "Ready", "LifelongLearning": "Ready", "ModelPatch": "Succeeded"}
_SAYS_ALL: Final = ("EdgesReporting", "FleetObserved", "RoundSucceeded")
"""Conditions beside the main one; `Training` only repeats."""
Age = Callable[[str | None], float | None]


def check(facts: Facts) -> Iterator[Finding]:
    """Every resource, then queues, then Jobs that failed without one saying so."""
    for body in facts.resources or ():
        yield from standing(body, facts.age, facts.namespace)
    yield from _queues(facts)
    yield from _jobs(facts)


def standing(body: Obj, age: Age, system: str) -> Iterator[Finding]:
    """What a resource's own status says. `age` tells seconds since a time."""
    kind, subject = str(body["kind"]), subject_of(str(body["kind"]), body)
    leaving, made = age(body["metadata"].get("deletionTimestamp")), age(body["metadata"].get("creationTimestamp"))
    if leaving is not None:
        if leaving > _LEAVING:
            yield _stuck(body, leaving, subject)
        return
    status = status_of(body)
    generation = body["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        late = made is None or made > _UNSEEN
        yield _unseen(status, subject, system) if late else ok("resources.unseen", "was made a moment ago", subject)
        return
    conditions = status.get("conditions") or ()
    said = set()
    for name in (_MAIN[kind], *_SAYS_ALL):
        found = find(conditions, name)
        if found is None or found.get("reason") in said or (name == "FleetObserved" and "HubUnreachable" in said):
            continue
        said.add(found.get("reason"))
        yield _condition(body, found, age, system)


def _stuck(body: Obj, leaving: float, subject: str) -> Finding:
    holders = body["metadata"].get("finalizers") or []
    return problem(
        "resources.leaving",
        f"deleted {span(leaving)} ago and still there; held by {few(list(holders)) or 'its children'}",
        "Umiak sets no finalizers: somebody else's has not been taken away",
        f"kubectl get {str(body['kind']).lower()} {name_of(body)} -n {namespace_of(body)} "
        "-o jsonpath='{.metadata.finalizers}'",
        subject=subject,
    )


def _unseen(status: Mapping[str, Any], subject: str, system: str) -> Finding:
    text = "the operator has not looked at the latest change" if status else "the operator has not looked at it yet"
    return problem(
        "resources.unseen",
        text,
        "no operator works on this cluster, or it is stuck; what ran before goes on",
        f"kubectl logs -n {system} deploy/umiak-operator --tail=30",
        f"kubectl rollout restart -n {system} deployment/umiak-operator",
        subject=subject,
    )


def _condition(body: Obj, found: Mapping[str, Any], age: Age, system: str) -> Finding:
    kind, reason = str(body["kind"]), str(found.get("reason", ""))
    subject, verdict = subject_of(kind, body), f"{found.get('type')}={found.get('status')}/{reason}"
    meaning, message = MEANINGS.get(reason), str(found.get("message", ""))
    check_name = f"resources.{_dashed(str(found.get('type', '')))}"
    text = f"{verdict}: {message}" if message else verdict
    if meaning is None:
        why = "this command does not know the reason; a newer operator may have set it"
        look = f"kubectl describe {kind.lower()} {name_of(body)} -n {namespace_of(body)}"
        return unknown(check_name, text, why, look, subject=subject)
    level = _level(meaning, age(found.get("lastTransitionTime")))
    if level == "ok":
        return ok(check_name, f"{verdict}: {_figures(body, found) or message or meaning.why}", subject)
    known = {"namespace": namespace_of(body), "name": name_of(body), "singular": kind.lower(), "system": system}
    commands = tuple(one.format(**known) for one in meaning.next)
    say = problem if level == "problem" else warning
    return say(check_name, text, meaning.why, *commands, subject=subject)


def _level(meaning: Meaning, age: float | None) -> str:
    if meaning.weight == "passing":
        return "warning" if age is not None and age > PATIENCE else "ok"
    return {"fine": "ok", "away": "warning", "wrong": "problem"}[meaning.weight]


def _figures(body: Obj, found: Mapping[str, Any]) -> str:
    """Numbers in place of words that say nothing new."""
    edges = status_of(body).get("edges") or {}
    if found.get("reason") == "Available" and "summary" in edges:
        heard = f", {edges['reporting']} heard of" if "reporting" in edges else ""
        return f"{edges['summary']} edges available{heard}"
    return ""


def _dashed(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


def _queues(facts: Facts) -> Iterator[Finding]:
    """Hard examples that pile up, or were given up, by the hub's figures."""
    for figure in facts.figures or ():
        subject = f"JointInference {figure.labels.get('namespace')}/{figure.labels.get('resource')}"
        look = f"kubectl logs -n {figure.labels.get('namespace')} -l umiak.dev/component=cloud --tail=20"
        if figure.name == "umiak_fleet_queue_oldest_seconds" and figure.value > _OLD_QUEUE:
            waiting = _of(facts, "umiak_fleet_queue_items", figure)
            text = f"{waiting:.0f} hard examples wait at edges, the oldest for {span(figure.value)}"
            why = "the cloud worker or the hub is away or too slow; nothing is lost until a queue is full"
            yield warning("resources.queue", text, why, look, subject=subject)
        if figure.name == "umiak_fleet_dropped_total" and figure.value > 0:
            text = f"edges gave up {figure.value:.0f} hard examples since the hub started"
            why = "a queue was full and its oldest made room: frames were answered, what was hard is lost to learning"
            yield warning("resources.dropped", text, why, look, subject=subject)
        if figure.name == "umiak_fleet_agents" and figure.labels.get("state") == "Failed" and figure.value > 0:
            text = f"{figure.value:.0f} edges refused a model and run the one before"
            why = "its bytes, its golden answer or its signature did not fit there"
            agent = f"kubectl logs -n {figure.labels.get('namespace')} -l umiak.dev/component=edge -c agent --tail=20"
            yield problem("resources.agents", text, why, agent, subject=subject)


def _of(facts: Facts, name: str, like: Figure) -> float:
    return next((one.value for one in facts.figures or () if one.name == name and one.labels == like.labels), 0.0)


def _jobs(facts: Facts) -> Iterator[Finding]:
    """A training Job that keeps failing while its resource still waits for it."""
    for job in facts.jobs or ():
        status, failed = status_of(job), condition_of(job, "Failed").get("status") == "True"
        attempts = status.get("failed", 0)
        if attempts and not failed and not status.get("succeeded"):
            owner = labels_of(job).get(names.OWNER_NAME, "?")
            yield warning(
                "resources.training",
                f"{attempts} attempts failed so far; it is tried again",
                f"LifelongLearning {owner} learns nothing until one succeeds",
                f"kubectl logs -n {namespace_of(job)} job/{name_of(job)} --tail=20",
                subject=subject_of("Job", job),
            )
