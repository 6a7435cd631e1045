"""What the chart renders: the plan's own objects, restricted pods, and nothing for values that make no sense."""

import json
from pathlib import Path
from typing import Any

import certificate
import pytest
import yaml
from chart_kit import CHART, NAMESPACE, ROOT, VALUES, Helm, chosen, merged, names, plain, platform_file

from umiak_operators.cli import platform_settings
from umiak_operators.plan.model import Platform
from umiak_operators.plan.platform import platform_objects

KEY = b"-----BEGIN PRIVATE KEY-----"
DIGEST = f"sha256:{'ab' * 32}"
SAID = [
    {},
    {"storageClass": "fast", "image": {"registry": "registry.test/team", "tag": "1.2.3"}},
    {"hub": {"database": {"existingSecret": "hub-db"}}},
    {"hub": {"database": {"existingSecret": "pg-app", "key": "uri"}}},
    {"hub": {"image": {"digest": DIGEST}}, "signer": {"image": {"registry": "other.test:5000", "tag": "edge"}}},
    {
        "keep": {"state": False, "crds": False},
        "broker": {"enabled": False},
        "outside": {"brokerUrl": "mqtts://mq.test"},
    },
]


def told(file: Path, text: str) -> Platform:
    """The operator's platform by the chart's file, with keys."""
    file.write_text(text)
    return platform_settings.platform(platform_settings.load(file, None), file.parent)


@pytest.mark.parametrize(
    "said", SAID, ids=["least", "registry-and-class", "postgresql", "key-of-ones-own", "digest", "own-broker"]
)
def test_hub_and_signer_are_those_of_the_plan(helm: Helm, tmp_path: Path, said: dict[str, Any]) -> None:
    rendered = helm.objects(merged(VALUES, said))
    platform = told(tmp_path / "platform.yaml", platform_file(rendered))
    wanted = platform_objects(platform, KEY, NAMESPACE)
    for body in wanted:
        if body["kind"] == "Secret":
            continue  # the operator writes those, by the plan itself
        assert plain(chosen(rendered, body["kind"], body["metadata"]["name"])) == body
    ours = {pair for pair in names(rendered) if pair[1] in ("umiak-hub", "umiak-signer") and pair[0] != "NetworkPolicy"}
    assert ours == {pair for pair in names([*wanted]) if pair[0] != "Secret"}


def test_images(helm: Helm, tmp_path: Path) -> None:
    said = {"image": {"registry": "registry.test", "tag": "7"}, "edge": {"image": {"digest": DIGEST}}}
    rendered = helm.objects(merged(VALUES, said, {"cloud": {"image": {"registry": "a.test/b", "repository": "c"}}}))
    platform = told(tmp_path / "platform.yaml", platform_file(rendered))
    assert platform.images["edge"] == f"registry.test/umiak/edge@{DIGEST}"
    assert platform.images["cloud"] == "a.test/b/c:7"
    assert platform.images["trainer"] == "registry.test/umiak/cloud:7"
    assert platform.images["signer"] == "registry.test/umiak/hub:7"


URLS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "https://gate.example/hub", "mqtts://gate.example:8883"),
    ({"tls": {"insecure": True}}, "http://gate.example/hub", "mqtt://gate.example:1883"),
    ({"gateway": {"service": {"port": 8443}}}, "https://gate.example:8443/hub", "mqtts://gate.example:8883"),
    (
        {"gateway": {"service": {"type": "NodePort"}}, "broker": {"service": {"type": "NodePort"}}},
        "https://gate.example:30443/hub",
        "mqtts://gate.example:30883",
    ),
    ({"outside": {"hubUrl": "https://h.test/x"}}, "https://h.test/x", "mqtts://gate.example:8883"),
]


