"""One way to name a data set: a URI, so that configs, cards and command lines all speak of data alike."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.folder import open_folder
from umiak_workers.datasets.sample import Dataset
from umiak_workers.datasets.yard import LIGHTS, SHOT, WEATHERS, Yard

FORMS = "yard:LIGHT?seed=N&frames=N&weather=W&shot=N, file:///DIR or a path"


def open_dataset(uri: str) -> Dataset:
    """The data set a URI names: `yard:day?seed=1&frames=240&weather=clear`, `file:///dir` or a plain path.

    Raises ConfigError that names what is wrong with it.
    """
    parts = urlsplit(uri)
    if parts.scheme == "yard":
        return _yard(uri, parts.path, parts.query)
    if parts.scheme == "file":
        return open_folder(Path(unquote(parts.path)))
    if "://" in uri:
        raise ConfigError(f"{uri}: a data set is {FORMS}")
    return open_folder(Path(uri))


def portable(uri: str) -> str:
    """A data set's name for a model card: without the part of a path that belongs to one machine."""
    return uri if uri.startswith(("yard:", "figures:")) else "/".join(Path(uri).parts[-2:])


def _yard(uri: str, light: str, query: str) -> Yard:
    values = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(values) - {"seed", "frames", "weather", "shot"})
    if unknown:
        raise ConfigError(f"{uri}: unknown {', '.join(unknown)}; a yard has seed, frames, weather and shot")
    weather = values.get("weather", "clear")
    _member(uri, "light", light, LIGHTS)
    _member(uri, "weather", weather, WEATHERS)
    return Yard(
        light=light,
        weather=weather,
        seed=_number(uri, "seed", values.get("seed", "0"), 0),
        frames=_number(uri, "frames", values.get("frames", "240"), 1),
        shot=_number(uri, "shot", values.get("shot", str(SHOT)), 1),
    )


def _member(uri: str, what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{uri}: {what} is one of {', '.join(known)}, not {value!r}")


def _number(uri: str, what: str, text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) < 2**31:
        raise ConfigError(f"{uri}: {what} is a whole number from {least}, not {text!r}")
    return int(text)
