"""The one spelling of a digest: `sha256:<hex>`."""

import hashlib


def sha256(data: bytes) -> str:
    """Digest of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
