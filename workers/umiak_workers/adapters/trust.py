"""Whom a client believes that it talks to the right server: the machine's own authorities, and one of an installation.

An installation may sign its own certificates; what it trusts then travels beside the config, as `ca.crt`. It is added
to the authorities of the machine, never put in their place, and names are always verified.
"""

import ssl

import certifi

from umiak_workers.contract.errors import ConfigError


class Tidy(ssl.SSLSocket):
    """A socket that is closed when its handshake fails: paho only forgets it, and tries again all day."""

    def do_handshake(self, block: bool = False) -> None:
        """See SSLSocket."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def trusting(authorities: str, where: str) -> ssl.SSLContext:
    """A client's TLS context; `authorities` is PEM text, empty for none. Raises ConfigError that names `where`."""
    context = ssl.create_default_context()
    context.sslsocket_class = Tidy
    context.load_verify_locations(certifi.where())  # for images without a bundle of their own
    add(context, authorities, where)
    return context


def add(context: ssl.SSLContext, authorities: str, where: str) -> None:
    """Believe these as well (PEM text, empty for none); raises ConfigError that names `where`."""
    if not authorities.strip():
        return
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{where}: expected certificates in PEM ({error})") from error
