"""A bad spec is refused with the field's name and a fix; a good one gets its defaults."""

import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from umiak_operators.api import joint_inference, lifelong_learning, model_patch
from umiak_operators.api.immutable import check_change
from umiak_operators.api.quantity import amount
from umiak_operators.api.resource import Key, Resource
from umiak_operators.api.spec import InvalidSpec

TABLE = yaml.safe_load((Path(__file__).parent / "bad_specs.yaml").read_text())
PARSERS = {
    "JointInference": joint_inference.parse,
    "LifelongLearning": lifelong_learning.parse,
    "ModelPatch": model_patch.parse,
}


def resource(kind: Any, spec: Any, name: str = "yard") -> Resource:
    return Resource(Key(kind, "default", name), "uid", 1, spec)


def changed(spec: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of `spec` with the dotted path set to `value`, or removed for None."""
    result = copy.deepcopy(spec)
    *folders, last = path.split(".")
    node = result
    for folder in folders:
        node = node[folder]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return result


@pytest.mark.parametrize("row", TABLE["bad"], ids=lambda row: f"{row['kind']}-{row['set']}-{row['to']}")
def test_a_bad_spec_names_the_field_and_the_fix(row: dict[str, Any]) -> None:
    spec = changed(TABLE["good"][row["kind"]], row["set"], row["to"])
    for place, value in row.get("also", {}).items():
        spec = changed(spec, place, value)
    with pytest.raises(InvalidSpec) as caught:
        PARSERS[row["kind"]](resource(row["kind"], spec))
    assert caught.value.field == row["field"]
    assert row["says"] in caught.value.message
    assert str(caught.value).startswith(f"{row['field']}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", ["image-classification", "object-detection", "keypoint-detection"])
def test_another_task_takes_a_labeller_and_whole_photos(task: str) -> None:
    good = TABLE["good"]["JointInference"]
    spec = {**good, "task": task, "cloud": {"labeller": good["cloud"]["sam"]}}
    assert joint_inference.parse(resource("JointInference", spec)).task == task
    alone = {**spec, "cloud": None, "hardExamples": {"miners": [{"miner": "EdgeOnly"}]}}
    del alone["cloud"]
    assert joint_inference.parse(resource("JointInference", alone)).cloud is None


def test_boxes_have_miners_of_their_own() -> None:
    good = TABLE["good"]["JointInference"]
    miners = [
        {"miner": "BoxThreshold", "threshold": 0.6, "nothingFound": 1},
        {"miner": "IBT", "budget": 0.2, "nothingFound": 0, "certain": 0.5},
    ]
    spec = {**good, "task": "object-detection", "cloud": {"labeller": good["cloud"]["sam"]}}
    parsed = joint_inference.parse(resource("JointInference", {**spec, "hardExamples": {"miners": miners}}))
    numbers = [(rule.miner, rule.nothing_found, rule.certain) for rule in parsed.hard_examples.miners]
    assert numbers == [("BoxThreshold", 1.0, None), ("IBT", 0.0, 0.5)]


@pytest.mark.parametrize("kind", PARSERS)
def test_a_good_spec_is_taken(kind: str) -> None:
    PARSERS[kind](resource(kind, TABLE["good"][kind]))


@pytest.mark.parametrize("row", TABLE["frozen"], ids=lambda row: f"{row['kind']}-{row['set']}")
def test_what_may_not_change_does_not(row: dict[str, Any]) -> None:
    good = TABLE["good"][row["kind"]]
    old, new = resource(row["kind"], good), resource(row["kind"], changed(good, row["set"], row["to"]))
    check_change(old, old)
    with pytest.raises(InvalidSpec, match="is immutable: make a") as caught:
        check_change(old, new)
    assert caught.value.field == row["field"]


def test_other_fields_may_change() -> None:
    good = TABLE["good"]["JointInference"]
    check_change(
        resource("JointInference", good), resource("JointInference", changed(good, "edge.model.uri", "builtin:b"))
    )


@pytest.mark.parametrize("name", ["Yard", "a.b", "x" * 64, "-a", "a-", ""])
def test_a_name_must_fit_a_label(name: str) -> None:
    with pytest.raises(InvalidSpec, match=r"metadata\.name"):
        model_patch.parse(resource("ModelPatch", TABLE["good"]["ModelPatch"], name))


def test_defaults() -> None:
    spec = joint_inference.parse(resource("JointInference", TABLE["good"]["JointInference"]))
    assert (spec.deadline_milliseconds, spec.edge.min_ready, spec.edge.runtime.threads) == (2000, 1, 1)
    assert spec.replay.retention_seconds() == 168 * 3600
    assert spec.cloud is not None
    assert (spec.cloud.replicas, spec.cloud.fusion.vote) == (1, "probability")


def test_a_number_is_a_quantity_too() -> None:
    good = TABLE["good"]["JointInference"]
    spec = changed(good, "edge.runtime", {"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}})
    parsed = joint_inference.parse(resource("JointInference", spec))
    assert parsed.edge.runtime.resources.limits.cpu == "2"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("1500m", "1.5"),
        ("0.5", "0.5"),
        ("1k", 1000),
        ("1Ki", 1024),
        ("2M", 2_000_000),
        ("1.5Mi", 1_572_864),
        ("1G", 10**9),
        ("1Gi", 2**30),
    ],
)
def test_a_quantity_is_a_number(text: str, number: int | str) -> None:
    assert amount(text) == Decimal(number)


def test_a_request_may_equal_its_limit_in_another_unit() -> None:
    resources = {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"cpu": 1, "memory": "1Gi"}}
    spec = changed(TABLE["good"]["JointInference"], "edge.runtime", {"resources": resources})
    joint_inference.parse(resource("JointInference", spec))


def test_edge_only_needs_no_cloud() -> None:
    good = changed(TABLE["good"]["JointInference"], "cloud", None)
    spec = changed(good, "hardExamples.miners", [{"miner": "EdgeOnly"}])
    assert joint_inference.parse(resource("JointInference", spec)).cloud is None


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("1h", 3600), ("1m", 60)])
def test_retention(text: str, seconds: int) -> None:
    spec = changed(TABLE["good"]["JointInference"], "replay", {"retention": text})
    assert joint_inference.parse(resource("JointInference", spec)).replay.retention_seconds() == seconds
