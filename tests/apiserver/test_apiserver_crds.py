"""The three resources on a real API server: established, explained, defaulted, and refusing what they must."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from apiserver_kit import DIGESTS, ROOT, Kube, custom, joint_inference, path

TABLE = yaml.safe_load((ROOT / "tests" / "operators" / "api" / "bad_specs.yaml").read_text())
"""The same bad specs that Python refuses."""
KINDS = {"jointinferences": "JointInference", "lifelonglearnings": "LifelongLearning", "modelpatches": "ModelPatch"}
PLURALS = {kind: plural for plural, kind in KINDS.items()}


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


def test_regions_are_absent_or_whole(kube: Kube, namespace: str) -> None:
    hard = {"miners": [{"miner": "ScoreMargin", "budget": 0.2}], "regions": {"threshold": 0.4}}
    for wanted, found in (
        ({"miners": hard["miners"]}, None),
        (hard, {"threshold": 0.4, "by": "Margin", "side": 48, "cell": 2}),
    ):
        kube.apply(joint_inference(namespace, hardExamples=wanted))
        body = kube.get(f"/apis/umiak.dev/v1alpha1/namespaces/{namespace}/jointinferences/yard")
        assert body is not None
        regions = body["spec"]["hardExamples"].get("regions")
        assert regions == (found and {**found, "codec": "AVIF", "quality": 40, "learning": "WholePhotoLater"})


def test_every_kind_of_rule_is_taken(kube: Kube, namespace: str) -> None:
    miners = [
        {"miner": "Entropy", "threshold": 0.05, "calibration": [[0, 0], [0.4, 0.0], [1, 0.5]]},
        {"miner": "Entropy", "threshold": 1, "calibration": [[index / 31, index / 31] for index in range(32)]},
        {"miner": "MaxProbability", "budget": 0.1},
        {"miner": "ScoreMargin", "bytesPerSecond": 20_000},
        {"miner": "Random", "cost": {"perHour": 1, "perMegabyte": 0.02}},
        {"miner": "AppealHead", "threshold": 0.01},
        {"miner": "EdgeOnly"},
    ]
    kube.apply(joint_inference(namespace, hardExamples={"miners": miners}))
    body = kube.get(f"/apis/umiak.dev/v1alpha1/namespaces/{namespace}/jointinferences/yard")
    assert body is not None
    miners[4] = {"miner": "Random", "cost": {"perHour": 1, "perUpload": 0, "perMegabyte": 0.02}}
    assert body["spec"]["hardExamples"]["miners"] == miners


def test_rules_of_boxes_are_taken_where_there_are_boxes(kube: Kube, namespace: str) -> None:
    miners = [
        {"miner": "BoxThreshold", "threshold": 0.6, "nothingFound": 1},
        {"miner": "IBT", "budget": 0.2, "nothingFound": 0, "certain": 0.5},
    ]
    model = {"uri": "builtin:better", "digest": "sha256:" + "2" * 64}
    changes = {"task": "object-detection", "cloud": {"labeller": model}, "hardExamples": {"miners": miners}}
    kube.apply(joint_inference(namespace, **changes))
    body = kube.get(f"/apis/umiak.dev/v1alpha1/namespaces/{namespace}/jointinferences/yard")
    assert body is not None
    assert body["spec"]["hardExamples"]["miners"] == miners


def test_kubectl_get_umiak_prints_columns(kube: Kube, namespace: str) -> None:
    kube.apply(joint_inference(namespace), lifelong(namespace), patch(namespace))
    text = kube.run("get", "umiak", "-n", namespace).stdout
    for word in ("READY", "EDGES", "SAMPLES", "TRAINING", "SUCCEEDED", "modelpatch.umiak.dev/yard"):
        assert word in text


def changed(spec: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with one dotted field set (None: removed)."""
    found = copy.deepcopy(spec)
    *parents, last = place.split(".")
    at = found
    for part in parents:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return found


def bad(row: dict[str, Any]) -> dict[str, Any]:
    """The resource of a row of the table."""
    spec = changed(TABLE["good"][row["kind"]], row["set"], row["to"])
    for place, value in row.get("also", {}).items():
        spec = changed(spec, place, value)
    return custom(row["kind"], "default", "bad", spec)


def row_id(row: dict[str, Any]) -> str:
    return f"{row['kind']}-{row['set']}-{row['to']}{'-'.join(row.get('also', ()))}"


@pytest.mark.parametrize("row", TABLE["bad"], ids=row_id)
def test_a_bad_spec_is_refused_by_field_name(kube: Kube, row: dict[str, Any]) -> None:
    assert row["field"] in kube.refused(bad(row))


def test_kubectl_says_the_field_too(kube: Kube) -> None:
    body = joint_inference("default", deadlineMilliseconds=1)
    done = kube.run("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(body), check=False)
    assert done.returncode != 0
    assert "spec.deadlineMilliseconds" in done.stderr


@pytest.fixture(scope="module")
def stored(kube: Kube) -> Iterator[None]:
    """One good resource of each kind."""
    kube.apply(*(custom(kind, "default", "kept", spec) for kind, spec in TABLE["good"].items()))
    yield
    for plural in KINDS:
        kube.delete(path(plural, "default", "kept"))


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("row", TABLE["frozen"], ids=lambda row: f"{row['kind']}-{row['set']}")
def test_what_may_not_change_does_not(kube: Kube, row: dict[str, Any]) -> None:
    said = frozen(kube, row)
    assert row["field"] in said
    assert "immutable" in said


def frozen(kube: Kube, row: dict[str, Any]) -> str:
    """What the server says to changing a stored resource as a row of the table has it."""
    spec = changed(TABLE["good"][row["kind"]], row["set"], row["to"])
    return kube.refused_change(path(PLURALS[row["kind"]], "default", "kept"), {"spec": spec})


@pytest.mark.usefixtures("stored")
def test_every_rule_of_the_schemas_is_met_by_some_case(kube: Kube) -> None:
    """A CEL rule that is added without a case in the table makes this fail."""
    said = [kube.refused(bad(row)) for row in TABLE["bad"]] + [frozen(kube, row) for row in TABLE["frozen"]]
    said += [kube.refused(custom(kind, "default", "a.dot", spec)) for kind, spec in TABLE["good"].items()]
    rules = [rule for file in sorted((ROOT / "crds").iterdir()) for rule in rules_of(yaml.safe_load(file.read_text()))]
    assert len(rules) >= 11
    assert [rule["rule"] for rule in rules if not any(rule["message"] in text for text in said)] == []


def rules_of(node: Any) -> list[dict[str, str]]:
    """Every validation rule of a schema."""
    if isinstance(node, list):
        return [rule for item in node for rule in rules_of(item)]
    if not isinstance(node, dict):
        return []
    return node.get("x-kubernetes-validations", []) + [rule for item in node.values() for rule in rules_of(item)]
