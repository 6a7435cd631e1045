"""The certificate that gateway and broker show, and whom edges believe: made here, or brought by the administrator.

The authority's key stays in a Secret of its own (`umiak-ca`) that no pod mounts and no release owns: edges that once
trusted it believe a reinstallation too. The certificate is looked at before each start of the operator.
"""

import base64
import datetime
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from kubernetes.client import ApiClient

from umiak_operators.cli import platform_settings
from umiak_operators.cli.certificates import Pair, new_authority, new_certificate, why_new
from umiak_operators.cli.requests import send
from umiak_operators.plan import names, objects
from umiak_operators.plan.objects import Obj
from umiak_operators.runtime.cluster.api import CHILD_KINDS, Api, ApiError
from umiak_workers.contract.config import CA_FILE
from umiak_workers.contract.errors import ConfigError

AUTHORITY: Final = "umiak-ca"
CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"
READERS: Final = ("umiak-gateway", "umiak-broker")
"""Deployments that read the certificate once, at start."""
RENEWED: Final = f"{names.PREFIX}/certificate"
"""Annotation of their pods: it says since when they have to have read it."""
_TYPE: Final = "kubernetes.io/tls"
_REQUEST_SECONDS: Final = 30
_SECRETS: Final = CHILD_KINDS["Secret"]


@dataclass(frozen=True)
class Shown:
    """What edges have to trust, and what is to be written for it."""

    authorities: str
    """PEM; empty where the certificate's Secret names none."""
    secret: Obj | None = None
    """The certificate's Secret where it has to be made."""
    again: bool = False
    """Whether an older certificate is in use, so that its readers have to start again."""


def brought(client: ApiClient, namespace: str, name: str) -> Shown:
    """A certificate of one's own, with the authorities of its `ca.crt`; raises ConfigError if it is not whole."""
    files = read(client, namespace, name)
    if files is None:
        raise ConfigError(f"there is no Secret {namespace}/{name}; it holds {CERTIFICATE_FILE} and {KEY_FILE}")
    if lacks := [key for key in (CERTIFICATE_FILE, KEY_FILE) if not files.get(key, b"").strip()]:
        raise ConfigError(f"Secret {namespace}/{name} lacks {' and '.join(lacks)}")
    try:
        return Shown(platform_settings.authorities(files.get(CA_FILE, b"").decode()))
    except (ConfigError, UnicodeDecodeError) as error:
        raise ConfigError(f"Secret {namespace}/{name}: {CA_FILE}: expected certificates in PEM") from error


def made(client: ApiClient, namespace: str, name: str, hosts: Sequence[str], now: datetime.datetime) -> Shown:
    """A certificate of the installation's own authority, made again only where the present one does not serve."""
    if not hosts:
        raise ConfigError("no address has https or mqtts: there is nothing to make a certificate for")
    authority, files = _authority(client, namespace, now), read(client, namespace, name)
    text = authority.certificate.decode()
    if files is not None:
        present = Pair(files.get(CERTIFICATE_FILE, b""), files.get(KEY_FILE, b""))
        reason = why_new(present, authority, hosts, now)
        if reason is None and files.get(CA_FILE) == authority.certificate:
            return Shown(text)
        print(f"installation: a new certificate for {', '.join(hosts)}: {reason}", file=sys.stderr)
    pair = new_certificate(authority, hosts, now)
    return Shown(text, _secret(namespace, name, pair, authority.certificate), again=files is not None)


def hosts_of(settings: platform_settings.PlatformSettings) -> tuple[str, ...]:
    """The hosts that edges dial with TLS, each once."""
    urls = [urlsplit(url) for url in (settings.hub, settings.cloud, settings.broker) if url]
    return tuple(dict.fromkeys(url.hostname for url in urls if url.scheme in ("https", "mqtts") and url.hostname))


async def restart_readers(api: Api, namespace: str, now: datetime.datetime) -> None:
    """Replace the pods that still show the certificate before."""
    for name in READERS:
        if await api.get("Deployment", namespace, name) is None:
            continue
        notes = {"metadata": {"annotations": {RENEWED: now.isoformat(timespec="seconds")}}}
        metadata = {"name": name, "namespace": namespace}
        await api.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": notes}}
        )


def read(client: ApiClient, namespace: str, name: str) -> dict[str, bytes] | None:
    """The files of a Secret, None where there is none; raises ApiError."""
    try:
        body = send(client, "GET", _SECRETS.path(namespace, name), {}, None, _REQUEST_SECONDS)
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    return _files(body)


def create(client: ApiClient, body: Obj) -> dict[str, bytes] | None:
    """Create a Secret, never replace one: whoever came first made it. What it holds now; raises ApiError."""
    meta = body["metadata"]
    path, query = _SECRETS.path(meta["namespace"], None), {"fieldManager": names.MANAGER}
    try:
        send(client, "POST", path, query, body, _REQUEST_SECONDS)
    except ApiError as error:
        if error.status != 409:
            raise
    return read(client, meta["namespace"], meta["name"])


def _authority(client: ApiClient, namespace: str, now: datetime.datetime) -> Pair:
    files = read(client, namespace, AUTHORITY)
    if files is None:
        new = new_authority(f"Umiak, {namespace}", now)
        files = create(client, _secret(namespace, AUTHORITY, new, None)) or {}
    if lacks := [key for key in (CERTIFICATE_FILE, KEY_FILE) if not files.get(key)]:
        raise ConfigError(f"Secret {namespace}/{AUTHORITY} lacks {' and '.join(lacks)}")
    return Pair(files[CERTIFICATE_FILE], files[KEY_FILE])


def _secret(namespace: str, name: str, pair: Pair, authority: bytes | None) -> Obj:
    own = objects.labels({"app.kubernetes.io/instance": "umiak"}, "tls")
    files = {CERTIFICATE_FILE: pair.certificate, KEY_FILE: pair.key}
    body = objects.secret(
        objects.meta(name, namespace, own), files if authority is None else {**files, CA_FILE: authority}
    )
    return {**body, "type": _TYPE}


def _files(body: Mapping[str, Any]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (body.get("data") or {}).items()}
