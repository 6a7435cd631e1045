"""`python3 -m umiak_operators.cli.installation`: what of an installation a chart cannot render.

Tokens are HMACs and a trusted key is half of a key pair: templates compute neither. So this runs before every start of
the operator in a cluster. It makes the keys once and, where nobody brought one, a certificate; it writes the Secrets of
hub and signer from the plan that a local world uses too, and leaves for the operator a platform file with its key,
never the signing key. Run again it changes nothing, but for a certificate that has lived two thirds of its life.
"""

import asyncio
import datetime
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from kubernetes.client import ApiClient

from umiak_operators.cli import installation_tls, platform_settings
from umiak_operators.cli.operator import client_of
from umiak_operators.plan import objects
from umiak_operators.plan.objects import Obj
from umiak_operators.plan.platform import platform_objects
from umiak_operators.runtime.cluster.api import Api, ApiError, Timeouts
from umiak_operators.runtime.local.files import write_private
from umiak_operators.runtime.local.keys import Keys, load_or_make
from umiak_workers.contract.config import OPERATOR_KEY_FILE, SIGNING_KEY_FILE
from umiak_workers.contract.errors import ConfigError

PLATFORM_FILE: Final = "platform.yaml"
_KEY_FILES: Final = (OPERATOR_KEY_FILE, SIGNING_KEY_FILE)
_REQUEST_SECONDS: Final = 30
_LABELS: Final = objects.labels({"app.kubernetes.io/instance": "umiak"}, "keys")
_OPERATOR: Final = "umiak-operator"


def installation(
    platform: Annotated[Path, typer.Option(help="YAML file with addresses and images.")],
    namespace: Annotated[str, typer.Option(help="Namespace of the installation.")],
    keys: Annotated[str, typer.Option(help="Secret with operator.key and signing.key.")],
    out: Annotated[Path, typer.Option(help="Folder for the operator's platform file and key.")],
    make_keys: Annotated[bool, typer.Option(help="Make the Secret of keys if there is none.")] = False,
    tls: Annotated[str | None, typer.Option(help="Secret of the certificate of gateway and broker.")] = None,
    make_tls: Annotated[bool, typer.Option(help="Make that Secret, and make it again before it expires.")] = False,
    kubeconfig: Annotated[Path | None, typer.Option(help="Without it the pod's own service account.")] = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for the Deployments of hub and signer.")] = 60,
) -> None:
    """Make keys and certificate, write the Secrets of hub and signer and the operator's platform file."""
    try:
        client = client_of(kubeconfig)
        found = keys_of(client, namespace, keys, make_keys)
        asked, now = platform_settings.load(platform, None), datetime.datetime.now(datetime.UTC)
        shown = _shown(client, namespace, tls, installation_tls.hosts_of(asked) if make_tls else None, now)
        settings = told(asked, found, shown.authorities, out)
        bodies = platform_objects(platform_settings.platform(settings, out), found.signing, namespace)
        secrets = [(body, body["metadata"]["name"]) for body in bodies if body["kind"] == "Secret"]
        if shown.secret:
            secrets.insert(0, (shown.secret, _OPERATOR))
        asyncio.run(write(client, secrets, namespace, now if shown.again else None, patience))
    except (ConfigError, ApiError) as error:
        print(f"installation: {error}", file=sys.stderr)
        raise typer.Exit(2) from error


def _shown(
    client: ApiClient, namespace: str, tls: str | None, hosts: tuple[str, ...] | None, now: datetime.datetime
) -> installation_tls.Shown:
    if tls is None:
        return installation_tls.Shown("")
    if hosts is None:
        return installation_tls.brought(client, namespace, tls)
    return installation_tls.made(client, namespace, tls, hosts, now)


def keys_of(client: ApiClient, namespace: str, name: str, make: bool) -> Keys:
    """The keys in a Secret; with `make` they are made where there is no such Secret, and never again.

    Raises ConfigError that names what is missing or damaged, ApiError for what the API server refuses.
    """
    files = installation_tls.read(client, namespace, name)
    if files is None and make:
        files = _create(client, namespace, name)
    if files is None:
        raise ConfigError(f"there is no Secret {namespace}/{name}; it holds {' and '.join(_KEY_FILES)}")
    if lacks := [key for key in _KEY_FILES if not files.get(key, b"").strip()]:
        raise ConfigError(f"Secret {namespace}/{name} lacks {' and '.join(lacks)}; nothing is made beside other keys")
    return _parsed(files, f"Secret {namespace}/{name}")


def _parsed(files: Mapping[str, bytes], where: str) -> Keys:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for key in _KEY_FILES:
            write_private(folder / key, files[key])
        try:
            return load_or_make(folder)
        except ConfigError as error:
            wanted = f"{OPERATOR_KEY_FILE} is hex text, {SIGNING_KEY_FILE} an Ed25519 private key (PEM, PKCS#8)"
            raise ConfigError(f"{where}: a key is damaged or of another kind: {wanted}") from error


def _create(client: ApiClient, namespace: str, name: str) -> dict[str, bytes] | None:
    with tempfile.TemporaryDirectory() as scratch:
        load_or_make(Path(scratch))
        files = {key: (Path(scratch) / key).read_bytes() for key in _KEY_FILES}
    return installation_tls.create(client, objects.secret(objects.meta(name, namespace, _LABELS), files))


def told(
    asked: platform_settings.PlatformSettings, keys: Keys, authorities: str, out: Path
) -> platform_settings.PlatformSettings:
    """Write the operator's platform file and key under `out`; the settings as the operator will read them.

    The signer's own public half comes first, then the keys that the file trusts already (a rotation under way); so
    do the certificate's `authorities` and those that the file names.
    """
    trusted = tuple(dict.fromkeys((keys.trusted, *asked.trusted_keys)))
    key_file = out / OPERATOR_KEY_FILE
    write_private(key_file, keys.operator.hex().encode())
    ca = authorities + platform_settings.authorities(asked.ca)
    full = asked.model_copy(update={"operator_key_file": key_file, "trusted_keys": trusted, "ca": ca})
    text = yaml.safe_dump(full.model_dump(mode="json", by_alias=True, exclude_none=True))
    write_private(out / PLATFORM_FILE, text.encode())
    return full


async def write(
    client: ApiClient,
    secrets: list[tuple[Obj, str]],
    namespace: str,
    renewed: datetime.datetime | None,
    patience: float,
) -> None:
    """Apply each Secret, owned by the Deployment that is named beside it: they leave with the installation.

    `renewed`: when an older certificate was replaced; those who show it start again.
    """
    async with Api(client, Timeouts(connect=5, read=_REQUEST_SECONDS), threads=2) as api:
        for body, reader in secrets:
            owner = await _deployment(api, namespace, reader, patience)
            metadata = {**body["metadata"], "ownerReferences": [owner]}
            await api.apply({**body, "metadata": metadata})
        if renewed:
            await installation_tls.restart_readers(api, namespace, renewed)


async def _deployment(api: Api, namespace: str, name: str, patience: float) -> Obj:
    """An owner reference to a Deployment, once it is there."""
    deadline = time.monotonic() + patience
    while True:
        live = await api.get("Deployment", namespace, name)
        if live is not None:
            return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": _uid(live)}
        if time.monotonic() > deadline:
            raise ConfigError(f"there is no Deployment {namespace}/{name} to write a Secret for")
        await asyncio.sleep(0.5)


def _uid(live: Mapping[str, Any]) -> str:
    return str(live["metadata"]["uid"])


if __name__ == "__main__":
    typer.run(installation)
