"""What the ids of a data set mean: a file of the user's, beside the photos, or one that comes with the package."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.wire import explain
from umiak_workers.datasets.yard import CLASSES, PALETTE, VOID

FILE = "legend.yaml"
HERE = files(__package__) / "legends"


class Legend(BaseModel):
    """Class names by id, the id that is no class, colours, and where the labels come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...]
    void: int = 255
    palette: tuple[tuple[int, int, int], ...] = ()
    licence: str
    source: str
    saw: tuple[str, ...] = ()


YARD = Legend(
    classes=CLASSES, void=VOID, palette=PALETTE, licence="Apache-2.0", source="procedural yard scenes (yard: URIs)"
)


def find_legend(wanted: str | None, data: str) -> Legend:
    """The legend `wanted` (a file, or the name of one that comes with the package), or the one that fits `data`.

    Without a wish it is DATA/legend.yaml, the yard's for a `yard:` URI, or the one named like a part of the path
    (`photos/camvid`: camvid). Raises ConfigError that names the option.
    """
    known = sorted(item.name.removesuffix(".yaml") for item in HERE.iterdir())
    if wanted is not None:
        return YARD if wanted == "yard" else read_legend(HERE / f"{wanted}.yaml" if wanted in known else Path(wanted))
    if data.startswith("yard:"):
        return YARD
    for folder in (Path(data), Path(data).parent):
        if (folder / FILE).is_file():
            return read_legend(folder / FILE)
    for part in reversed(Path(data).resolve().parts):
        if part.lower() in known:
            return read_legend(HERE / f"{part.lower()}.yaml")
    raise ConfigError(
        f"--legend is missing: what do the ids in {data}/labels mean? Name a YAML file with classes, void, licence "
        f"and source, put it there as {FILE}, or take one of {', '.join([*known, 'yard'])}"
    )


def read_legend(path: Traversable) -> Legend:
    """A legend file; raises ConfigError that names the field."""
    try:
        return Legend.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not a readable legend ({error})") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
