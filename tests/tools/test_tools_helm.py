"""Helm is found beside the control plane or built there, and is never in its way."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "kube"))

import provision


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with none of it."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def program(folder: Path, name: str = "helm") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch(mode=0o755)
    return folder / name


def compiler(machine: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    file = machine / "go"
    file.write_text(f"#!/bin/bash\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setattr(provision.shutil, "which", lambda name, path: str(file))


def test_the_order_is_variable_path_cache(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provision.program("helm") is None
    cache = program(provision.cache())
    assert provision.program("helm") == cache
    path = program(machine / "bin")
    assert provision.program("helm") == path
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(machine / "named"))
    assert provision.program("helm") == path
    assert program(machine / "named") == provision.program("helm")


def test_a_build_says_what_it_costs_and_which_kubernetes_helm_supposes(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    built = provision.cache() / ".building-helm"
    script = f'echo "$@" >&2; /bin/mkdir -p {built}; /usr/bin/touch {built}/helm; /bin/chmod 755 {built}/helm'
    compiler(machine, monkeypatch, script)
    assert provision.helm() == provision.cache() / "helm"
    said = capfd.readouterr().err
    assert said.index("2 minutes") < said.index("[1/1] helm ...")
    assert "pkg/chartutil.k8sVersionMinor=34" in said
    assert f"internal/version.version={provision.version(provision.HELM_MODULE)}" in said
    provision.helm()
    assert capfd.readouterr().err == ""


def test_without_helm_the_control_plane_is_printed(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in provision.NAMES:
        program(provision.cache(), name)
    compiler(machine, monkeypatch, "exit 1")
    monkeypatch.setattr(provision.sys, "argv", ["provision.py"])
    assert provision.main() == 0
    said = capfd.readouterr()
    assert said.out == f"{provision.cache()}\n"
    assert "without helm" in said.err
    monkeypatch.setattr(provision.sys, "argv", ["provision.py", "helm"])
    assert provision.main() == 1
