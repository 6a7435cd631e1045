"""A real hub process on loopback and what tests say to it: tokens, specs, samples, signatures."""

import hashlib
import io
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.contract import routes
from umiak_workers.contract.config import HubConfig
from umiak_workers.contract.endpoints import HUB, listen
from umiak_workers.contract.fleet import (
    Changes,
    FleetSpec,
    FleetView,
    InitialModel,
    LineSpec,
    LineView,
    Owner,
    ReleaseSpec,
    ReleaseView,
    ReplaySpec,
)
from umiak_workers.contract.identity import Principal, token
from umiak_workers.contract.messages import AgentState, LiveSettings, RouterState, SampleHeader, Scores
from umiak_workers.contract.release import Release
from umiak_workers.core.release import public_text, sign

OPERATOR_KEY = bytes(range(32))
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
TRUSTED = (public_text(SIGNING_KEY),)
HUNDRED = ReplaySpec(capacity=100, retention_seconds=3600)
NOBODY = "sha256:" + "0" * 64


_WHO = {
    "operator": "-/-/-/operator",
    "signer": "-/-/-/signer",
    "viewer": "-/-/-/viewer",
    "hub": "-/-/-/hub",
    "agent": "{}/watch/edge-1/agent",
    "router": "{}/watch/edge-1/router",
    "cloud": "{}/watch/-/cloud",
    "trainer": "{}/night/-/trainer",
}


def token_of(who: str, namespace: str = "-") -> str:
    """The token of a role (its usual place in `namespace`), or of `namespace/resource/edge/role` in full."""
    return token(OPERATOR_KEY, Principal.parse(_WHO.get(who, who).format(namespace)))


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def png(value: int, side: int = 8) -> bytes:
    """A label map."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def sample(frame: str, photo: bytes, label: bytes | None = None) -> tuple[SampleHeader, bytes, bytes]:
    """(header, photo, label) as a cloud sends them."""
    label = label or png(len(photo) % 3)
    header = SampleHeader(
        frame=frame,
        digest=digest_of(photo),
        image_size=len(photo),
        label_size=len(label),
        media="image/jpeg",
        captured_at=1.0,
        edge_model=NOBODY,
        scores=Scores(margin=0.1, max_probability=0.5, entropy=0.7),
        confidence=0.8,
    )
    return header, photo, label


def router_state(frames: int = 1) -> RouterState:
    return RouterState(
        frames=frames,
        by_reason={"Easy": frames},
        queue_items=0,
        queue_bytes=0,
        queue_oldest_seconds=0,
        dropped=0,
        bytes_up=0,
        bytes_down=0,
        settings_version=0,
        at=time.time(),
    )


def eventually(what: Callable[[], Any], seconds: float = 20) -> Any:
    """The first truthy answer; fails after `seconds`."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, f"not so within {seconds} s: {what}"
        time.sleep(0.02)
    return found


