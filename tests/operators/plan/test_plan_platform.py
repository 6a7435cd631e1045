"""Hub and signer have the shape of every other pod, and the signing key is where only the signer sees it."""

from dataclasses import replace
from typing import Any

from umiak_operators.plan import names
from umiak_operators.plan.model import SecretKey
from umiak_operators.plan.platform import platform_objects
from umiak_workers.contract.config import HubConfig, SignerConfig, parse_config
from umiak_workers.contract.endpoints import Endpoints
from umiak_workers.contract.identity import verify

KEY = b"-----BEGIN PRIVATE KEY-----"


def chosen(world: Any, kind: str, name: str) -> Any:
    (found,) = [
        item
        for item in platform_objects(world.platform, KEY)
        if (item["kind"], item["metadata"]["name"]) == (kind, name)
    ]
    return found


def test_what_an_installation_holds(world: Any) -> None:
    found = sorted((item["kind"], item["metadata"]["name"]) for item in platform_objects(world.platform, KEY))
    hub = [(kind, "umiak-hub") for kind in ("Deployment", "PersistentVolumeClaim", "Secret", "Service")]
    signer = [(kind, "umiak-signer") for kind in ("Deployment", "PersistentVolumeClaim", "Secret")]
    assert found == sorted([*hub, *signer])
    assert {item["metadata"]["namespace"] for item in platform_objects(world.platform, KEY, "here")} == {"here"}


def test_files(world: Any, files: Any) -> None:
    hub, signer = (files(chosen(world, "Secret", name)) for name in ("umiak-hub", "umiak-signer"))
    assert parse_config(HubConfig, hub["hub.json"], "hub").trusted_keys == world.platform.trusted_keys
    assert parse_config(SignerConfig, signer["signer.json"], "signer").role == "signer"
    assert signer["signing.key"] == KEY
    assert "signing.key" not in hub
    assert "operator.key" not in signer
    assert bytes.fromhex(hub["operator.key"].decode()) == world.platform.operator_key
    assert str(verify(world.platform.operator_key, signer["signer.token"].decode())) == "-/-/-/signer"
    assert Endpoints.parse(hub["endpoints.json"]).resolve("umiak://listen/hub") == "http://0.0.0.0:8800"
    assert Endpoints.parse(signer["endpoints.json"]).resolve("umiak://hub").startswith("http://umiak-hub.")


def test_the_url_of_a_database_stays_in_its_secret(world: Any, files: Any) -> None:
    platform = replace(world.platform, hub_database=SecretKey("pg-app", "uri"))
    bodies = {(body["kind"], body["metadata"]["name"]): body for body in platform_objects(platform, KEY)}
    config = parse_config(HubConfig, files(bodies["Secret", "umiak-hub"])["hub.json"], "hub")
    pod = bodies["Deployment", "umiak-hub"]["spec"]["template"]["spec"]
    (mount,) = [item for item in pod["containers"][0]["volumeMounts"] if item["name"] == "database"]
    assert config.database_file == f"{mount['mountPath']}/uri"
    assert mount["readOnly"] is True
    assert {"name": "database", "secret": {"secretName": "pg-app", "defaultMode": 0o440}} in pod["volumes"]
    signer = bodies["Deployment", "umiak-signer"]["spec"]["template"]["spec"]
    assert "database" not in {volume["name"] for volume in signer["volumes"]}


def test_the_signer_listens_nowhere_and_keeps_only_its_book(world: Any) -> None:
    pod = chosen(world, "Deployment", "umiak-signer")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "--state" in container["command"]
    assert not {"ports", "readinessProbe"} & set(container)
    assert {volume["name"] for volume in pod["volumes"]} == {"config-signer", "state", "tmp"}


def test_a_new_key_replaces_no_pod(world: Any) -> None:
    def template(platform: Any, key: bytes) -> list[str]:
        bodies = [item for item in platform_objects(platform, key) if item["kind"] == "Deployment"]
        return [item["spec"]["template"]["metadata"]["annotations"][names.TEMPLATE_HASH] for item in bodies]

    assert template(world.platform, KEY) == template(replace(world.platform, operator_key=b"x" * 16), b"other")
