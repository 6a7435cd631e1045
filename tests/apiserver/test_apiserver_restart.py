"""A restart is a normal path: it changes nothing, writes nothing, and misses nothing."""

import time

from apiserver_kit import DIGESTS, Kube, Operator, custom, eventually, joint_inference, path

KINDS = {"jointinferences": "Ready", "lifelonglearnings": "Ready", "modelpatches": "Succeeded"}


def test_a_restart_with_50_unchanged_resources_writes_nothing(kube: Kube, operator: Operator, namespace: str) -> None:
    groups = [three(namespace, f"yard{number}")[: 3 if number < 10 else 2] for number in range(20)]
    kube.apply(*(body for group in groups for body in group))
    eventually(lambda: settled(kube, namespace) == 50, 120, "50 resources reported")
    quiet(kube)
    assert operator.stop() < 3
    start = kube.audit_end()
    operator.start()
    eventually(lambda: len(looked_at(kube, start)) >= 100, 60, "it compares its children again")
    quiet(kube)
    assert kube.writes(start) == [], operator.tail()


def test_what_happened_while_it_was_away_is_caught_up_with(kube: Kube, operator: Operator, namespace: str) -> None:
    names = ("edited", "deleted", "gone", "changed")
    kube.apply(*(joint_inference(namespace, name) for name in names))
    eventually(lambda: settled(kube, namespace) == 4, 60, "four resources Ready")
    operator.stop()
    edited, deleted = (path("deployments", namespace, f"{name}-cloud") for name in ("edited", "deleted"))
    kube.patch(edited, {"spec": {"replicas": 3}})
    kube.delete(deleted)
    kube.delete(path("jointinferences", namespace, "gone"))
    kube.patch(path("jointinferences", namespace, "changed"), {"spec": {"cloud": {"replicas": 0}}})
    operator.start()
    eventually(lambda: (kube.get(edited) or {})["spec"]["replicas"] == 1, what="healed")
    eventually(lambda: kube.get(deleted), what="made again")
    changed = path("deployments", namespace, "changed-cloud")
    eventually(lambda: (kube.get(changed) or {})["spec"]["replicas"] == 0, what="changed")
    eventually(lambda: kube.names(path("secrets", namespace), "umiak.dev/owner-name=gone") == [], what="collected")


def test_an_api_server_that_dies_is_outlived(kube: Kube, operator: Operator, namespace: str) -> None:
    kube.apply(joint_inference(namespace))
    eventually(lambda: settled(kube, namespace) == 1, 60, "Ready")
    kube.plane.restart_api_server(away=4)
    place = path("deployments", namespace, "yard-cloud")
    kube.patch(place, {"spec": {"replicas": 3}})
    eventually(lambda: (kube.get(place) or {})["spec"]["replicas"] == 1, 90, "healed by the same process")
    kube.apply(joint_inference(namespace, "later"))
    eventually(lambda: settled(kube, namespace) == 2, 90, "what comes afterwards is seen")
    assert operator.process is not None
    assert operator.process.poll() is None


def three(namespace: str, name: str) -> list[dict[str, object]]:
    """One resource of each kind that belong together."""
    learn = {"jointInferenceRef": {"name": name}, "baseData": {"uri": "yard:base"}, "trigger": {"samples": 40}}
    move = {"model": {"line": name, "from": DIGESTS[1], "to": DIGESTS[2]}}
    kinds = (("LifelongLearning", learn), ("ModelPatch", move))
    return [joint_inference(namespace, name), *(custom(kind, namespace, name, spec) for kind, spec in kinds)]


def settled(kube: Kube, namespace: str) -> int:
    """How many resources are as good as they get without a hub, every edge included."""
    found = 0
    for plural, kind in KINDS.items():
        for item in kube.items(path(plural, namespace)):
            status = item.get("status", {})
            conditions = {each["type"]: each for each in status.get("conditions", ())}
            good = conditions.get(kind, {}).get("reason") in ("Available", "Following", "HubUnreachable")
            found += good and status.get("edges", {}).get("summary", "2/2") == "2/2"
    return found


def looked_at(kube: Kube, start: int) -> set[str]:
    """Children that the operator fetched to compare."""
    return {event["requestURI"] for event in kube.audit(start) if event["verb"] == "get"}


def quiet(kube: Kube) -> None:
    """Return once the operator's user has asked for nothing new for three seconds."""
    last, since = kube.audit_end(), time.monotonic()
    while time.monotonic() - since < 3:
        time.sleep(0.2)
        if kube.audit_end() != last:
            last, since = kube.audit_end(), time.monotonic()