@dataclass
class HubKit:
    """A running hub as one namespace sees it. `role` is the process."""

    role: Any
    port: int
    state: Path
    namespace: str = "plant"
    clients: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def line(self) -> str:
        return f"{self.namespace}/yard"

    def start(self) -> "HubKit":
        self.role.start().wait_ready(self.port, seconds=180)
        return self

    def restart(self) -> "HubKit":
        """Killed without warning, then started over the same state."""
        self.role.kill()
        return self.start()

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()

    def client(self, who: str, timeout: float = 20) -> HubClient:
        """The product's own client, as `who`."""
        self.clients.append(HubClient(self.url, token_of(who, self.namespace), timeout))
        return self.clients[-1]

    def http(self, who: str | None = "operator", text: str | None = None) -> httpx.Client:
        """A bare client with the token of `who`, with `text` as token, or (None) without one."""
        secret = text if text is not None else token_of(who, self.namespace) if who else None
        headers = {"Authorization": f"Bearer {secret}"} if secret is not None else {}
        self.clients.append(httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False))
        return self.clients[-1]

    # what the operator tells

    def owner(self, kind: Any, name: str, uid: str | None = None) -> Owner:
        return Owner(kind=kind, namespace=self.namespace, name=name, uid=uid or f"{self.namespace}.{name}")

    def joint_inference(
        self,
        uri: str,
        digest: str,
        name: str = "watch",
        uid: str | None = None,
        edges: tuple[str, ...] = ("edge-1", "edge-2"),
        replay: ReplaySpec | None = HUNDRED,
        settings: LiveSettings | None = None,
    ) -> FleetSpec:
        line = LineSpec(line=self.line, initial=InitialModel(uri=uri, digest=digest))
        owner = self.owner("JointInference", name, uid)
        return FleetSpec(owner=owner, line=line, edges=edges, replay=replay, settings=settings)

    def learning(self, name: str = "night", follows: str = "watch") -> FleetSpec:
        return FleetSpec(owner=self.owner("LifelongLearning", name), replay_of=follows)

    def patch(self, from_digest: str | None, to_digest: str, name: str = "patch") -> FleetSpec:
        release = ReleaseSpec(line=self.line, from_digest=from_digest, to_digest=to_digest)
        return FleetSpec(owner=self.owner("ModelPatch", name), release=release)

    def agent_state(self, active: str | None, sequence: int = 1) -> AgentState:
        return AgentState(line=self.line, active=active, sequence=sequence, state="Idle", at=time.time())

    def put(self, spec: FleetSpec) -> FleetView:
        path = routes.OWNER.format(uid=spec.owner.uid)
        answer = self.http().put(path, content=spec.model_dump_json(exclude_none=True))
        assert answer.status_code == 200, answer.text
        return FleetView.model_validate_json(answer.content)

    def view(self, spec: FleetSpec) -> FleetView:
        answer = self.http().get(routes.OWNER.format(uid=spec.owner.uid))
        assert answer.status_code == 200, answer.text
        return FleetView.model_validate_json(answer.content)

    def release(self, spec: FleetSpec) -> ReleaseView:
        view = self.view(spec).release
        assert view is not None
        return view

    def head(self, spec: FleetSpec) -> LineView:
        view = self.view(spec).line
        assert view is not None
        return view

    def drop(self, spec: FleetSpec) -> None:
        assert self.http().delete(routes.OWNER.format(uid=spec.owner.uid)).status_code == 204

    def changes(self, after: int, wait: float = 0) -> Changes:
        answer = self.http().get(routes.CHANGES, params={"after": after, "wait": wait})
        assert answer.status_code == 200, answer.text
        return Changes.model_validate_json(answer.content)

    # the signer's work by hand

    def waiting(self) -> tuple[Release, ...]:
        """What waits for a signature in this namespace."""
        return tuple(one for one in self.client("signer").signing() if one.line.startswith(f"{self.namespace}/"))

    def sign_all(self) -> list[Release]:
        """Sign until nothing waits."""
        signed = []
        while waiting := self.waiting():
            for release in waiting:
                self.client("signer").put_signed(release, sign(release, SIGNING_KEY))
                signed.append(release)
        return signed

    def with_head(self, spec: FleetSpec) -> LineView:
        """Put a JointInference, let its initial model come and be signed; its line after that."""
        self.put(spec)
        eventually(self.sign_all)
        return self.head(spec)

    def replay_of_one(self, capacity: int = 100) -> FleetSpec:
        """A JointInference whose model never comes: enough to keep samples."""
        spec = self.joint_inference(
            "builtin:nothing", NOBODY, replay=ReplaySpec(capacity=capacity, retention_seconds=3600)
        )
        self.put(spec)
        return spec


def hub_config(**changes: Any) -> HubConfig:
    """A hub that trusts the kit's signing key."""
    return HubConfig(trusted_keys=TRUSTED, **changes)


def make_hub(role: Any, state: Path, config: HubConfig, endpoints: dict[str, str]) -> HubKit:
    """A hub that is not started yet; `role` is the fixture of that name."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    made = role("hub", config, {listen("hub"): url, HUB: url, **endpoints}, token_of("hub"), state)
    (made.folder / "operator.key").write_text(OPERATOR_KEY.hex())
    return HubKit(made, port, state)
