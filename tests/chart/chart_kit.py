"""What the tests of the chart share: helm as a person types it, what it renders, and how an installation is run."""

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "umiak"
NAMESPACE = "umiak-system"
EXTRA_LABELS = ("app.kubernetes.io/version", "helm.sh/chart")
"""What the chart says of its objects beyond plan/platform.py."""
VALUES: Mapping[str, Any] = {"outside": {"host": "gate.example"}}
"""The least that an installation has to say."""


@dataclass(frozen=True)
class Helm:
    """helm with a home of its own, so that it meets no configuration of the machine."""

    program: Path
    home: Path
    kubeconfig: Path | None = None

    def run(
        self, *arguments: str, values: Mapping[str, Any] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """helm; `values` travel by stdin. Fails the test with helm's own words unless `check` is False."""
        command = [str(self.program), *arguments, *([] if values is None else ["--values", "-"])]
        stdin = None if values is None else yaml.safe_dump(dict(values))
        here = self._environment()
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=here, timeout=240)
        assert not check or done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
        return done

    def objects(self, values: Mapping[str, Any], *arguments: str) -> list[dict[str, Any]]:
        """What the chart renders."""
        done = self.run("template", "umiak", str(CHART), "--namespace", NAMESPACE, *arguments, values=values)
        return [body for body in yaml.safe_load_all(done.stdout) if body]

    def refusal(self, values: Mapping[str, Any]) -> str:
        """What helm says of values that it must not take."""
        done = self.run("template", "umiak", str(CHART), "--namespace", NAMESPACE, values=values, check=False)
        assert done.returncode != 0, "the values were taken"
        return done.stderr

    def _environment(self) -> dict[str, str]:
        folders = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        config = {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {"KUBECONFIG": os.devnull}
        return {**os.environ, **folders, **config}


def absent(what: str) -> NoReturn:
    """A named skip on somebody's machine, a failure where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"missing {what}")
    pytest.skip(f"needs {what}")


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Values laid over each other, maps merged."""
    found: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = found.get(key)
            found[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return found


def chosen(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one object of that kind and name."""
    (found,) = [body for body in objects if (body["kind"], body["metadata"]["name"]) == (kind, name)]
    return found


def names(objects: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """(kind, name) of each."""
    return {(body["kind"], body["metadata"]["name"]) for body in objects}


def platform_file(objects: list[dict[str, Any]]) -> str:
    """What the operator is told."""
    return str(chosen(objects, "ConfigMap", "umiak-platform")["data"]["platform.yaml"])


def plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what the chart alone says of it: version labels, and what Helm shall keep."""
    meta = {key: value for key, value in body["metadata"].items() if key != "annotations"}
    meta["labels"] = {key: value for key, value in meta["labels"].items() if key not in EXTRA_LABELS}
    return json.loads(json.dumps({**body, "metadata": meta}))  # type: ignore[no-any-return]


def files(secret: Mapping[str, Any]) -> dict[str, bytes]:
    """Content of a Secret."""
    return {key: base64.b64decode(value) for key, value in secret["data"].items()}
