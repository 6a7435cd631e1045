"""The hub as agent, trainer, cloud, signer and commands use it: one small synchronous client.

Every call either gives what it says or raises: Unavailable (network trouble, 5xx, 429: try later), IdentityError
(401, 403), Refused (any other 4xx, with the hub's own text). Moving whole models lives in `model_transfer.py`.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter

from umiak_workers.adapters import model_transfer
from umiak_workers.adapters.trust import trusting
from umiak_workers.contract import routes, wire
from umiak_workers.contract.errors import IdentityError, MessageError, Refused, Unavailable
from umiak_workers.contract.messages import (
    AgentState,
    LiveSettings,
    Receipt,
    RoundReport,
    RouterState,
    SampleHeader,
    SampleList,
)
from umiak_workers.contract.release import Envelope, Release

Part = Literal["image", "label"]
M = TypeVar("M", bound=BaseModel)
_RELEASES = TypeAdapter(tuple[Release, ...])
_LATER = frozenset((408, 425, 429))


def detail(response: httpx.Response) -> str:
    """The server's own text of an error answer, in one line."""
    try:
        body = response.json()
    except ValueError:
        body = response.text
    text = body.get("error", body) if isinstance(body, dict) else body
    return " ".join(str(text).split())[:500] or response.reason_phrase


def check(response: httpx.Response) -> httpx.Response:
    """The response if it is 2xx; raises Unavailable, IdentityError or Refused otherwise."""
    if response.is_success:
        return response
    said = f"{response.request.method} {response.request.url.path}: {response.status_code} {detail(response)}"
    if response.status_code >= 500 or response.status_code in _LATER:
        raise Unavailable(said)
    if response.status_code in (401, 403):
        raise IdentityError(said)
    raise Refused(said, response.status_code)


