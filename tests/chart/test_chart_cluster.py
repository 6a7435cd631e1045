"""One installation from `helm install` to `helm uninstall` on a real API server, in the order a person lives it.

Pods only seem to run there (kwok), so operator, hub and signer run beside it: by the commands, files and rights that
the chart gave them.
"""

import asyncio
import datetime
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import certificate
import control_plane
import httpx
import pytest
from apiserver_kit import Kube, eventually, path
from chart_kit import CHART, NAMESPACE, ROOT, Helm, chosen, files, merged
from installed import Installation, edited, restricted, volume
from postgres_kit import PASSWORD, Postgres

from umiak_operators.cli import installation, installation_tls, platform_settings
from umiak_operators.cli.certificates import Pair, why_new
from umiak_operators.cli.operator import client_of
from umiak_operators.plan.platform import platform_objects
from umiak_operators.runtime.local.keys import load_or_make
from umiak_workers.contract.errors import ConfigError

NODE_PORT = {"service": {"type": "NodePort"}}
"""A load balancer's address never comes here, and helm would wait for it."""
VALUES: dict[str, Any] = {
    "outside": {"host": "gate.example"},
    "storageClass": "by-hand",
    "gateway": NODE_PORT,
    "broker": NODE_PORT,
}
YARD = "/apis/umiak.dev/v1alpha1/namespaces/yard/jointinferences/yard"


