"""A certificate for this machine as an installation makes it, and what an edge trusts then."""

import datetime
import ssl
from pathlib import Path

from umiak_operators.cli.certificates import new_authority, new_certificate
from umiak_workers.adapters.trust import trusting


def write(folder: Path, *hosts: str) -> Path:
    """`tls.crt`, `tls.key` and `ca.crt` for `hosts` (127.0.0.1) under `folder`; returns the last."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    authority = new_authority("Umiak, test", now)
    pair = new_certificate(authority, hosts or ("127.0.0.1",), now)
    for name, content in (("tls.crt", pair.certificate), ("tls.key", pair.key), ("ca.crt", authority.certificate)):
        (folder / name).write_bytes(content)
    return folder / "ca.crt"


def trust(authorities: Path) -> ssl.SSLContext:
    """What a client believes whose config folder holds this `ca.crt`."""
    return trusting(authorities.read_text(), str(authorities))
