"""The three resources on a real API server: established, explained, defaulted, and refusing what they must."""

import copy
from typing import Any

import pytest
from apiserver_kit import DIGESTS, Kube, custom, joint_inference

KINDS = {"jointinferences": "JointInference", "lifelonglearnings": "LifelongLearning", "modelpatches": "ModelPatch"}


def lifelong(namespace: str, **changes: Any) -> dict[str, Any]:
    spec = {"jointInferenceRef": {"name": "yard"}, "baseData": {"uri": "yard:base"}, "trigger": {"samples": 40}}
    return custom("LifelongLearning", namespace, "yard", {**spec, **changes})


def patch(namespace: str, **changes: Any) -> dict[str, Any]:
    model = {"line": "yard", "from": DIGESTS[1], "to": DIGESTS[2]}
    return custom("ModelPatch", namespace, "yard", {"model": {**model, **changes}})


@pytest.mark.parametrize("plural", KINDS)
def test_is_established_in_the_category_umiak(kube: Kube, plural: str) -> None:
    body = kube.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.umiak.dev")
    assert body is not None
    conditions = {item["type"]: item["status"] for item in body["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert "NonStructuralSchema" not in conditions
    assert body["spec"]["names"]["categories"] == ["umiak"]


@pytest.mark.parametrize("plural", KINDS)
def test_kubectl_explain_describes_every_field(kube: Kube, plural: str) -> None:
    text = kube.run("explain", plural, "--recursive=false").stdout
    assert "DESCRIPTION" in text
    assert KINDS[plural] in text
    assert "<no description>" not in kube.run("explain", f"{plural}.spec").stdout
    assert "<no description>" not in kube.run("explain", f"{plural}.status").stdout


def test_defaults_are_filled_in(kube: Kube, namespace: str) -> None:
    kube.apply(joint_inference(namespace))
    body = kube.get(f"/apis/umiak.dev/v1alpha1/namespaces/{namespace}/jointinferences/yard")
    assert body is not None
    assert body["spec"]["collaboration"] == "Route"
    assert body["spec"]["deadlineMilliseconds"] == 2000
    assert body["spec"]["cloud"]["replicas"] == 1
    assert body["spec"]["replay"] == {"capacity": 10000, "retention": "168h"}


def test_kubectl_get_umiak_prints_columns(kube: Kube, namespace: str) -> None:
    kube.apply(joint_inference(namespace), lifelong(namespace), patch(namespace))
    text = kube.run("get", "umiak", "-n", namespace).stdout
    for word in ("READY", "EDGES", "SAMPLES", "TRAINING", "SUCCEEDED", "modelpatch.umiak.dev/yard"):
        assert word in text


def changed(body: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with one field of its spec set (None: removed)."""
    found = copy.deepcopy(body)
    *parents, last = place.split(".")
    at = found["spec"]
    for part in parents:
        at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
    if value is None:
        del at[last]
    else:
        at[last] = value
    return found


JOINT = [
    ("edge.model.digest", "sha256:short", "spec.edge.model.digest"),
    ("edge.model.line", "Not A Line", "spec.edge.model.line"),
    ("edge.model", None, "spec.edge.model"),
    ("edge.nodes.matchLabels", {}, "spec.edge.nodes.matchLabels"),
    ("edge.runtime", {"threads": 0}, "spec.edge.runtime.threads"),
    ("edge.runtime", {"resources": {"limits": {"cpu": "lots"}}}, "spec.edge.runtime.resources.limits.cpu"),
    ("edge.minReady", -1, "spec.edge.minReady"),
    ("collaboration", "Split", "spec.collaboration"),
    ("task", "cooking", "spec.task"),
    ("cloud.replicas", 1000, "spec.cloud.replicas"),
    ("cloud.fusion", {"vote": "loudest"}, "spec.cloud.fusion.vote"),
    ("hardExamples.miners", [], "spec.hardExamples.miners"),
    ("hardExamples.miners.0.miner", "Psychic", "spec.hardExamples.miners[0].miner"),
    ("hardExamples.miners.0.budget", 1.5, "spec.hardExamples.miners[0].budget"),
    ("deadlineMilliseconds", 1, "spec.deadlineMilliseconds"),
    ("onCloudLoss", "Panic", "spec.onCloudLoss"),
    ("replay", {"retention": "a while"}, "spec.replay.retention"),
    ("edge.hostNetwork", True, "spec.edge.hostNetwork"),
]


@pytest.mark.parametrize(("place", "value", "field"), JOINT, ids=[row[0] for row in JOINT])
def test_a_bad_joint_inference_is_refused_by_field_name(kube: Kube, place: str, value: Any, field: str) -> None:
    assert field in kube.refused(changed(joint_inference("default"), place, value))


OTHERS = [
    (lifelong("default"), "trigger.samples", 0, "spec.trigger.samples"),
    (lifelong("default"), "baseData", None, "spec.baseData"),
    (lifelong("default"), "fit", {"replayShare": 1}, "spec.fit.replayShare"),
    (lifelong("default"), "promotion", {"metric": "vibes"}, "spec.promotion.metric"),
    (lifelong("default"), "strategy", "Osmosis", "spec.strategy"),
    (patch("default"), "model.to", "v2", "spec.model.to"),
    (patch("default"), "model.from", None, "spec.model.from"),
]


@pytest.mark.parametrize(("body", "place", "value", "field"), OTHERS, ids=[row[3] for row in OTHERS])
def test_a_bad_other_resource_is_refused_by_field_name(
    kube: Kube, body: dict[str, Any], place: str, value: Any, field: str
) -> None:
    assert field in kube.refused(changed(body, place, value))


RULES = [
    (changed(joint_inference("default"), "cloud", None), "every miner must be EdgeOnly"),
    (changed(joint_inference("default"), "edge.source", {}), "exactly one of http and directory"),
    (changed(joint_inference("default"), "edge.source", {"http": {}, "directory": {}}), "exactly one of http"),
    (changed(joint_inference("default"), "cloud", {}), "at least one of sam and labeller"),
    (changed(joint_inference("default"), "hardExamples.miners.0.threshold", 0.5), "exactly one of threshold and"),
    (changed(joint_inference("default"), "hardExamples.miners.0.budget", None), "exactly one of threshold and"),
    (changed(joint_inference("default"), "hardExamples.miners.0.miner", "CloudOnly"), "take neither"),
    (joint_inference("default", name="a.dot"), "at most 63 lower-case letters"),
    ({**lifelong("default"), "metadata": {"name": "a.dot", "namespace": "default"}}, "at most 63 lower-case letters"),
    ({**patch("default"), "metadata": {"name": "a.dot", "namespace": "default"}}, "at most 63 lower-case letters"),
    (patch("default", to=DIGESTS[1]), "from"),
]


@pytest.mark.parametrize(("body", "words"), RULES, ids=[f"{n}-{row[1][:24]}" for n, row in enumerate(RULES)])
def test_each_rule_of_the_schema_refuses(kube: Kube, body: dict[str, Any], words: str) -> None:
    assert words in kube.refused(body)


def test_what_may_not_change_does_not(kube: Kube, namespace: str) -> None:
    kube.apply(joint_inference(namespace), lifelong(namespace), patch(namespace))
    assert "immutable" in kube.refused(changed(joint_inference(namespace), "edge.model.line", "other"))
    assert "immutable" in kube.refused(lifelong(namespace, jointInferenceRef={"name": "other"}))
    assert "immutable" in kube.refused(patch(namespace, to=DIGESTS[3]))


def test_every_rule_of_the_schemas_has_a_case_here(kube: Kube) -> None:
    """A rule that is added without a case makes this fail."""
    count = 0
    for plural in KINDS:
        body = kube.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.umiak.dev")
        assert body is not None
        count += str(body["spec"]["versions"]).count("'rule': ")
    assert count == 11
