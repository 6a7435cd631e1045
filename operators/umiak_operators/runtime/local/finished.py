"""How Jobs ended, kept in a file so that none runs twice."""

from pathlib import Path
from typing import Any

from umiak_operators.api.resource import Key
from umiak_operators.plan.model import Child
from umiak_operators.runtime.local.files import read_json, write_json
from umiak_operators.runtime.local.pod import PodState
from umiak_operators.runtime.local.template import PodSpec


class Finished:
    """The ends of Jobs, by pod id."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ended: dict[str, dict[str, Any]] = read_json(file) if file.exists() else {}

    def get(self, pod: str) -> PodState | None:
        """The end of a Job, or None while it has not ended."""
        found = self._ended.get(pod)
        return PodState(found["readiness"], found["message"], ()) if found else None

    def children(self, owner: Key) -> dict[str, Child]:
        """The ended Jobs of one owner as its plan sees them, by pod id."""
        mine = {pod: found for pod, found in self._ended.items() if found["owner"] == str(owner)}
        return {
            pod: Child("Job", found["name"], "", found["readiness"], found["message"], found["annotations"])
            for pod, found in mine.items()
        }

    def keep(self, spec: PodSpec, owner: Key | None, state: PodState) -> None:
        """Remember an end."""
        self._ended[spec.id] = {
            "owner": str(owner),
            "name": spec.name,
            "readiness": state.readiness,
            "message": state.message,
            "annotations": dict(spec.annotations),
        }
        write_json(self._file, self._ended)

    def drop(self, pod: str) -> None:
        """The Job is no longer wanted."""
        if self._ended.pop(pod, None) is not None:
            write_json(self._file, self._ended)
