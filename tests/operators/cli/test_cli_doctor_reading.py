"""How facts are read: every refusal names a right, nothing of a Secret's values stays, addresses are tried in time."""

import base64
import datetime
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(Path(__file__).parent))

from cli_doctor_kit import container, deployment, parts, pod, resource

from umiak_operators.cli.doctor import focus, outside
from umiak_operators.cli.doctor.bounded import TooSlow, within
from umiak_operators.cli.doctor.examination import examine
from umiak_operators.cli.doctor.gather import Gathering, figures_of, packaged
from umiak_operators.cli.doctor.secret_facts import secret
from umiak_operators.runtime.cluster.api import ApiError
from umiak_workers.contract.errors import ConfigError

CORE, OURS = "/api/v1", "/apis/umiak.dev/v1alpha1"


class Fake:
    """An API server as a table: path -> objects, text, or the status of a refusal. What is absent is empty or 404."""

    server, ahead = "https://api.example", 0.0

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    def _answer(self, path: str) -> Any:
        self.asked.append(path)
        found = self.answers.get(path)
        if isinstance(found, int):
            raise ApiError(found, f"refused {path}")
        return found

    def get(self, path: str, query: Mapping[str, str]) -> Any:
        if (found := self._answer(path)) is None:
            raise ApiError(404, f"no {path}")
        return found

    def items(self, path: str, query: Mapping[str, str]) -> Any:
        return tuple(self._answer(path) or ())

    def text(self, path: str, query: Mapping[str, str], seconds: float | None = None) -> str:
        return str(self.get(path, query))


def gather(answers: Mapping[str, Any]) -> tuple[Any, Fake]:
    fake = Fake({"/version": {"gitVersion": "v1.34.10"}, **answers})
    return Gathering(fake, "umiak-system").read("1.0"), fake  # type: ignore[arg-type]


def test_everything_that_is_refused_names_the_right() -> None:
    lists = {
        "/apis/storage.k8s.io/v1/storageclasses": "list storageclasses.storage.k8s.io",
        f"{CORE}/nodes": "list nodes",
        "/apis/apps/v1/deployments": "list deployments.apps -A",
        f"{CORE}/pods": "list pods -A",
        f"{OURS}/jointinferences": "list jointinferences.umiak.dev -A",
        f"{CORE}/namespaces/umiak-system/services": "list services -n umiak-system",
        f"{CORE}/namespaces/umiak-system/configmaps/umiak-platform": "get configmaps -n umiak-system",
        f"{CORE}/namespaces/umiak-system/events": "list events -n umiak-system",
    }
    found, _ = gather(dict.fromkeys(lists, 403))
    assert {gap.right for gap in found.gaps} == set(lists.values())
    assert found.nodes is None
    assert found.storage_classes is None
    assert found.pods == (), "the installation's own namespace is read instead"
    assert examine(found)


def test_a_server_that_lets_nobody_in_is_no_set_of_gaps() -> None:
    with pytest.raises(ApiError):
        gather({"/version": 401})


def test_a_kind_that_is_not_defined_has_no_resources() -> None:
    found, _ = gather({f"{OURS}/modelpatches": 404, f"{OURS}/jointinferences": [resource()]})
    assert [body["metadata"]["name"] for body in found.resources] == ["yard"]
    assert found.gaps == ()


def test_last_words_are_asked_only_of_who_ends_again_and_again() -> None:
    crash = container("hub", waiting={"reason": "CrashLoopBackOff"}, last={"exitCode": 1}, restarts=3)
    well = container("broker", ready=True, restarts=9)
    pods = [pod("umiak-hub-1", "umiak-system", status={"containerStatuses": [crash, well]})]
    log = f"{CORE}/namespaces/umiak-system/pods/umiak-hub-1/log"
    found, fake = gather({f"{CORE}/pods": pods, log: "one\ntwo: no such folder\n\n"})
    assert found.last_words == {("umiak-system", "umiak-hub-1", "hub"): "two: no such folder"}
    assert fake.asked.count(log) == 1


def test_figures_are_read_where_the_hub_is_available() -> None:
    place = f"{CORE}/namespaces/umiak-system/services/umiak-hub:8800/proxy/metrics"
    text = 'umiak_fleet_queue_items{namespace="yard",resource="a"} 4.0\numiak_other 1\numiak_hub_state_bytes 1e+06\n'
    found, _ = gather({"/apis/apps/v1/deployments": list(parts()), place: text})
    assert [(one.name, one.value) for one in found.figures] == [
        ("umiak_fleet_queue_items", 4.0), ("umiak_hub_state_bytes", 1e6),
    ]  # fmt: skip
    assert found.figures[0].labels == {"namespace": "yard", "resource": "a"}
    walled, _ = gather({"/apis/apps/v1/deployments": list(parts()), place: 403})
    assert (walled.figures, walled.gaps) == (None, ()), "a network between, not the API server"
    _, fake = gather({"/apis/apps/v1/deployments": list(parts(hub=0))})
    assert place not in fake.asked
    assert figures_of("nonsense\numiak_hub_state_bytes nan\n") == ()


def test_the_definitions_of_this_version_are_at_hand() -> None:
    assert sorted(packaged()) == ["jointinferences.umiak.dev", "lifelonglearnings.umiak.dev", "modelpatches.umiak.dev"]


