"""One way to name photos with boxes, as `datasets.source` is for photos with label maps."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.box_folders import open_box_folder
from umiak_workers.datasets.boxes import BoxDataset, ChosenBoxes, Part, indices_of
from umiak_workers.datasets.source import open_dataset
from umiak_workers.datasets.yard import Yard
from umiak_workers.datasets.yard_boxes import YardBoxes


def open_boxes(uri: str, part: Part = "all", classes: tuple[str, ...] = ()) -> BoxDataset:
    """The photos with boxes that a `yard:` URI, a `file:` URI or a path names; raises ConfigError.

    A folder's `part` is its folder of that name (`train/`, `val/`) if it has both, else runs of neighbouring files
    (`datasets.boxes.indices_of`). A yard has no parts: another seed is another one.
    """
    if uri.startswith("yard:"):
        yard = open_dataset(uri)
        assert isinstance(yard, Yard)
        return YardBoxes(yard)
    root = Path(unquote(urlsplit(uri).path)) if uri.startswith("file:") else Path(uri)
    if not (root / "images").exists() and (root / "train" / "images").is_dir() and (root / "val" / "images").is_dir():
        if part == "all":
            raise ConfigError(f"{root}: has train/ and val/; name one of them")
        return open_box_folder(root / part, classes)
    whole = open_box_folder(root, classes)
    return ChosenBoxes(whole, indices_of(len(whole), part), whole.classes)
