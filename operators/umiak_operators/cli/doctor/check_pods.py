"""Why a pod of ours does not run, in plain words. Pods with the same trouble are one finding."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from umiak_operators.cli.doctor.facts import (
    Facts,
    Obj,
    condition_of,
    few,
    name_of,
    namespace_of,
    span,
    status_of,
    subject_of,
)
from umiak_operators.cli.doctor.finding import Finding, problem, warning
from umiak_operators.plan import names

PATIENCE: Final = 90.0
"""Seconds that a pod may take to start before anybody wonders."""
_STUCK: Final = 300.0
_RESTARTS: Final = 5
_LATELY: Final = 86_400.0
_PULL: Final = ("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable")
_CONFIG: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a pod; equal troubles are said once. `{pod}` and `{at}` in `next` are the first pod's."""

    check: str
    found: str
    why: str
    next: tuple[str, ...]
    severe: bool = True


@dataclass(frozen=True)
class Sick:
    """A container of a pod that waits or keeps ending."""

    facts: Facts
    pod: Obj
    status: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.status.get("name", ""))

    @property
    def waiting(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (self.status.get("state") or {}).get("waiting") or {}
        return found

    @property
    def words(self) -> str:
        """The last line of its log, as the end of a sentence."""
        said = self.facts.last_words.get((namespace_of(self.pod), name_of(self.pod), self.name), "")
        return f"; last words: {said}" if said else ""

    @property
    def ended(self) -> Mapping[str, Any]:
        """How it ended last."""
        for state in ("state", "lastState"):
            if found := (self.status.get(state) or {}).get("terminated"):
                return dict(found)
        return {}


def check(facts: Facts) -> Iterator[Finding]:
    """Pods of the installation and of every resource, then ReplicaSets whose pods are refused."""
    groups: dict[Trouble, list[Obj]] = defaultdict(list)
    for pod in facts.pods or ():
        found = trouble(facts, pod)
        if found is not None:
            groups[found].append(pod)
    for found, pods in groups.items():
        yield _said(facts, found, pods)
    yield from _refused(facts)


def _said(facts: Facts, found: Trouble, pods: list[Obj]) -> Finding:
    first, spaces = pods[0], sorted({namespace_of(pod) for pod in pods})
    subject = subject_of("Pod", first) if len(pods) == 1 else f"{len(pods)} pods in {', '.join(spaces)}"
    text = found.found if len(pods) == 1 else f"{found.found} ({few(sorted(name_of(pod) for pod in pods))})"
    commands = (one.replace("{pod}", name_of(first)).replace("{at}", f"-n {namespace_of(first)}") for one in found.next)
    say = problem if found.severe else warning
    section = "installation" if namespace_of(first) == facts.namespace else "resources"
    return say(f"{section}.{found.check}", text, found.why, *commands, subject=subject)


def trouble(facts: Facts, pod: Obj) -> Trouble | None:
    """What is wrong with a pod, or None."""
    if status_of(pod).get("phase") == "Succeeded":
        return None
    return next((found for look in _LOOKS if (found := look(facts, pod)) is not None), None)


def _leaving(facts: Facts, pod: Obj) -> Trouble | None:
    age = facts.age(pod["metadata"].get("deletionTimestamp"))
    if age is None or age < _STUCK:
        return None
    node = pod["spec"].get("nodeName", "")
    return Trouble(
        "pod-terminating",
        "marked for deletion and still there" + (f" on node {node}" if node else ""),
        "its node does not confirm: an offline edge goes on running it, and removes it once it is back",
        (
            f"kubectl describe node {node}",
            "kubectl delete pod {pod} {at} --force   (only if the node is gone for good)",
        ),
        severe=False,
    )


def _failed(facts: Facts, pod: Obj) -> Trouble | None:
    """Evicted, or the pod of a Job that ended badly lately; the Job makes another one, or its resource says more."""
    status = status_of(pod)
    if status.get("phase") != "Failed":
        return None
    if status.get("reason"):
        why = "the node was short of something, mostly disk or memory; another pod takes its place"
        text = f"{status['reason']}: {status.get('message', '')}"
        return Trouble("pod-evicted", text, why, ("kubectl describe pod {pod} {at}", "kubectl top node"), severe=False)
    for one in (Sick(facts, pod, item) for item in status.get("containerStatuses") or ()):
        age = facts.age(one.ended.get("finishedAt"))
        if one.ended.get("exitCode") and age is not None and age < _LATELY:
            text = f"container {one.name} ended with code {one.ended['exitCode']} {span(age)} ago{one.words}"
            why = "what it was to do is not done; a Job tries again, a training round starts anew with more samples"
            return Trouble("pod-failed", text, why, (f"kubectl logs {{pod}} {{at}} -c {one.name}",), severe=False)
    return None


def _unscheduled(facts: Facts, pod: Obj) -> Trouble | None:
    found = condition_of(pod, "PodScheduled")
    if found.get("status") != "False":
        return None
    text = str(found.get("message") or "no node was found for it")
    return Trouble("pod-unscheduled", f"no node takes it: {text}", _unscheduled_why(text), _unscheduled_next(text))


def _unscheduled_why(text: str) -> str:
    if "PersistentVolumeClaim" in text or "persistentvolumeclaim" in text:
        return "its volume is not there yet; see storage"
    if "taint" in text:
        return "nodes have taints that it does not tolerate"
    if "affinity" in text or "selector" in text:
        return f"cloud parts keep off nodes with {names.EDGE_ROLE}, and an edge's pod is bound to its one node"
    return "it waits for room: requests of what runs already fill the nodes"


def _unscheduled_next(text: str) -> tuple[str, ...]:
    if "ersistent" in text:
        return ("kubectl get pvc {at}",)
    if "taint" in text:
        return ("kubectl describe nodes | grep -i taint", "helm: PART.tolerations in the values")
    if "affinity" in text or "selector" in text:
        return (f"kubectl get nodes -L {names.EDGE_ROLE}", "a node without that label for operator, hub and cloud")
    return ("kubectl describe pod {pod} {at}", "kubectl describe nodes | grep -A6 'Allocated resources'")


def _container(facts: Facts, pod: Obj) -> Trouble | None:
    status = status_of(pod)
    found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for one in (Sick(facts, pod, item) for item in found):
        reason = str(one.waiting.get("reason", ""))
        if reason in _PULL:
            return _pull(one, reason)
        if reason in _CONFIG:
            return _config(one, reason)
        if reason == "CrashLoopBackOff" or _ends_again(one):
            return _crash(one)
    return None


def _ends_again(one: Sick) -> bool:
    """It runs at this moment, but has not got far lately."""
    started = one.facts.age(((one.status.get("state") or {}).get("running") or {}).get("startedAt"))
    recent = started is not None and started < _STUCK
    return bool(one.status.get("restartCount", 0) >= _RESTARTS and recent and one.ended.get("exitCode"))


def _pull(one: Sick, reason: str) -> Trouble:
    image, said = str(one.status.get("image") or "?"), str(one.waiting.get("message", ""))
    text, fix = f"image {image} cannot be pulled ({reason})", _pull_fix(one, said)
    if reason == "ErrImageNeverPull":
        text = f"image {image} is not on the node, and may not be pulled (pullPolicy Never)"
    return Trouble("pod-image", text, _pull_why(said), ("kubectl describe pod {pod} {at}", fix))


def _pull_why(said: str) -> str:
    low = said.lower()
    if "not found" in low or "manifest unknown" in low:
        return "the registry has no such image: a wrong name or tag, or it was never pushed"
    if "unauthorized" in low or "denied" in low or "authentication" in low or "forbidden" in low:
        return "the registry wants credentials, or these may not read it (some say so of images that do not exist)"
    if "no such host" in low or "timeout" in low or "refused" in low or "unreachable" in low:
        return "the node does not reach the registry"
    return "without its image nothing starts; Umiak's images are not published, they are built and pushed by you"


def _pull_fix(one: Sick, said: str) -> str:
    own = namespace_of(one.pod) == one.facts.namespace
    if "unauthorized" in said.lower() or "denied" in said.lower():
        space = namespace_of(one.pod)
        return (
            one.facts.helm("imagePullSecrets[0].name=SECRET")
            if own
            else f'kubectl patch serviceaccount default -n {space} -p \'{{"imagePullSecrets":[{{"name":"SECRET"}}]}}\''
        )
    return one.facts.helm("image.registry=REGISTRY", "image.tag=TAG")


def _config(one: Sick, reason: str) -> Trouble:
    said = str(one.waiting.get("message") or reason)
    why = "the container is not even created until what it names is there"
    look = "kubectl describe pod {pod} {at}"
    if "secret" in said.lower():
        fix = "kubectl get secrets {at}; the operator writes those of hub, signer and edges: kubectl logs -n "
        return Trouble(
            "pod-config", said, why, (look, f"{fix}{one.facts.namespace} deploy/umiak-operator --all-containers")
        )
    if "runasnonroot" in said.lower() or "run as root" in said.lower():
        why = "the image runs as root, and pods of Umiak may not"
    return Trouble("pod-config", f"{reason}: {said}" if reason not in said else said, why, (look,))


def _crash(one: Sick) -> Trouble:
    look = f"kubectl logs {{pod}} {{at}} -c {one.name} --previous"
    if one.ended.get("reason") == "OOMKilled":
        text = f"container {one.name} is killed again and again: it needs more memory than its limit"
        limit = (
            "raise its limit: edge.runtime.resources or cloud.resources of the resource, PART.resources of the chart"
        )
        return Trouble("pod-memory", text, "it starts anew each time and never gets far", (look, limit))
    code = one.ended.get("exitCode")
    ended = f" with code {code}" if code is not None else ""
    why = "Kubernetes starts it again, after longer and longer pauses (up to five minutes)"
    return Trouble("pod-crash", f"container {one.name} ends again and again{ended}{one.words}", why, (look,))


def _starting(facts: Facts, pod: Obj) -> Trouble | None:
    """Scheduled long ago, no container complains, and it still does not run: a volume, mostly."""
    age = facts.age(condition_of(pod, "PodScheduled").get("lastTransitionTime"))
    if status_of(pod).get("phase") != "Pending" or age is None or age < PATIENCE:
        return None
    running = [str(one["name"]) for one in status_of(pod).get("initContainerStatuses") or () if _runs(one)]
    if running:
        why, look = "the others wait until it is done", f"kubectl logs {{pod}} {{at}} -c {running[0]}"
        return Trouble("pod-starting", f"container {running[0]}, which goes first, runs for long", why, (look,))
    event = next(iter(facts.events_of(pod, "Pod")), None)
    said = f"{event.get('reason', '')}: {event.get('message', '')}" if event else ""
    look = "kubectl describe pod {pod} {at}"
    if "secret" in said and "not found" in said:
        why = "it waits until that Secret is there"
        operator = f"kubectl logs -n {facts.namespace} deploy/umiak-operator --all-containers"
        return Trouble(
            "pod-volume", said, why, (look, f"the operator writes those of hub, signer and edges: {operator}")
        )
    why = "its node has not started it: a volume, a network plugin, or a node that is away"
    return Trouble("pod-starting", f"has not started for {span(age)}{f': {said}' if said else ''}", why, (look,))


def _runs(container: Mapping[str, Any]) -> bool:
    return "running" in (container.get("state") or {})


def _unready(facts: Facts, pod: Obj) -> Trouble | None:
    found = condition_of(pod, "Ready")
    age = facts.age(found.get("lastTransitionTime"))
    if status_of(pod).get("phase") != "Running" or found.get("status") != "False" or age is None or age < PATIENCE:
        return None
    waiting = few([str(one["name"]) for one in status_of(pod).get("containerStatuses") or () if not one.get("ready")])
    event = next(iter(facts.events_of(pod, "Pod")), None)
    said = f": {event['message']}" if event and event.get("reason") == "Unhealthy" else ""
    which = waiting or "its node does not confirm it"
    why = "it runs and says itself that it cannot work yet; its log says what it waits for"
    if "edge" in waiting:
        why = "the model server is not ready: it needs its model, which at first comes from the hub"
    look = (
        f"kubectl logs {{pod}} {{at}} -c {waiting.partition(',')[0]}" if waiting else "kubectl describe pod {pod} {at}"
    )
    return Trouble("pod-unready", f"runs, but is not ready: {which}{said}", why, (look,))


_LOOKS: Final[tuple[Callable[[Facts, Obj], Trouble | None], ...]] = (
    _leaving, _failed, _unscheduled, _container, _starting, _unready,
)  # fmt: skip


def _refused(facts: Facts) -> Iterator[Finding]:
    """Pods that were never made: quota, PodSecurity, webhooks. Only where a Deployment lacks pods now."""
    lacking = {
        (namespace_of(body), name_of(body))
        for body in facts.deployments or ()
        if status_of(body).get("replicas", 0) < body["spec"].get("replicas", 1)
    }
    said: dict[tuple[str, str], str] = {}
    for event in facts.events:
        about = event.get("involvedObject") or {}
        owner = (str(about.get("namespace", "")), str(about.get("name", "")).rpartition("-")[0])
        if event.get("reason") == "FailedCreate" and about.get("kind") == "ReplicaSet" and owner in lacking:
            said[owner] = str(event.get("message", ""))
    for (space, name), text in said.items():
        section = "installation" if space == facts.namespace else "resources"
        why, fix = _refusal(facts, space, name, text)
        yield problem(f"{section}.pod-refused", text, why, fix, subject=f"Deployment {space}/{name}")


def _refusal(facts: Facts, space: str, name: str, text: str) -> tuple[str, str]:
    if "PodSecurity" in text:
        level = "restricted" if space == facts.namespace else "privileged"
        note = "" if level == "restricted" else " (folders of nodes are volumes that only privileged admits)"
        fix = f"kubectl label namespace {space} pod-security.kubernetes.io/enforce={level} --overwrite"
        return f"the namespace's PodSecurity level does not admit such pods{note}", fix
    if "quota" in text:
        return "a quota of the namespace is used up", f"kubectl describe resourcequota -n {space}"
    if "serviceaccount" in text:
        return "the service account it names is gone", f"kubectl get serviceaccounts -n {space}"
    return "the API server refuses its pods", f"kubectl describe deployment {name} -n {space}"
