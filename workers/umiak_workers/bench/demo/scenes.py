"""The stories that can be told: which resources, which photos, in which order, and what of it is simulated."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from umiak_workers.adapters.artefacts import Artefact, read_artefact
from umiak_workers.adapters.modelstore import local_folder
from umiak_workers.contract.artefact import Card
from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import Dataset, Sample
from umiak_workers.datasets.source import open_dataset

BUILTIN = files("umiak_workers") / "builtin"
HERE = files(__package__)
CLOUD_ROLES = ("labeller", "sam")


@dataclass(frozen=True)
class Stretch:
    """One part of a stream: per edge a data set and a pace."""

    name: str
    note: str
    photos: tuple[Dataset, ...]
    """one per edge"""
    interval: float
    """seconds between two photos of one camera"""


@dataclass(frozen=True)
class Scene:
    """One story."""

    name: str
    resources: str
    """YAML, as `kubectl apply` takes it."""
    edge_model: Artefact
    stretches: tuple[Stretch, ...]
    """Before learning."""
    unseen: Stretch | None
    """After learning; None: inference only."""
    simulated: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Every `step`-th sample of a data set from `start`: how two cameras share one folder."""

    whole: Dataset
    start: int
    step: int
    most: int

    def __len__(self) -> int:
        return min(self.most, max(0, -(-(len(self.whole) - self.start) // self.step)))

    def __getitem__(self, index: int, /) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.whole[self.start + index * self.step]


def yard(edges: int, frames: int, seed: int) -> Scene:
    """Procedural substation yards: a clear day, then dusk, a round of learning, and dusk never seen before."""

    def stretch(name: str, note: str, light: str, share: float, offset: int, interval: float) -> Stretch:
        count = max(1, round(frames * share))
        uris = [f"yard:{light}?seed={seed + offset + edge}&frames={count}" for edge in range(edges)]
        return Stretch(name, note, tuple(open_dataset(uri) for uri in uris), interval)

    return Scene(
        name="yard",
        resources=(HERE / "yard.yaml").read_text(),
        edge_model=read_artefact(Path(str(BUILTIN / "yard-edge"))),
        stretches=(
            stretch("day", "clear day, as the edge model knows it", "day", 0.4, 1000, 0.15),
            stretch("dusk", "dusk, never seen by the edge model: hard examples accumulate", "dusk", 0.7, 2000, 0.6),
        ),
        unseen=stretch(
            "dusk, unseen", "other dusk scenes, answered by the model that was learnt", "dusk", 1.0, 3000, 0.25
        ),
        simulated=(
            "cameras and photos (procedural yard scenes)",
            "edge nodes (processes on this machine)",
            "the link (loopback)",
        ),
    )


def folder(base: str, data: Path | None, edges: int, frames: int, seed: int) -> Scene:
    """Photos of a folder, answered by the models of the scene `base`; inference only."""
    own = False
    if base == "yard":
        if data is None:
            raise ConfigError("--data is missing")
        resources, model = (HERE / "yard-inference.yaml").read_text(), read_artefact(Path(str(BUILTIN / "yard-edge")))
    else:
        street = street_folder()
        # Its models lie beside the YAML, which cannot know where this checkout is.
        resources = (street / "umiak.yaml").read_text().replace("file:./", f"{street.as_uri()}/")
        model = read_artefact(street / "street-edge")
        own = data is None
        data = street / "frames" if data is None else data
    photos = open_dataset(str(data))
    if len(photos) == 0:
        raise ConfigError(f"{data}: no photos; a folder holds images/ and optionally labels/STEM.png")
    parts = tuple(Part(photos, edge, edges, frames) for edge in range(min(edges, len(photos))))
    source = "CamVid photos (CC BY-NC 4.0)" if own else f"photos of {data}"
    return Scene(
        name=base if own else f"{base}, {data.name}",
        resources=resources,
        edge_model=model,
        stretches=(Stretch("photos", source, parts, 0.1),),
        unseen=None,
        simulated=(
            "cameras (photos are read from files)",
            "edge nodes (processes on this machine)",
            "the link (loopback)",
        ),
    )


def street_folder() -> Path:
    """`docs/examples/street` of the checkout; it is never installed with the package, for its licence's sake."""
    found = Path(__file__).resolve().parents[4] / "docs" / "examples" / "street"
    if not (found / "umiak.yaml").exists():
        raise ConfigError("the street scene lives in the source checkout under docs/examples/street (CC BY-NC 4.0)")
    return found


def choose(scene: str, data: Path | None, edges: int, frames: int, seed: int) -> Scene:
    """The scene for the command line's choice; raises ConfigError that names the option."""
    if scene not in ("yard", "street"):
        raise ConfigError(f"--scene is yard or street, not {scene!r}")
    if scene == "yard" and data is None:
        return yard(edges, frames, seed)
    return folder(scene, data, edges, frames, seed)


def main_resource(resources: str, kind: str) -> tuple[str, str] | None:
    """(namespace, name) of the first resource of a kind."""
    for document in yaml.safe_load_all(resources):
        if document and document.get("kind") == kind:
            return document["metadata"].get("namespace", "default"), document["metadata"]["name"]
    return None


def cloud_cards(resources: str) -> dict[str, Card]:
    """Cards of the cloud's models by their role (labeller, sam), as the first JointInference names them."""
    documents = (document for document in yaml.safe_load_all(resources) if document)
    joint = next(document for document in documents if document["kind"] == "JointInference")
    folders = {role: local_folder(joint["spec"].get("cloud", {}).get(role, {}).get("uri", "")) for role in CLOUD_ROLES}
    return {role: read_artefact(folder).card for role, folder in folders.items() if folder is not None}
