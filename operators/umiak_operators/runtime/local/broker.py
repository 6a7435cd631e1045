"""The broker of a local world: mosquitto where it is installed, else the embedded amqtt; what each is told."""

import base64
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from umiak_operators.plan.platform import NAMESPACE
from umiak_operators.runtime.local.acl import grants
from umiak_operators.runtime.local.files import make_private, write_json, write_private
from umiak_operators.runtime.local.template import ContainerSpec, PodSpec
from umiak_workers.contract.identity import Principal, password

BrokerKind = Literal["mosquitto", "amqtt"]
_ITERATIONS = 101
"""mosquitto_passwd's own number; the passwords are 256-bit MACs, not words that could be guessed."""


def find_mosquitto() -> str | None:
    """The program, also where a plain user's PATH lacks the folder of system programs."""
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin")))


class Broker:
    """Config and accounts of the broker under `folder`, and the pod that runs it on 127.0.0.1:`port`."""

    def __init__(self, folder: Path, key_file: Path, key: bytes, port: int, mosquitto: str | None) -> None:
        self._folder = folder
        self._key_file = key_file
        self._key = key
        self._port = port
        self._mosquitto = mosquitto

    @property
    def kind(self) -> BrokerKind:
        """Which broker this is."""
        return "mosquitto" if self._mosquitto else "amqtt"

    def pod(self) -> PodSpec:
        """Write the config; the pod to run."""
        argv = self._prepare_mosquitto(self._mosquitto) if self._mosquitto else self._prepare_amqtt()
        container = ContainerSpec("broker", argv, (), (), probed=True)
        return PodSpec("Deployment", NAMESPACE, "umiak-broker", "broker", None, (container,), (), self.kind)

    def admit(self, principals: Iterable[Principal]) -> bool:
        """Make accounts for exactly these; True when a running broker has to read them again (SIGHUP)."""
        known = sorted(set(principals), key=str)
        if self._mosquitto is None:
            return False  # the embedded broker checks each HMAC itself
        accounts = "".join(f"{who}:{hashed(password(self._key, who), str(who))}\n" for who in known)
        rules = "".join(_rules(who) for who in known)
        changed = write_private(self._folder / "accounts", accounts.encode())
        return write_private(self._folder / "rules", rules.encode()) or changed

    def _prepare_mosquitto(self, program: str) -> tuple[str, ...]:
        data, config = make_private(self._folder / "data"), self._folder / "mosquitto.conf"
        lines = (
            f"listener {self._port} 127.0.0.1",
            *(
                ["user root"] if os.geteuid() == 0 else []
            ),  # else root's broker becomes a user who cannot read its files
            "allow_anonymous false",
            "use_username_as_clientid true",
            f"password_file {self._folder / 'accounts'}",
            f"acl_file {self._folder / 'rules'}",
            "persistence true",
            f"persistence_location {data}/",
            "log_dest stderr",
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        )
        write_private(config, "".join(f"{line}\n" for line in lines).encode())
        return program, "-c", str(config)

    def _prepare_amqtt(self) -> tuple[str, ...]:
        config = self._folder / "amqtt.json"
        write_json(config, {"port": self._port, "key_file": str(self._key_file)})
        return "python3", "-m", "umiak_operators.runtime.local.embedded_broker", "--config", str(config)


def hashed(secret: str, salt_from: str) -> str:
    """mosquitto's `$7$` form: PBKDF2-SHA512. The salt follows from the account's name and secret, so that an account
    that did not change reads the same and a reload disturbs nobody."""
    salt = hashlib.sha256(f"{salt_from}\n{secret}".encode()).digest()[:12]
    digest = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _rules(principal: Principal) -> str:
    lines = [f"user {principal}", *(f"topic {grant.access} {grant.topics}" for grant in grants(principal))]
    return "".join(f"{line}\n" for line in lines)