@pytest.fixture(scope="module")
def site(kube: Kube, helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An empty restricted namespace with volumes for the claims, nothing installed yet."""
    kube.apply(restricted(NAMESPACE), volume("for-hub", "20Gi"), volume("for-signer", "64Mi"))
    folder = tmp_path_factory.mktemp("installation")
    found = Installation(kube, Helm(helm.program, helm.home, kube.plane.kubeconfig("admin")), folder)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def said(site: Installation) -> str:
    """The release, with what helm said."""
    return site.install(VALUES)


@pytest.fixture(scope="module")
def prepared(site: Installation, said: str) -> Installation:
    """Keys made and Secrets written, as before the operator's first start."""
    site.prepare()
    return site


def versions(site: Installation, *kinds: str) -> dict[str, str]:
    """resourceVersion of the installation's objects."""
    listed = site.kube.run("get", ",".join(kinds), "-n", NAMESPACE, "-o", "json").stdout
    return {
        f"{body['kind']}/{body['metadata']['name']}": body["metadata"]["resourceVersion"]
        for body in json.loads(listed)["items"]
        if not body["metadata"]["name"].startswith("sh.helm")
    }


def generations(site: Installation) -> dict[str, int]:
    """Generation of every Deployment: it moves when the spec does."""
    return {
        body["metadata"]["name"]: body["metadata"]["generation"]
        for body in site.kube.items(path("deployments", NAMESPACE))
    }


def test_install_waits_until_all_is_ready_and_nothing_is_warned_of(site: Installation, said: str) -> None:
    assert "PodSecurity" not in said, said
    assert "warning" not in said.lower(), said
    for body in site.kube.items(path("deployments", NAMESPACE)):
        assert body["status"].get("availableReplicas") == body["spec"]["replicas"], body["metadata"]["name"]
    claims = site.kube.items(path("persistentvolumeclaims", NAMESPACE))
    assert {claim["status"]["phase"] for claim in claims} == {"Bound"}
    notes = site.helm.run("get", "notes", "umiak", "-n", NAMESPACE).stdout
    assert "kubectl apply -f docs/examples/01-minimal/" in notes
    assert "https://gate.example:30443/hub" in notes


def test_secrets_are_the_plans_and_are_made_once(prepared: Installation, tmp_path: Path) -> None:
    keys = prepared.secret("umiak-keys")
    for name, content in keys.items():
        (tmp_path / name).write_bytes(content)
    told = prepared.room("umiak-operator", "/run/umiak") / "platform.yaml"
    platform = platform_settings.platform(platform_settings.load(told, None), tmp_path)
    assert platform.trusted_keys == (load_or_make(tmp_path).trusted,)
    for body in platform_objects(platform, keys["signing.key"].strip(), NAMESPACE):
        if body["kind"] == "Secret":
            assert prepared.secret(body["metadata"]["name"]) == files(body)
    before = versions(prepared, "secrets")
    prepared.prepare()
    assert versions(prepared, "secrets") == before
    assert not (told.parent / "signing.key").exists(), "the operator's container has no use for it"


def test_keys_of_ones_own(prepared: Installation, kube: Kube, tmp_path: Path) -> None:
    client = client_of(prepared.kubeconfig("umiak-operator"))
    own = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own", "namespace": NAMESPACE}}
    with pytest.raises(ConfigError, match=f"there is no Secret {NAMESPACE}/own"):
        installation.keys_of(client, NAMESPACE, "own", make=False)
    kube.apply({**own, "stringData": {"operator.key": "ab" * 32}})
    with pytest.raises(ConfigError, match=r"lacks signing\.key"):
        installation.keys_of(client, NAMESPACE, "own", make=True)
    kube.apply({**own, "stringData": {"operator.key": "ab" * 32, "signing.key": "no key"}})
    with pytest.raises(ConfigError, match="damaged or of another kind"):
        installation.keys_of(client, NAMESPACE, "own", make=True)
    made = load_or_make(tmp_path)
    kube.apply({**own, "stringData": {"operator.key": "ab" * 32, "signing.key": made.signing.decode()}})
    found = installation.keys_of(client, NAMESPACE, "own", make=False)
    assert (found.operator, found.trusted) == (bytes.fromhex("ab" * 32), made.trusted)
    kube.run("delete", "secret", "own", "-n", NAMESPACE)


def test_a_certificate_is_made_for_where_edges_dial(prepared: Installation) -> None:
    shown, authority = prepared.secret("umiak-tls"), prepared.secret("umiak-ca")
    assert set(shown) == {"tls.crt", "tls.key", "ca.crt"}
    assert shown["ca.crt"] == authority["tls.crt"]
    pair, issuer = (Pair(files["tls.crt"], files["tls.key"]) for files in (shown, authority))
    assert why_new(pair, issuer, ("gate.example",), datetime.datetime.now(datetime.UTC)) is None
    assert prepared.get("secret", "umiak-tls")["type"] == "kubernetes.io/tls"
    (owner,) = prepared.get("secret", "umiak-tls")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Deployment", "umiak-operator")
    assert "ownerReferences" not in prepared.get("secret", "umiak-ca")["metadata"], "edges trust it beyond a release"


def test_it_is_renewed_in_time_and_whoever_shows_it_starts_again(prepared: Installation) -> None:
    client = client_of(prepared.kubeconfig("umiak-operator"))
    now, before = datetime.datetime.now(datetime.UTC), prepared.secret("umiak-tls")
    soon, late = now + datetime.timedelta(days=200), now + datetime.timedelta(days=300)
    made = partial(installation_tls.made, client, NAMESPACE, "umiak-tls", ("gate.example",))
    assert made(soon) == installation_tls.Shown(before["ca.crt"].decode())
    shown = made(late)
    assert shown.secret
    assert (shown.authorities.encode(), shown.again) == (before["ca.crt"], True)
    generation = generations(prepared)
    asyncio.run(installation.write(client, [(shown.secret, "umiak-operator")], NAMESPACE, late, 5))
    after = prepared.secret("umiak-tls")
    assert after["ca.crt"] == before["ca.crt"], "edges need not hear of it"
    assert after["tls.crt"] != before["tls.crt"]
    moved = {name for name, number in generations(prepared).items() if number != generation[name]}
    assert moved == {"umiak-gateway", "umiak-broker"}
    assert made(late).secret is None


def test_other_hosts_another_certificate(prepared: Installation) -> None:
    client, now = client_of(prepared.kubeconfig("umiak-operator")), datetime.datetime.now(datetime.UTC)
    shown = installation_tls.made(client, NAMESPACE, "umiak-tls", ("192.0.2.7",), now)
    assert shown.again
    with pytest.raises(ConfigError, match="nothing to make a certificate for"):
        installation_tls.made(client, NAMESPACE, "umiak-tls", (), now)


def test_a_certificate_of_ones_own(prepared: Installation, kube: Kube, tmp_path: Path) -> None:
    client = client_of(prepared.kubeconfig("umiak-operator"))
    with pytest.raises(ConfigError, match=f"there is no Secret {NAMESPACE}/gate-tls"):
        installation_tls.brought(client, NAMESPACE, "gate-tls")
    own: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
    own["metadata"] = {"name": "gate-tls", "namespace": NAMESPACE}
    ca = certificate.write(tmp_path).read_text()
    pair = {name: (tmp_path / name).read_text() for name in ("tls.crt", "tls.key")}
    kube.apply({**own, "stringData": pair})
    assert installation_tls.brought(client, NAMESPACE, "gate-tls").authorities == ""
    kube.apply({**own, "stringData": {**pair, "ca.crt": ca}})
    assert installation_tls.brought(client, NAMESPACE, "gate-tls") == installation_tls.Shown(ca)
    kube.apply({**own, "stringData": {**pair, "ca.crt": "no certificate"}})
    with pytest.raises(ConfigError, match=r"gate-tls: ca\.crt: expected certificates in PEM"):
        installation_tls.brought(client, NAMESPACE, "gate-tls")
    kube.run("delete", "secret", "gate-tls", "-n", NAMESPACE)


@pytest.fixture(scope="module")
def hub(prepared: Installation) -> Iterator[str]:
    """Hub and signer as the chart's Deployments and Secrets say, at addresses of this machine."""
    port, nobody = control_plane.free_ports(2)
    url = f"http://127.0.0.1:{port}"
    here = {"umiak://listen/hub": url, "umiak://hub": url, "umiak://broker": f"mqtt://127.0.0.1:{nobody}"}
    for role in ("hub", "signer"):
        prepared.start_worker(role, here)
    yield url
    prepared.stop("hub", "signer")


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_minimal_example_becomes_ready(prepared: Installation, kube: Kube, hub: str) -> None:
    eventually(lambda: answers(hub), what="the hub")
    prepared.start_operator(hub)
    kube.run("apply", "-f", f"{ROOT}/docs/examples/01-minimal/")
    kube.run("wait", "-n", "yard", "--for=condition=Ready", "jointinference/yard", "--timeout=90s")
    eventually(lambda: kube.condition(YARD, "FleetObserved")[0] == "True", what="the hub's view")
    said = prepared.log("operator").read_text()
    assert "forbidden" not in said.lower(), said
    assert "Traceback" not in said + prepared.log("hub").read_text() + prepared.log("signer").read_text()


def test_edges_get_the_chart_s_addresses(prepared: Installation, kube: Kube, hub: str) -> None:
    secrets = kube.items(path("secrets", "yard"), "umiak.dev/component=edge")
    assert len(secrets) == 3, "edge server, router and agent"
    for secret in secrets:
        known = json.loads(files(secret)["endpoints.json"])
        assert known["umiak://hub"] == "https://gate.example:30443/hub"
        assert known["umiak://broker"] == "mqtts://gate.example:30883"
        assert known["umiak://cloud/yard/yard"] == "https://gate.example:30443/cloud/yard/yard-cloud"
        assert files(secret)["ca.crt"] == prepared.secret("umiak-ca")["tls.crt"]
    (pod,) = kube.items(path("deployments", "yard"), "umiak.dev/component=edge")
    volumes = pod["spec"]["template"]["spec"]["volumes"]
    shown = [
        {"key": "ca.crt", "path": "ca.crt"} in volume["secret"]["items"] for volume in volumes if "secret" in volume
    ]
    assert shown == [True, True, True]


def test_the_broker_admits_exactly_the_edges_there_are(prepared: Installation, kube: Kube, hub: str) -> None:
    room = prepared.room("umiak-broker", "/etc/umiak")
    (room / "operator.key").write_bytes(prepared.secret("umiak-keys")["operator.key"])
    file = prepared.room("umiak-broker", "/run/umiak") / "accounts"

    def admitted() -> set[str]:
        lines = file.read_text().splitlines() if file.exists() else []
        return {line.partition(":")[0].removeprefix("yard/yard/") for line in lines}

    prepared.start("accounts", prepared.command("umiak-broker", "accounts"), "umiak-broker")
    first = {"-/-/-/hub", "edge-1/agent", "edge-1/router"}
    eventually(lambda: admitted() == first, what="the edge that is there")
    kube.node("edge-2", {"node-role.kubernetes.io/edge": ""})
    eventually(lambda: admitted() == first | {"edge-2/agent", "edge-2/router"}, what="a new edge")
    kube.delete("/api/v1/nodes/edge-2")
    eventually(lambda: admitted() == first, what="the first edge alone again")
    prepared.stop("accounts")
    assert "forbidden" not in prepared.log("accounts").read_text()
    who = f"--as=system:serviceaccount:{NAMESPACE}:umiak-broker"
    may = kube.run("auth", "can-i", "get", "secrets", "-A", who, check=False)
    assert may.stdout.strip() == "no"


def test_helm_test_asks_the_hub(prepared: Installation, kube: Kube, hub: str) -> None:
    pod = chosen(prepared.helm.objects(VALUES), "Pod", "umiak-test-hub-ready")
    (container,) = pod["spec"]["containers"]
    *line, url, seconds = container["command"]
    assert float(seconds) > 1
    assert url == f"http://umiak-hub.{NAMESPACE}.svc:8800/readyz"
    well = subprocess.run([*line, f"{hub}/readyz", "1"], capture_output=True, text=True, timeout=30)
    assert '"ready":true' in well.stdout.replace(" ", ""), well.stderr
    (nobody,) = control_plane.free_ports(1)
    assert subprocess.run([*line, f"http://127.0.0.1:{nobody}/readyz", "1"], capture_output=True, timeout=30).returncode

    def end_it() -> None:
        place = path("pods", NAMESPACE, "umiak-test-hub-ready")
        eventually(lambda: (kube.get(place) or {}).get("status", {}).get("phase") == "Running", what="the test's pod")
        headers = {"Content-Type": "application/merge-patch+json"}
        kube.http.patch(f"{place}/status", content='{"status": {"phase": "Succeeded"}}', headers=headers)

    kubelet = threading.Thread(target=end_it)
    kubelet.start()
    said = prepared.helm.run("test", "umiak", "-n", NAMESPACE, "--timeout", "1m").stdout
    kubelet.join()
    assert "Succeeded" in said


def test_an_upgrade_touches_what_changed(prepared: Installation, kube: Kube, hub: str) -> None:
    keys, before = prepared.secret("umiak-keys"), generations(prepared)
    said = prepared.install(merged(VALUES, {"edge": {"stateSize": "9Gi"}}), verb="upgrade")
    assert "PodSecurity" not in said
    after = generations(prepared)
    assert {name for name in after if after[name] != before[name]} == {"umiak-operator"}
    prepared.prepare()
    assert prepared.secret("umiak-keys") == keys
    assert kube.condition(YARD, "Ready")[0] == "True"


def column(body: dict[str, Any]) -> None:
    """A new version of a definition: one more printer column."""
    columns = body["spec"]["versions"][0]["additionalPrinterColumns"]
    columns.append({"name": "New", "type": "string", "jsonPath": ".spec.onCloudLoss"})


def columns(kube: Kube) -> list[str]:
    body = kube.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jointinferences.umiak.dev") or {}
    return [item["name"] for item in body["spec"]["versions"][0]["additionalPrinterColumns"]]


def test_definitions_follow_upgrade_and_rollback(prepared: Installation, kube: Kube, hub: str, tmp_path: Path) -> None:
    keys, uid = prepared.secret("umiak-keys"), (kube.get(YARD) or {})["metadata"]["uid"]
    prepared.install(VALUES, edited(CHART, tmp_path / "umiak", column), verb="upgrade")
    assert "New" in columns(kube)
    prepared.helm.run("rollback", "umiak", "1", "-n", NAMESPACE, "--wait", "--timeout", "2m")
    assert "New" not in columns(kube)
    assert (kube.get(YARD) or {})["metadata"]["uid"] == uid
    assert prepared.secret("umiak-keys") == keys
    assert "4Gi" in prepared.get("configmap", "umiak-platform")["data"]["platform.yaml"]


def test_a_second_release_is_refused(prepared: Installation) -> None:
    done = prepared.helm.run("install", "other", str(CHART), "--namespace", "default", values=VALUES, check=False)
    assert done.returncode != 0
    assert "cannot be imported" in done.stderr


def leftovers(kube: Kube) -> set[str]:
    """Everything of ours in the installation's namespace and beside namespaces, but for what Helm itself keeps."""
    kinds = "deployments,services,secrets,configmaps,persistentvolumeclaims,serviceaccounts,networkpolicies"
    kinds += ",poddisruptionbudgets,pods,cronjobs,jobs"
    names = kube.run("get", kinds, "-n", NAMESPACE, "-o", "name").stdout.split()
    names += kube.run("get", "clusterroles,clusterrolebindings,crds", "-o", "name").stdout.split()
    return {name for name in names if "umiak" in name}


def test_uninstall_leaves_what_is_to_be_kept_and_reinstall_finds_it(
    prepared: Installation, kube: Kube, hub: str
) -> None:
    keys, uid = prepared.secret("umiak-keys"), (kube.get(YARD) or {})["metadata"]["uid"]
    authority = prepared.secret("umiak-ca")
    prepared.stop("operator")
    said = prepared.helm.run("uninstall", "umiak", "-n", NAMESPACE, "--wait", "--timeout", "2m").stdout
    assert "kept due to the resource policy" in said
    kept = {
        *(f"customresourcedefinition.apiextensions.k8s.io/{file.stem}" for file in (ROOT / "crds").glob("*.yaml")),
        "persistentvolumeclaim/umiak-hub",
        "persistentvolumeclaim/umiak-signer",
        "secret/umiak-keys",
        "secret/umiak-ca",
    }
    eventually(lambda: leftovers(kube) == kept, what=f"only what is kept, not {leftovers(kube) - kept}")
    assert (kube.get(YARD) or {})["metadata"]["uid"] == uid
    prepared.install(merged(VALUES, {"keep": {"state": False}}))
    prepared.prepare()
    assert prepared.secret("umiak-keys") == keys
    assert prepared.secret("umiak-ca") == authority
    assert prepared.secret("umiak-tls")["ca.crt"] == authority["tls.crt"]
    assert kube.get(YARD) is not None


def test_the_hub_s_books_are_in_postgresql(prepared: Installation, kube: Kube, postgres: Postgres) -> None:
    """The last of them: a hub with an empty claim, told by a Secret where its books are."""
    prepared.stop("hub")
    shutil.rmtree(prepared.room("umiak-hub", "/var/lib/umiak"))
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub-db"}}
    secret["metadata"]["namespace"] = NAMESPACE
    kube.apply({**secret, "stringData": {"url": postgres.new()}})
    prepared.install(merged(VALUES, {"hub": {"database": {"existingSecret": "hub-db"}}}), verb="upgrade")
    prepared.prepare()
    (port,) = control_plane.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    prepared.start_worker("hub", {"umiak://listen/hub": url, "umiak://hub": url})
    eventually(lambda: answers(url), what=f"the hub: {prepared.log('hub').read_text()}")
    state = prepared.room("umiak-hub", "/var/lib/umiak")
    assert (state / "home").is_file()
    assert not (state / "hub.db").exists()
    password = quote(PASSWORD, safe="")
    told = [prepared.secret("umiak-hub")["hub.json"].decode(), prepared.log("hub").read_text()]
    told += [
        json.dumps(prepared.get("configmap", "umiak-platform")),
        json.dumps(prepared.get("deployment", "umiak-hub")),
    ]
    assert not [text for text in told if password in text or PASSWORD in text]
