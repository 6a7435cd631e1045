"""Every name, label, port and path of a child, in one place: nothing else spells them."""

import hashlib
import json
from typing import Any, Final

from umiak_workers.contract.config import CONFIG_FILE

PREFIX: Final = "umiak.dev"
MANAGER: Final = "umiak-operator"

# labels and annotations
OWNER_KIND: Final = f"{PREFIX}/owner-kind"
OWNER_NAME: Final = f"{PREFIX}/owner-name"
COMPONENT: Final = f"{PREFIX}/component"  # edge | cloud | trainer | hub | signer | broker
EDGE: Final = f"{PREFIX}/edge"
TEMPLATE_HASH: Final = f"{PREFIX}/template-hash"
BASE_DIGEST: Final = f"{PREFIX}/base-digest"
CANDIDATE_DIGEST: Final = f"{PREFIX}/candidate-digest"
WATERMARK: Final = f"{PREFIX}/watermark"
HOST_PATH_ALLOWED: Final = f"{PREFIX}/host-path"  # namespace label, value "allowed"

# inside a container
CONFIG_FOLDER: Final = "/etc/umiak"
STATE_FOLDER: Final = "/var/lib/umiak"
DATABASE_FOLDER: Final = "/etc/umiak-database"
CAMERA_FOLDER: Final = "/etc/umiak-camera"
CONFIG_PATH: Final = f"{CONFIG_FOLDER}/{CONFIG_FILE}"

# a container's own port (loopback in an edge pod)
PORTS: Final = {"edge": 8500, "router": 8600, "cloud": 8700, "hub": 8800}

# the platform's own objects
HUB: Final = "umiak-hub"
SIGNER: Final = "umiak-signer"

# node labels
EDGE_ROLE: Final = "node-role.kubernetes.io/edge"

_MOST = 52  # leaves room for a ReplicaSet's and a Pod's own suffixes within 63
_WORDS = frozenset(("edge", "cloud", "round"))  # what separates a resource's name from the rest
_LABEL_MOST = 63


def short_hash(value: Any) -> str:
    """Ten hex characters of SHA-256 over canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def fit(*parts: str) -> str:
    """A DNS label from parts joined by `-`; whatever could be read in two ways, or is altered, gets a hash.

    The first dash-separated word that is one of ours ends the resource's name (the first part); a resource whose own
    name holds such a word is therefore hashed, so that no two lists of parts share a name. Services need a letter
    first.
    """
    plain = "-".join(parts)
    name = plain.replace(".", "-")
    if name[0].isdigit():
        name = f"x{name}"
    if name == plain and len(name) <= _MOST and not _WORDS & set(parts[0].split("-")):
        return name
    return f"{name[: _MOST - 11].rstrip('-')}-{short_hash(list(parts))}"


def label_value(text: str) -> str:
    """`text` as a label's value: at most 63 characters; longer ones end in a hash."""
    if len(text) <= _LABEL_MOST:
        return text
    return f"{text[: _LABEL_MOST - 11].rstrip('-._')}-{short_hash(text)}"


def edge_pod(resource: str, edge: str) -> str:
    """Deployment, Secret and state volume of one edge of a JointInference."""
    return fit(resource, "edge", edge)


def cloud_pod(resource: str) -> str:
    """Deployment, Service and Secret of a JointInference's cloud worker."""
    return fit(resource, "cloud")


def training_job(resource: str, template_hash: str) -> str:
    """Job and Secret of one training round; the hash covers base digest and watermark, so two rounds differ."""
    return fit(resource, "round", template_hash)


def patch(resource: str, candidate: str) -> str:
    """ModelPatch child of a LifelongLearning that promoted `candidate` (a digest)."""
    return fit(resource, candidate.removeprefix("sha256:")[:12])


def service_url(name: str, namespace: str, role: str) -> str:
    """Where a Service of ours answers inside the cluster."""
    return f"http://{name}.{namespace}.svc:{PORTS[role]}"


def command(role: str, state: bool) -> list[str]:
    """What a container runs. Local runtimes replace CONFIG_FOLDER and STATE_FOLDER by real folders, nothing else."""
    line = ["python3", "-m", f"umiak_workers.{role}", "--config", CONFIG_PATH]
    return [*line, "--state", STATE_FOLDER] if state else line
