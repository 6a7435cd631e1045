"""What `umiak operator` is told, and what it says to mistakes."""

import datetime
from pathlib import Path

import pytest
import structlog.testing
import yaml
from kubernetes.client import Configuration

from umiak_operators.cli import platform_settings
from umiak_operators.cli.certificates import new_authority
from umiak_operators.cli.operator import client_of, connection, crds_served
from umiak_operators.runtime.cluster.api import ApiError
from umiak_workers.contract.errors import ConfigError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine that runs the tests."""
    for name in ("UMIAK_HUB", "UMIAK_STATE_VOLUME", "UMIAK_IMAGES", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str) -> Path:
    file = folder / "platform.yaml"
    file.write_text(text)
    return file


def test_nothing_said_is_a_development_platform_with_keys_that_stay(tmp_path: Path) -> None:
    settings = platform_settings.load(None, None)
    one, two = (platform_settings.platform(settings, tmp_path) for _ in range(2))
    assert one == two, "a restart keeps the keys: other ones would change every Secret"
    assert len(one.operator_key) == 32
    assert one.trusted_keys
    assert one.images["edge"] == "umiak/edge:dev"
    assert one.endpoints == {"umiak://hub": "http://127.0.0.1:8800", "umiak://broker": "mqtt://127.0.0.1:1883"}


def test_variables_win_over_the_file_and_the_option_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "hub: https://file\nbroker: mqtts://file\nstateVolume: persistentVolumeClaim\n")
    assert platform_settings.load(file, None).hub == "https://file"
    monkeypatch.setenv("UMIAK_HUB", "https://variable")
    assert platform_settings.load(file, None).hub == "https://variable"
    found = platform_settings.load(file, "https://option")
    assert (found.hub, found.broker, found.state_volume) == ("https://option", "mqtts://file", "persistentVolumeClaim")


def test_everything_in_a_file(tmp_path: Path) -> None:
    key = tmp_path / "operator.key"
    key.write_text("ab" * 32 + "\n")
    text = f"""
hub: https://gate/hub
broker: mqtts://gate
cloud: https://gate/cloud
insideHub: http://umiak-hub.umiak-system.svc:8800
images: {{edge: registry.test/edge@sha256:0}}
operatorKeyFile: {key}
trustedKeys: [a2V5]
storageClass: fast
stateSize: 8Gi
hostPathRoot: /data/umiak
"""
    made = platform_settings.platform(platform_settings.load(write(tmp_path, text), None), tmp_path / "state")
    assert made.operator_key == bytes.fromhex("ab" * 32)
    assert made.endpoints["umiak://cloud"] == "https://gate/cloud"
    assert made.inside == {"umiak://hub": "http://umiak-hub.umiak-system.svc:8800"}
    assert (made.storage_class, made.state_size, made.host_path_root) == ("fast", "8Gi", "/data/umiak")
    assert made.images["edge"] == "registry.test/edge@sha256:0"
    assert made.images["cloud"] == "umiak/cloud:dev"
    assert not (tmp_path / "state").exists(), "named keys are not made"


def test_roles_that_share_an_image(tmp_path: Path) -> None:
    images = platform_settings.platform(platform_settings.load(None, None), tmp_path).images
    assert (images["trainer"], images["signer"]) == (images["cloud"], images["hub"])


def test_authorities_are_a_file_or_the_text_itself(tmp_path: Path) -> None:
    def ca(said: str) -> str:
        settings = platform_settings.load(write(tmp_path, yaml.safe_dump({"ca": said})), None)
        return platform_settings.platform(settings, tmp_path).ca

    text = new_authority("ours", datetime.datetime.now(datetime.UTC)).certificate.decode()
    (tmp_path / "ca.crt").write_text(text)
    assert ca(text) == ca(str(tmp_path / "ca.crt")) == text
    assert ca("") == ""
    assert ca("# première\n" + text).isascii()
    for wrong, says in (
        (str(tmp_path / "none.crt"), r"none\.crt"),
        ("-----BEGIN CERTIFICATE-----", "ca: the text"),
        (str(write(tmp_path, "no: certificate")), r"platform\.yaml: expected certificates in PEM"),
    ):
        with pytest.raises(ConfigError, match=says):
            ca(wrong)


BAD = [
    ("hubb: https://x", "hubb"),
    ("hub: nowhere", "hub"),
    ("stateVolume: cloud", "stateVolume"),
    ("images: {clod: x}", "clod"),
    ("figuresSeconds: -1", "figuresSeconds"),
    ("- a list", "expected a map"),
    ("a: [", "platform.yaml"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_a_bad_file_is_one_line_that_names_it_and_the_field(tmp_path: Path, text: str, says: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        platform_settings.load(file, None)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        platform_settings.load(tmp_path / "nothing.yaml", None)
    settings = platform_settings.load(write(tmp_path, f"operatorKeyFile: {tmp_path}/none.key"), None)
    with pytest.raises(ConfigError, match=r"none\.key"):
        platform_settings.platform(settings, tmp_path)


@pytest.mark.parametrize("content", [None, "{}", "not yaml: ["])
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="kubeconfig"):
        client_of(file)


def test_neither_kubeconfig_nor_pod() -> None:
    with pytest.raises(ConfigError, match="--kubeconfig"):
        client_of(None)


def test_kopf_logs_in_with_the_same_credentials() -> None:
    chosen = Configuration(
        host="https://server", api_key={"BearerToken": "t"}, api_key_prefix={"BearerToken": "Bearer"}
    )
    chosen.ssl_ca_cert = "/ca.crt"
    found = connection(chosen)
    assert (found.server, found.scheme, found.token, found.ca_path, found.insecure) == (
        "https://server", "Bearer", "t", "/ca.crt", False,
    )  # fmt: skip


class SlowServer:
    """An API server that comes up, and learns our kinds later."""

    def __init__(self) -> None:
        self.answers: list[set[str] | ApiError] = [ApiError(0, "connection refused"), set(), {"jointinferences"}]

    async def served(self, api_version: str) -> set[str]:
        assert api_version == "umiak.dev/v1alpha1"
        answer = self.answers.pop(0) if self.answers else {"jointinferences", "lifelonglearnings", "modelpatches"}
        if isinstance(answer, ApiError):
            raise answer
        return answer


async def test_it_waits_for_the_definitions_and_says_what_is_missing_once() -> None:
    with structlog.testing.capture_logs() as said:
        await crds_served(SlowServer(), pause=0.001)
    texts = [line["event"] for line in said]
    assert texts[0] == "waiting for the API server: connection refused"
    assert "jointinferences, lifelonglearnings, modelpatches: kubectl apply -f crds/" in texts[1]
    assert "lifelonglearnings, modelpatches" in texts[2]
    assert len(texts) == 3
