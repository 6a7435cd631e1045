"""The real signer beside a real hub: releases get signed, a killed signer goes on where it was, keys are checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hub_kit import SIGNING_KEY, STRANGER, TRUSTED, HubKit, eventually, token_of

from umiak_workers.contract.config import SignerConfig
from umiak_workers.contract.endpoints import HUB
from umiak_workers.core.release import verify

pytestmark = pytest.mark.processes
Models = Callable[[int], tuple[Path, str]]


def pem(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def signer(role: Any, tmp_path: Path) -> Callable[..., Any]:
    """`signer(url, key=PEM) -> Role`, not started."""

    def make(url: str, key: bytes = pem(SIGNING_KEY)) -> Any:
        made = role("signer", SignerConfig(poll_seconds=0.1), {HUB: url}, token_of("signer"), tmp_path / "signer")
        (made.folder / "signing.key").write_bytes(key)
        return made

    return make


def test_releases_are_signed_across_restarts_of_either_side(
    new_hub: Callable[..., HubKit], signer: Callable[..., Any], models: Models
) -> None:
    hub = new_hub()
    (a, first), (b, second), (c, third) = models(0), models(1), models(2)
    process = signer(hub.url).start()
    ji = hub.joint_inference(a.as_uri(), first)
    hub.put(ji)
    eventually(lambda: hub.head(ji).digest == first, 120)
    for folder in (b, c):
        hub.client("operator").push_model(folder)
    process.kill()
    one = hub.patch(first, second, "one")
    hub.put(one)
    assert hub.release(one).state == "WaitingForSignature"
    hub.restart()
    assert (hub.head(ji).digest, hub.release(one).state) == (first, "WaitingForSignature")
    process.start()
    eventually(lambda: hub.head(ji).digest == second, 120)
    hub.restart()
    hub.put(hub.patch(second, third, "two"))
    eventually(lambda: hub.head(ji).digest == third, 120)
    envelope = hub.client("agent").head(hub.line)
    assert envelope is not None
    assert verify(envelope, TRUSTED).sequence == 3
    assert process.stop() == 0


def test_a_strangers_signer_changes_nothing(hub: HubKit, signer: Callable[..., Any], models: Models) -> None:
    folder, digest = models(0)
    spec = hub.joint_inference(folder.as_uri(), digest)
    hub.put(spec)
    eventually(hub.waiting)
    process = signer(hub.url, pem(STRANGER)).start()
    eventually(lambda: "no key that is trusted" in process.log(), 120)
    assert hub.head(spec).digest is None
    assert process.stop() == 0


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (b"not a key", "not an unencrypted PKCS#8 PEM"),
        (pem(generate_private_key(65537, 1024)), "Ed25519"),
        (pem(Ed25519PrivateKey.generate())[:40], "not an unencrypted PKCS#8 PEM"),
    ],
)
def test_a_wrong_key_is_one_line(signer: Callable[..., Any], key: bytes, says: str) -> None:
    process = signer("http://127.0.0.1:1", key).start()
    assert process.wait_exit(180) == 2
    assert "signing.key" in process.log()
    assert says in process.log()
    assert len(process.log().splitlines()) == 1


def test_a_hub_that_is_away_is_said_once(signer: Callable[..., Any], tmp_path: Path) -> None:
    process = signer("http://127.0.0.1:1").start()
    eventually(lambda: "cannot be asked" in process.log(), 120)
    assert process.stop() == 0
    assert process.log().count("cannot be asked") == 1