@pytest.mark.parametrize(("said", "hub", "broker"), URLS)
def test_where_edges_dial(helm: Helm, tmp_path: Path, said: dict[str, Any], hub: str, broker: str) -> None:
    platform = told(tmp_path / "platform.yaml", platform_file(helm.objects(merged(VALUES, said))))
    assert platform.endpoints["umiak://hub"] == hub
    assert platform.endpoints["umiak://broker"] == broker
    assert platform.inside["umiak://hub"] == f"http://umiak-hub.{NAMESPACE}.svc:8800"
    assert platform.inside["umiak://broker"] == f"mqtt://umiak-broker.{NAMESPACE}.svc:1883"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"outside": {"host": ""}}, "outside.host is empty"),
    ({"outside": {"host": "https://gate.example"}}, "/outside/host"),
    ({"outside": {"hubUrl": "gate.example"}}, "/outside/hubUrl"),
    ({"outside": {"brokerUrl": "https://gate.example"}}, "/outside/brokerUrl"),
    ({"tls": {"existingSecret": "gate-tls", "insecure": True}}, "exclude each other"),
    ({"tls": {"ca": "gate.crt"}}, "/tls/ca"),
    ({"tls": {"insecure": "yes"}}, "/tls/insecure"),
    ({"gateway": {"enabled": False}}, "outside.hubUrl and outside.cloudUrl"),
    ({"broker": {"enabled": False}}, "outside.brokerUrl"),
    ({"hub": {"image": {"digest": "abc"}}}, "/hub/image/digest"),
    ({"hub": {"image": {"repository": "UPPER"}}}, "/hub/image/repository"),
    ({"hub": {"replicas": 2}}, "replicas"),
    ({"hub": {"extraEnv": []}}, "extraEnv"),
    ({"hub": {"resources": {"limits": {"memory": "much"}}}}, "/hub/resources/limits/memory"),
    ({"hub": {"resources": {"limit": {}}}}, "limit"),
    ({"hub": {"persistence": {"size": "20"}}}, "/hub/persistence/size"),
    ({"hub": {"database": {"url": "postgresql://u:p@db/umiak"}}}, "url"),
    ({"hub": {"database": {"existingSecret": "postgresql://u:p@db/umiak"}}}, "/hub/database/existingSecret"),
    ({"hub": {"database": {"key": "../url"}}}, "/hub/database/key"),
    ({"signer": {"database": {}}}, "database"),
    ({"hub": {"affinity": {"nodes": {}}}}, "nodes"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"imagePullSecrets": ["name"]}, "/imagePullSecrets/0"),
    ({"edge": {"stateVolume": "emptyDir"}}, "/edge/stateVolume"),
    ({"edge": {"hostPathRoot": "relative"}}, "/edge/hostPathRoot"),
    ({"operator": {"figuresSeconds": -1}}, "/operator/figuresSeconds"),
    ({"gateway": {"replicas": 0}}, "/gateway/replicas"),
    ({"gateway": {"service": {"type": "ExternalName"}}}, "/gateway/service/type"),
    ({"broker": {"service": {"nodePort": 70000}}}, "/broker/service/nodePort"),
    ({"keys": {"alsoTrusted": ["short"]}}, "/keys/alsoTrusted/0"),
    ({"serviceMonitors": {"interval": "often"}}, "/serviceMonitors/interval"),
    ({"hubb": {}}, "hubb"),
]


@pytest.mark.parametrize(("said", "word"), REFUSED, ids=[word for _, word in REFUSED])
def test_nonsense_is_refused_by_name(helm: Helm, said: dict[str, Any], word: str) -> None:
    text = helm.refusal(merged(VALUES, said))
    assert word in text.replace("umiak.", "").replace("'", ""), text


def test_lint(helm: Helm) -> None:
    done = helm.run("lint", "--strict", str(CHART), values=VALUES)
    assert "0 chart(s) failed" in done.stdout, done.stdout
    assert "WARNING" not in done.stdout, done.stdout


PAIRS = [
    *((file, CHART / "files" / "crds" / file.name) for file in sorted((ROOT / "crds").glob("*.yaml"))),
    (ROOT / "docs" / "reference" / "rbac.yaml", CHART / "files" / "rbac.yaml"),
]


@pytest.mark.parametrize(("source", "copy"), PAIRS, ids=lambda path: path.name)
def test_copies_are_their_sources(source: Path, copy: Path) -> None:
    same = copy.is_file() and source.read_bytes() == copy.read_bytes()
    assert same, f"cp {source.relative_to(ROOT)} {copy.relative_to(ROOT)}"


def test_no_copy_outlives_its_source() -> None:
    assert sorted(file.name for file in (CHART / "files" / "crds").iterdir()) == sorted(
        file.name for file in (ROOT / "crds").iterdir()
    )