class HubClient:
    """One connection pool to the hub; safe to use from several threads. `timeout` bounds each network step, seconds.

    `trust`: whom it believes, None: the authorities of this machine.
    """

    def __init__(self, base_url: str, token: str, timeout: float, trust: ssl.SSLContext | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=self.base_url,
            headers=headers,
            timeout=timeout,
            verify=trust or trusting("", "this machine"),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the pool."""
        self._http.close()

    # models and lines

    def head(self, line: str) -> Envelope | None:
        """The signed head of `<namespace>/<name>`, unverified (`core.release.verify`); None while the line is empty."""
        namespace, _, name = line.partition("/")
        return self._maybe(Envelope, routes.LINE.format(namespace=namespace, name=name))

    def manifest_bytes(self, digest: str) -> bytes | None:
        """The canonical manifest of a model, as the hub sent it; None when the hub does not have the model."""
        try:
            return self._send("GET", routes.MODEL.format(digest=digest)).content
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def has_blob(self, digest: str) -> bool:
        """Whether the hub holds these bytes."""
        try:
            self._send("HEAD", routes.BLOB.format(digest=digest))
        except Refused as error:
            if error.status == 404:
                return False
            raise
        return True

    @contextmanager
    def blob(self, digest: str, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """(offset of the first byte, chunks) of a blob from byte `start`; offset 0 if the server ignores Range."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with translated(), self._http.stream("GET", routes.BLOB.format(digest=digest), headers=headers) as response:
            if not response.is_success:
                response.read()
            check(response)
            yield (start if response.status_code == 206 else 0), response.iter_bytes()

    def put_blob(self, digest: str, file: Path) -> None:
        """Upload a file; the hub refuses it unless its SHA-256 is `digest`."""
        with file.open("rb") as handle:
            headers = {"Content-Length": str(file.stat().st_size)}
            self._send("PUT", routes.BLOB.format(digest=digest), content=handle, headers=headers)

    def put_manifest(self, digest: str, manifest: bytes) -> None:
        """Make a model known once all its blobs are there."""
        self._send("PUT", routes.MODEL.format(digest=digest), content=manifest, headers=_JSON)

    def fetch_model(
        self, digest: str, into: Path, max_bytes: int, progress: model_transfer.Progress | None = None
    ) -> Path:
        """Download a model to the folder `into`, resuming an interrupted download; see `model_transfer.fetch`."""
        return model_transfer.fetch(self, digest, into, max_bytes, progress)

    def push_model(self, folder: Path) -> str:
        """Upload a model folder; returns its digest. Safe to repeat."""
        return model_transfer.push(self, folder)

    # signing

    def signing(self) -> tuple[Release, ...]:
        """The releases that wait for a signature."""
        with translated():
            return _RELEASES.validate_json(self._send("GET", routes.SIGNING).content)

    def put_signed(self, release: Release, envelope: Envelope) -> None:
        """Hand in a signature; the hub moves the line's head."""
        namespace, _, name = release.line.partition("/")
        self._put(routes.SIGNED.format(namespace=namespace, name=name, sequence=release.sequence), envelope)

    # replay

    def put_sample(self, namespace: str, resource: str, header: SampleHeader, image: bytes, label: bytes) -> Receipt:
        """Store a hard example with its label; safe to repeat."""
        headers, body = wire.pack(header, (image, label))
        path = routes.SAMPLE.format(namespace=namespace, resource=resource, **_frame(header.frame))
        return wire.parse(Receipt, self._send("PUT", path, content=body, headers=headers).content)

    def receipt(self, namespace: str, resource: str, frame: str, digest: str | None = None) -> Receipt | None:
        """What the hub durably decided about a frame (with these bytes), None if it never heard of it."""
        path = routes.RECEIPT.format(namespace=namespace, resource=resource, **_frame(frame))
        return self._maybe(Receipt, path if digest is None else f"{path}?digest={quote(digest)}")

    def samples(self, namespace: str, resource: str, after: int, until: int | None, limit: int) -> SampleList:
        """Samples with after < position <= until, oldest first, at most `limit`."""
        query = f"?after={after}&limit={limit}" + ("" if until is None else f"&until={until}")
        path = routes.SAMPLES.format(namespace=namespace, resource=resource)
        return wire.parse(SampleList, self._send("GET", path + query).content)

    def every_sample(self, namespace: str, resource: str, until: int) -> SampleList:
        """All samples up to position `until`, over as many pages as it takes."""
        found: list[Any] = []
        after, watermark = 0, 0
        while True:
            page = self.samples(namespace, resource, after, until, 500)
            watermark = page.watermark
            if not page.samples:
                return SampleList(samples=tuple(found), watermark=watermark)
            found += page.samples
            after = page.samples[-1].position

    def sample_bytes(self, namespace: str, resource: str, position: int, part: Part) -> bytes:
        """The photo (as uploaded) or the label of one sample; Refused 404 once it was evicted."""
        return self._send(
            "GET",
            routes.SAMPLE_BYTES.format(namespace=namespace, resource=resource, position=position, part=part),
        ).content

    # reports and settings

    def put_agent_state(self, namespace: str, resource: str, edge: str, state: AgentState) -> None:
        """Report what an edge really runs."""
        self._put(routes.AGENT_STATE.format(namespace=namespace, resource=resource, edge=edge), state)

    def put_router_state(self, namespace: str, resource: str, edge: str, state: RouterState) -> None:
        """Report a router's running totals; it is also the edge's heartbeat."""
        self._put(routes.ROUTER_STATE.format(namespace=namespace, resource=resource, edge=edge), state)

    def put_round(self, namespace: str, resource: str, report: RoundReport) -> None:
        """Report a training round of the LifelongLearning `resource`; safe to repeat."""
        self._put(routes.ROUND.format(namespace=namespace, resource=resource, round=report.round), report)

    def settings(self, namespace: str, resource: str) -> LiveSettings:
        """Live settings of a JointInference; version 0 while the operator has set none."""
        path = routes.SETTINGS.format(namespace=namespace, resource=resource)
        return self._maybe(LiveSettings, path) or LiveSettings()

    # the wire

    def _maybe(self, kind: type[M], path: str) -> M | None:
        try:
            return wire.parse(kind, self._send("GET", path).content)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def _put(self, path: str, message: BaseModel) -> None:
        self._send("PUT", path, content=message.model_dump_json().encode(), headers=_JSON)

    def _send(
        self, method: str, path: str, content: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        with translated():
            return check(self._http.request(method, path, content=content, headers=headers))


_JSON = {"Content-Type": "application/json"}


@contextmanager
def translated() -> Iterator[None]:
    """Network errors become Unavailable, an answer that is not the contract's becomes MessageError."""
    try:
        yield
    except (httpx.TransportError, httpx.StreamError) as error:
        raise Unavailable(f"hub: {error or type(error).__name__}") from error
    except httpx.InvalidURL as error:
        raise MessageError(f"hub: {error}") from error


def _frame(frame: str) -> dict[str, str]:
    edge, source, sequence = frame.split("/")
    return {"edge": edge, "source": source, "sequence": sequence}
