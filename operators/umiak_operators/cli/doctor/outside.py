"""Whether the addresses that edges dial answer this machine, and with which certificate. Nothing is sent but a GET."""

import hashlib
import socket
import ssl
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import SplitResult, urlsplit

from umiak_operators.cli.doctor.bounded import TooSlow, within
from umiak_operators.cli.doctor.facts import Reach

_PORTS: Final = {"https": 443, "http": 80, "mqtts": 8883, "mqtt": 1883}


def gateway(hub_url: str, authorities: str, seconds: float) -> Reach:
    """The hub as edges reach it, through the gateway: `/healthz`. `authorities`: PEM that edges trust as well."""
    url = urlsplit(hub_url)
    return _bounded(
        Reach("gateway", hub_url), seconds, lambda: _ask(Reach("gateway", hub_url), url, authorities, seconds)
    )


def broker(broker_url: str, authorities: str, seconds: float) -> Reach:
    """The broker: a connection, and the handshake where there is TLS."""
    url = urlsplit(broker_url)

    def look() -> Reach:
        with _connect(url, seconds):
            if url.scheme != "mqtts":
                return Reach("broker", broker_url)
        return _handshake(Reach("broker", broker_url), url, authorities, seconds)

    return _bounded(Reach("broker", broker_url), seconds, look)


def _bounded(reach: Reach, seconds: float, look: Callable[[], Reach]) -> Reach:
    try:
        return within(3 * seconds, look)
    except socket.gaierror as error:
        return Reach(reach.part, reach.url, "name", str(error.strerror or error))
    except (TooSlow, TimeoutError):
        return Reach(reach.part, reach.url, "timeout")
    except ssl.SSLError as error:
        return Reach(reach.part, reach.url, "tls", str(error.reason or error))
    except (OSError, HTTPException, ValueError) as error:
        return Reach(reach.part, reach.url, "refused", str(getattr(error, "strerror", None) or error))


def _connect(url: SplitResult, seconds: float) -> socket.socket:
    return socket.create_connection((url.hostname or "", url.port or _PORTS[url.scheme]), timeout=seconds)


def _handshake(reach: Reach, url: SplitResult, authorities: str, seconds: float) -> Reach:
    """What certificate is shown, and whether this machine, with those authorities, trusts it."""
    untrusted = ""
    try:
        with _connect(url, seconds) as plain:
            _careful(authorities).wrap_socket(plain, server_hostname=url.hostname).close()
    except ssl.SSLCertVerificationError as error:
        untrusted = error.verify_message
    with _connect(url, seconds) as plain, _trusting().wrap_socket(plain, server_hostname=url.hostname) as secure:
        shown = secure.getpeercert(binary_form=True) or b""
    return Reach(reach.part, reach.url, untrusted=untrusted, fingerprint=hashlib.sha256(shown).hexdigest())


def _ask(reach: Reach, url: SplitResult, authorities: str, seconds: float) -> Reach:
    found = _handshake(reach, url, authorities, seconds) if url.scheme == "https" else reach
    with _connect(url, seconds) as plain:
        channel = _trusting().wrap_socket(plain, server_hostname=url.hostname) if url.scheme == "https" else plain
        connection = HTTPConnection(url.hostname or "", url.port, timeout=seconds)
        connection.sock = channel
        with channel:
            connection.request("GET", f"{url.path.rstrip('/')}/healthz")
            status = connection.getresponse().status
    if status == 200:
        return found
    text = f"HTTP {status}" + (": the hub behind it does not" if status in (502, 503, 504) else "")
    return Reach(reach.part, reach.url, "answer", text, found.untrusted, found.fingerprint)


def _careful(authorities: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authorities.strip():
        context.load_verify_locations(cadata=authorities)
    return context


def _trusting() -> ssl.SSLContext:
    """For looking at a certificate; nothing secret is ever sent over it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
