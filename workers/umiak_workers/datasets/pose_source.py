"""One way to name photos with joints: `figures:day?seed=N&frames=N`, a `file:` URI or a path."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.boxes import Part, indices_of
from umiak_workers.datasets.figures import Figures
from umiak_workers.datasets.pose_folder import open_pose_folder
from umiak_workers.datasets.poses import PoseDataset
from umiak_workers.datasets.sample import Chosen
from umiak_workers.datasets.yard_light import LIGHTS


def open_poses(uri: str, part: Part = "all") -> PoseDataset:
    """The photos with joints that a URI or path names; raises ConfigError.

    A folder's parts are runs of neighbouring files (`datasets.boxes.indices_of`); figures have none, another seed is
    another set.
    """
    parts = urlsplit(uri)
    if parts.scheme == "figures":
        return _figures(uri, parts.path, parts.query)
    whole = open_pose_folder(Path(unquote(parts.path)) if parts.scheme == "file" else Path(uri))
    return Chosen(whole, indices_of(len(whole), part))


def _figures(uri: str, light: str, query: str) -> Figures:
    values = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(values) - {"seed", "frames"}):
        raise ConfigError(f"{uri}: unknown {', '.join(unknown)}; figures have seed and frames")
    if light not in LIGHTS:
        raise ConfigError(f"{uri}: light is one of {', '.join(LIGHTS)}, not {light!r}")
    numbers = {}
    for name, text, least in (("seed", values.get("seed", "0"), 0), ("frames", values.get("frames", "240"), 1)):
        if not text.isascii() or not text.isdigit() or not least <= int(text) < 2**31:
            raise ConfigError(f"{uri}: {name} is a whole number from {least}, not {text!r}")
        numbers[name] = int(text)
    return Figures(light, numbers["seed"], numbers["frames"])