def test_definitions_stay_unless_asked_otherwise(helm: Helm) -> None:
    for keep in (True, False):
        found = [
            body
            for body in helm.objects(merged(VALUES, {"keep": {"crds": keep}}))
            if body["kind"] == "CustomResourceDefinition"
        ]
        for body in found:
            annotations = body["metadata"].get("annotations") or {}
            assert (annotations.get("helm.sh/resource-policy") == "keep") is keep
            source = yaml.safe_load((ROOT / "crds" / f"{body['metadata']['name']}.yaml").read_text())
            assert body["spec"] == source["spec"]
        assert len(found) == 3
    without = helm.objects(merged(VALUES, {"crds": {"enabled": False}}))
    assert "CustomResourceDefinition" not in {body["kind"] for body in without}


def test_the_operator_may_do_what_the_reference_says(helm: Helm) -> None:
    rendered = helm.objects(VALUES)
    role, binding = (chosen(rendered, kind, "umiak-operator") for kind in ("ClusterRole", "ClusterRoleBinding"))
    source = next(iter(yaml.safe_load_all((ROOT / "docs" / "reference" / "rbac.yaml").read_text())))
    assert role["rules"] == source["rules"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "umiak-operator", "namespace": NAMESPACE}]


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every pod spec."""
    found = [body["spec"]["template"]["spec"] for body in objects if body["kind"] == "Deployment"]
    found += [body["spec"]["jobTemplate"]["spec"]["template"]["spec"] for body in objects if body["kind"] == "CronJob"]
    return found + [body["spec"] for body in objects if body["kind"] == "Pod"]


def test_what_every_pod_has(helm: Helm) -> None:
    said = {"imagePullSecrets": [{"name": "pull"}], "image": {"pullPolicy": "Always"}}
    found = pods(helm.objects(merged(VALUES, said)))
    assert len(found) == 7, "operator, hub, signer, broker, gateway, what renews the certificate, and the test"
    for spec in found:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 65532
        assert spec["imagePullSecrets"] == [{"name": "pull"}]
        assert "nodeAffinity" in spec["affinity"]
        for container in [*spec["containers"], *spec.get("initContainers", ())]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["imagePullPolicy"] == "Always"
            assert {"requests", "limits"} <= set(container["resources"])
            assert "env" not in container
    tokens = [spec for spec in found if spec["automountServiceAccountToken"]]
    assert [spec["serviceAccountName"] for spec in tokens] == ["umiak-operator", "umiak-operator"]
    (broker,) = [spec for spec in found if spec.get("serviceAccountName") == "umiak-broker"]
    projected = [volume["name"] for volume in broker["volumes"] if "projected" in volume]
    containers = [*broker["containers"], *broker["initContainers"]]
    readers = [box["name"] for box in containers for its in box["volumeMounts"] if its["name"] in projected]
    assert sorted(readers) == ["accounts", "first-accounts"], "mosquitto itself holds no token"


def test_where_pods_run(helm: Helm) -> None:
    taint = {"key": "only", "operator": "Exists"}
    spread = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    chosen_nodes = {"nodeSelector": {"disk": "fast"}, "tolerations": [taint], "affinity": spread}
    for part in ("operator", "hub", "signer", "broker", "gateway"):
        rendered = helm.objects(merged(VALUES, {part: chosen_nodes}))
        spec = chosen(rendered, "Deployment", f"umiak-{part}")["spec"]["template"]["spec"]
        assert spec["nodeSelector"] == {"disk": "fast"}
        assert spec["tolerations"] == [taint]
        assert set(spec["affinity"]) == {"nodeAffinity", "podAntiAffinity"}


def certificate_of(objects: list[dict[str, Any]]) -> tuple[list[str], set[str]]:
    """What the operator's init container is told of it, and the Secret that each reader mounts."""
    init = chosen(objects, "Deployment", "umiak-operator")["spec"]["template"]["spec"]["initContainers"][0]
    volumes = [volume for spec in pods(objects) for volume in spec.get("volumes", ()) if volume["name"] == "tls"]
    told = [part for part in init["command"] if "tls" in part]
    return told, {volume["secret"]["secretName"] for volume in volumes}


