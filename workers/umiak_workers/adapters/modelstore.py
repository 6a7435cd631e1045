"""Models from anywhere: `builtin:`, `file:`, `https:`, `s3:` name a folder, the digest decides what it must hold.

A remote folder is copied file by file, never more bytes than its manifest states, and read back whole before anyone
sees it. Plain `http:` is for this machine's own loopback only.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit

import fsspec
import httpx

from umiak_workers.adapters.artefacts import LIMITS, Artefact, builtin_folder, load_model, read_artefact
from umiak_workers.contract.artefact import MANIFEST, Manifest, model_digest, parse_manifest
from umiak_workers.contract.errors import ArtefactError, ConfigError, Unavailable
from umiak_workers.core.model import Model

_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_CHUNK = 1 << 20
Chunks = Iterator[bytes]
Opener = Callable[[str], Chunks]
"""The bytes of one file of the folder, by name."""


def fetch(uri: str, digest: str, into: Path, max_bytes: int, timeout: float) -> Artefact:
    """The model behind `uri`, verified: a local folder where it lies, a remote one copied to `into`.

    `timeout` bounds each network step in seconds. Raises ArtefactError (no such model, another digest, altered, larger
    than `max_bytes`, a URI that cannot be used) or Unavailable (the network; try again).
    """
    local = local_folder(uri)
    if local is not None:
        artefact = read_artefact(local, digest)
        _check_size(uri, artefact.manifest, max_bytes)
        return artefact
    with _opener(uri, timeout) as opened:
        return _copy(uri, opened, digest, into, max_bytes)


def local_folder(uri: str) -> Path | None:
    """Where a `builtin:` or `file:` model lies, None for any other scheme; raises ArtefactError."""
    parts = split(uri)
    if parts.scheme == "builtin":
        return builtin_folder(parts.path)
    if parts.scheme != "file":
        return None
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise ArtefactError(f"{uri}: a file: URI is file:/absolute/folder")
    return Path(path)


def named_model(text: str) -> Model:
    """The verified model behind a folder, `builtin:NAME` or `file:` URI, as a person types it on a command line.

    Raises ConfigError for any other URI, ArtefactError for what is no model.
    """
    folder = local_folder(text) if split(text).scheme else Path(text)
    if folder is None:
        raise ConfigError(f"{text}: expected a model folder, builtin:NAME or a file: URI")
    return load_model(folder, read_artefact(folder).digest)


def split(uri: str) -> SplitResult:
    """A URI in parts; raises ArtefactError for one that is none."""
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise ArtefactError(f"{uri}: not a URI ({error})") from error


@contextmanager
def _opener(uri: str, timeout: float) -> Iterator[Opener]:
    parts = split(uri)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        with httpx.Client(
            timeout=timeout, follow_redirects=True, max_redirects=5, event_hooks={"request": [_safe]}
        ) as client:
            yield lambda name: _over_http(client, uri.rstrip("/") + "/" + name)
    elif parts.scheme in ("s3", "memory"):
        yield lambda name: _over_fsspec(uri.rstrip("/") + "/" + name)
    else:
        raise ArtefactError(f"{uri}: models come by builtin:, file:, https: or s3:")


def _safe(request: httpx.Request) -> None:
    """Redirects included: plain http is for this machine's own loopback."""
    if request.url.scheme != "https" and request.url.host not in _LOOPBACK:
        raise ArtefactError(f"{request.url}: plain http is for loopback only, and this is where a redirect leads")


def _over_http(client: httpx.Client, url: str) -> Chunks:
    try:
        with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
            if response.status_code >= 500 or response.status_code == 429:
                raise Unavailable(f"{url}: HTTP {response.status_code}")
            if not response.is_success:
                raise ArtefactError(f"{url}: HTTP {response.status_code}")
            yield from response.iter_bytes(_CHUNK)
    except httpx.HTTPError as error:
        raise Unavailable(f"{url}: {error or type(error).__name__}") from error
    except httpx.InvalidURL as error:
        raise ArtefactError(f"{url}: {error}") from error


def _over_fsspec(url: str) -> Chunks:
    try:
        handle: BinaryIO
        with fsspec.open(url, "rb") as handle:
            while chunk := handle.read(_CHUNK):
                yield chunk
    except ImportError as error:
        raise ArtefactError(f"{url}: this installation cannot read {urlsplit(url).scheme}: ({error})") from error
    except FileNotFoundError as error:
        raise ArtefactError(f"{url}: not found") from error
    except OSError as error:
        raise Unavailable(f"{url}: {error}") from error


def _copy(uri: str, opened: Opener, digest: str, into: Path, max_bytes: int) -> Artefact:
    manifest = parse_manifest(b"".join(_bounded(opened(MANIFEST), LIMITS[MANIFEST], f"{uri}: {MANIFEST}")))
    if model_digest(manifest) != digest:
        raise ArtefactError(f"{uri} holds {model_digest(manifest)}, not {digest}")
    _check_size(uri, manifest, max_bytes)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    (into / MANIFEST).write_bytes(manifest.canonical_bytes())
    for name, fact in manifest.files.items():
        with (into / name).open("xb") as file:
            for chunk in _bounded(opened(name), fact.size, f"{uri}: {name}"):
                file.write(chunk)
    return read_artefact(into, digest)


def _check_size(uri: str, manifest: Manifest, max_bytes: int) -> None:
    size = sum(fact.size for fact in manifest.files.values())
    if size > max_bytes:
        raise ArtefactError(f"{uri} has {size} bytes, at most {max_bytes} are allowed")


def _bounded(chunks: Chunks, most: int, what: str) -> Chunks:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise ArtefactError(f"{what} is longer than {most} bytes")
        yield chunk
