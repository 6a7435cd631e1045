"""`python -m umiak_workers.signer --config F --state D`: holds the release key, dials out, listens nowhere."""

import asyncio
from pathlib import Path

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from umiak_workers.adapters import process
from umiak_workers.adapters.configfile import load, read_bytes
from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.contract.config import SIGNING_KEY_FILE, SignerConfig
from umiak_workers.contract.endpoints import HUB
from umiak_workers.contract.errors import ConfigError, IdentityError, MessageError, Unavailable
from umiak_workers.core.release import public_text
from umiak_workers.signer.book import Book
from umiak_workers.signer.loop import Signer

HUB_SECONDS = 2.5
log = structlog.get_logger()


def read_key(file: Path) -> Ed25519PrivateKey:
    """The signing key (PEM, PKCS#8); raises ConfigError that names the file and says nothing of its content."""
    try:
        key = load_pem_private_key(read_bytes(file), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{file}: not an unencrypted PKCS#8 PEM private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{file}: releases are signed with an Ed25519 key, this is another kind")
    return key


async def main(given: process.Arguments, stop: asyncio.Event) -> None:
    """Poll until `stop`."""
    state = given.state_folder()
    loaded = load(SignerConfig, given.config, None, "signer")
    key = read_key(loaded.folder / SIGNING_KEY_FILE)
    book = Book(state)
    book.open()
    log.info("signer starts", public_key=public_text(key), lines=len(book.lines))
    with HubClient(loaded.endpoints.resolve(HUB), loaded.token, HUB_SECONDS, loaded.trust) as hub:
        await _poll(Signer(hub, key, book), loaded.config.poll_seconds, stop)


async def _poll(signer: Signer, seconds: float, stop: asyncio.Event) -> None:
    trouble = ""
    while not stop.is_set():
        try:
            await asyncio.to_thread(signer.step, stop.is_set)
            trouble = ""
        except (Unavailable, IdentityError, MessageError) as error:
            if str(error) != trouble:
                log.warning("the hub cannot be asked", reason=str(error))
            trouble = str(error)
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            continue


if __name__ == "__main__":
    process.run("signer", main)