def pair(name: str, signer: ec.EllipticCurvePrivateKey | None = None, issuer: str = "") -> tuple[bytes, bytes, Any]:
    """A certificate for 127.0.0.1 and gate.example with its key, signed by itself or by another."""
    key = ec.generate_private_key(ec.SECP256R1())
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    who, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer or name))
    builder = x509.CertificateBuilder(by, who, key.public_key(), x509.random_serial_number(), now - day, now + day)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName("gate.example")])
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    made = builder.sign(signer or key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    return made, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()), key


def stored(**files: bytes) -> dict[str, Any]:
    return {"data": {key.replace("_", "."): base64.b64encode(value).decode() for key, value in files.items()}}


def test_a_certificate_s_public_part_is_all_that_is_kept() -> None:
    ca, _, ca_key = pair("authority")
    leaf, key, _ = pair("gate", ca_key, "authority")
    found = secret(stored(tls_crt=leaf + ca, tls_key=key, ca_crt=ca))
    assert found.certificate is not None
    assert found.certificate.names == ("localhost", "gate.example")
    assert (found.certificate.fits_key, found.certificate.authority) == (True, "fits")
    assert not found.certificate.self_signed
    assert not found.certificate.gap_in_chain
    assert "PRIVATE" not in repr(found)
    stranger, _, _ = pair("stranger")
    other = secret(stored(tls_crt=leaf + stranger, tls_key=pair("x")[1], ca_crt=stranger)).certificate
    assert other is not None
    assert (other.fits_key, other.authority, other.gap_in_chain) == (False, "other", True)
    alone = secret(stored(tls_crt=ca, tls_key=key)).certificate
    assert alone is not None
    assert (alone.self_signed, alone.authority) == (True, "none")


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"tls_crt": b"", "tls_key": b"x"}, "tls.crt is empty"),
        ({"tls_crt": b"no", "tls_key": b"x"}, "tls.crt holds no certificate (PEM)"),
        ({"operator_key": b"no hex", "signing_key": b""}, "operator.key is not hex text"),
        ({"signing_key": b"no key"}, "signing.key is not an Ed25519 private key (PEM, PKCS#8)"),
    ],
)
def test_faults_of_secrets(files: dict[str, bytes], fault: str) -> None:
    assert secret(stored(**files)).faults == (fault,)


def test_good_keys_leave_no_trace() -> None:
    signing = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    found = secret(stored(operator_key=b"ab" * 32, signing_key=signing))
    assert (found.keys, found.faults) == (frozenset(("operator.key", "signing.key")), ())
    assert "abab" not in repr(found)


class Hub(BaseHTTPRequestHandler):
    """Answers /hub/healthz, and nothing else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/hub/healthz" else 502)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A gateway with a certificate of an authority of its own: (port, authority)."""
    ca, _, ca_key = pair("authority")
    leaf, key, _ = pair("gate", ca_key, "authority")
    (tmp_path / "pair").write_bytes(leaf + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1], ca.decode()
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_address_that_answers(gate: tuple[int, str]) -> None:
    port, authority = gate
    well = outside.gateway(f"https://localhost:{port}/hub", authority, 5)
    assert (well.failure, well.untrusted, len(well.fingerprint)) == ("", "", 64)
    strange = outside.gateway(f"https://localhost:{port}/hub", "", 5)
    assert strange.failure == ""
    assert "certificate" in strange.untrusted
    behind = outside.gateway(f"https://localhost:{port}/elsewhere", authority, 5)
    assert (behind.failure, behind.message) == ("answer", "HTTP 502: the hub behind it does not")
    assert outside.broker(f"mqtts://localhost:{port}", authority, 5).failure == ""
    assert outside.broker(f"mqtt://127.0.0.1:{port}", "", 5).failure == ""


def test_addresses_that_do_not() -> None:
    assert outside.broker("mqtts://127.0.0.1:1", "", 1).failure == "refused"
    assert outside.gateway("https://no-such-name.invalid/hub", "", 1).failure in ("name", "timeout")
    plain = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=plain.handle_request)
    thread.start()
    found = outside.broker(f"mqtts://127.0.0.1:{plain.server_address[1]}", "", 2)
    plain.server_close()
    thread.join()
    assert found.failure in ("tls", "timeout", "refused")


def test_nothing_keeps_it_waiting() -> None:
    with pytest.raises(TooSlow, match="no answer within"):
        within(0.05, lambda: threading.Event().wait(1))
    assert within(5, lambda: 7) == 7
    with pytest.raises(ValueError, match="mine"):
        within(5, lambda: int("mine"))


def test_one_resource_and_what_it_stands_on() -> None:
    other = resource(name="other")
    edge = {"umiak.dev/edge": "edge-1", "umiak.dev/owner-name": "yard"}
    mine, its = pod("yard-edge-1", labels=edge), pod("other-edge-1", labels={**edge, "umiak.dev/owner-name": "other"})
    answers = {
        f"{OURS}/jointinferences": [resource(), other],
        f"{CORE}/pods": [mine, its],
        "/apis/apps/v1/deployments": [deployment("operator")],
    }
    found, _ = gather(answers)
    key = focus.parse("JointInference/yard", "yard")
    narrow = focus.narrowed(found, key)
    assert [body["metadata"]["name"] for body in narrow.resources or ()] == ["yard"]
    assert [body["metadata"]["name"] for body in narrow.pods or ()] == ["yard-edge-1"]
    assert len(narrow.deployments or ()) == 1
    gone = focus.parse("ji/nobody", "yard")
    (absent,) = focus.closer(focus.narrowed(found, gone), gone)
    assert "there is no JointInference nobody" in absent.found
    with pytest.raises(ConfigError, match="expected KIND/NAME"):
        focus.parse("ji", "yard")
