"""Photos with one class each from a URI: what is learnt from, and what is kept apart to report on."""

from pathlib import Path

from umiak_workers.datasets.classified import TRAINING, VALIDATION, Classified, Photos, read_parts
from umiak_workers.datasets.source import open_dataset
from umiak_workers.datasets.yard import Yard
from umiak_workers.datasets.yard_watch import Watch


def open_classified(uri: str) -> tuple[Classified, Classified | None]:
    """(what to learn from, what is kept apart for reporting, if the data set says so); raises ConfigError."""
    if uri.startswith("yard:"):
        yard = open_dataset(uri)
        assert isinstance(yard, Yard), "a yard: URI names a yard"
        return Watch(yard), None
    parts: dict[str, Photos] = read_parts(Path(uri))
    kept = next((parts[name] for name in VALIDATION if name in parts), None)
    learnt = next((parts[name] for name in (*TRAINING, "") if name in parts), kept)
    assert learnt is not None, "a data set has at least one part"
    return learnt, None if kept is learnt else kept