def test_whose_certificate_is_shown(helm: Helm) -> None:
    def shown(said: dict[str, Any]) -> tuple[list[str], set[str]]:
        return certificate_of(helm.objects(merged(VALUES, said)))

    assert shown({}) == (["--tls=umiak-tls", "--make-tls"], {"umiak-tls"})
    assert shown({"tls": {"existingSecret": "gate-tls"}}) == (["--tls=gate-tls"], {"gate-tls"})
    assert shown({"tls": {"insecure": True}}) == ([], set())
    own = {"outside": {"hubUrl": "https://h.test", "cloudUrl": "https://c.test", "brokerUrl": "mqtts://b.test"}}
    off = {part: {"enabled": False} for part in ("gateway", "broker")}
    assert shown(merged(own, off)) == ([], set())
    assert shown(merged(own, {"gateway": {"enabled": False}})) == (["--tls=umiak-tls", "--make-tls"], {"umiak-tls"})


def test_whoever_makes_the_certificate_looks_again_once_a_month(helm: Helm) -> None:
    rendered = helm.objects(VALUES)
    job = chosen(rendered, "CronJob", "umiak-certificate")["spec"]
    (again,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    operator = chosen(rendered, "Deployment", "umiak-operator")["spec"]["template"]["spec"]
    (first,) = operator["initContainers"]
    assert {**again, "name": first["name"]} == first
    assert job["schedule"] == "17 3 1 * *"
    for said in ({"tls": {"existingSecret": "gate-tls"}}, {"tls": {"insecure": True}}):
        assert "CronJob" not in {kind for kind, _ in names(helm.objects(merged(VALUES, said)))}


def test_no_pod_mounts_the_authority(helm: Helm) -> None:
    assert "umiak-ca" not in json.dumps([pods(helm.objects(VALUES))])


def test_authorities_of_ones_own(helm: Helm, tmp_path: Path) -> None:
    text = (certificate.write(tmp_path)).read_text()
    assert (
        told(tmp_path / "platform.yaml", platform_file(helm.objects(merged(VALUES, {"tls": {"ca": text}})))).ca == text
    )


def test_parts_can_be_left_out(helm: Helm) -> None:
    own = {"outside": {"hubUrl": "https://h.test", "cloudUrl": "https://c.test", "brokerUrl": "mqtts://b.test"}}
    off = {part: {"enabled": False} for part in ("gateway", "broker", "networkPolicies", "dashboards", "crds")}
    rendered = helm.objects(merged(own, off))
    kinds = {body["kind"] for body in rendered}
    assert not kinds & {"NetworkPolicy", "CustomResourceDefinition", "PodDisruptionBudget"}
    assert {name for _, name in names(rendered)} == {
        "umiak-hub", "umiak-signer", "umiak-operator", "umiak-platform", "umiak-test-hub-ready"
    }  # fmt: skip


def test_monitoring_brings_what_lies_in_the_chart(helm: Helm) -> None:
    said = {"serviceMonitors": {"enabled": True}, "prometheusRules": {"enabled": True, "labels": {"release": "p"}}}
    found = names(helm.objects(merged(VALUES, said)))
    assert {name for kind, name in found if kind == "ServiceMonitor"} == {"umiak-operator", "umiak-hub", "umiak-cloud"}
    rules = {f"umiak-{file.stem}" for file in (CHART / "alerts").glob("*.yaml")}
    assert {name for kind, name in found if kind == "PrometheusRule"} == rules
    boards = {f"umiak-dashboard-{file.stem}" for file in (CHART / "dashboards").glob("*.json")}
    assert {name for kind, name in found if kind == "ConfigMap" and "dashboard" in name} == boards
    assert not {kind for kind, _ in names(helm.objects(VALUES))} & {"ServiceMonitor", "PrometheusRule"}


def test_a_changed_platform_replaces_the_operator_alone(helm: Helm) -> None:
    def templates(said: dict[str, Any]) -> dict[str, Any]:
        found = helm.objects(merged(VALUES, said))
        return {body["metadata"]["name"]: body["spec"]["template"] for body in found if body["kind"] == "Deployment"}

    before, after = templates({}), templates({"edge": {"stateSize": "9Gi"}})
    assert {name for name in before if before[name] != after[name]} == {"umiak-operator"}


def test_the_page_tells_every_value() -> None:
    page = (ROOT / "docs" / "howto" / "helm.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    parts = page.partition("| `<part>.image")[2].partition("\n")[0]
    untold = {key for key in values if f"`{key}" not in page and f"`{key}`" not in parts}
    assert untold == set()


def test_schema_and_values_know_the_same_names() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)
