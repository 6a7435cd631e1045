"""The command that makes a model again, for its card: in it nothing belongs to one machine."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from umiak_workers.models.classifier_train import ClassFitConfig
from umiak_workers.models.train import FitConfig
from umiak_workers.models.views import ViewFit

Value = str | float | list[str] | tuple[float, ...] | None


def command_line(command: str, options: Mapping[str, Value]) -> str:
    """`umiak train COMMAND --NAME VALUE ...`, quoted for a shell.

    A list repeats its option, a tuple is several values of one (none for a flag), None leaves it out.
    """
    words = ["umiak", "train", command]
    for name, value in options.items():
        for values in _occurrences(value):
            words += [f"--{name}", *values]
    return shlex.join(words)


def pace(fit: FitConfig | ViewFit | ClassFitConfig) -> dict[str, Value]:
    """The options of how long, in what batches and how fast a model learns."""
    length: dict[str, Value] = {"epochs": fit.epochs} if fit.minutes is None else {"minutes": fit.minutes}
    return {**length, "batch": fit.batch, "learning-rate": fit.learning_rate}


def short(uri: str) -> str:
    """A model's name without the folders of one machine."""
    return uri if uri.startswith("builtin:") else Path(uri.removeprefix("file:")).name


def _occurrences(value: Value) -> list[list[str]]:
    """The values of each time that an option is given."""
    if value is None:
        return []
    if isinstance(value, list):
        return [[text] for text in value]
    return [[_written(part) for part in (value if isinstance(value, tuple) else (value,))]]


def _written(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
