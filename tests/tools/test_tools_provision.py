"""Where the control plane's binaries are found, and that nothing half-built or half-named is taken."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "tools" / "kube"
sys.path.insert(0, str(FOLDER))

import provision  # noqa: E402


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with none of it."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def binaries(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or provision.NAMES:
        (folder / name).touch(mode=0o755)
    return folder


def test_the_order_is_variable_path_cache(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provision.existing() is None
    cache = binaries(provision.cache())
    assert provision.existing() == cache
    path = binaries(machine / "bin")
    assert provision.existing() == path
    named = binaries(machine / "named")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(named))
    assert provision.existing() == named


def test_a_named_folder_that_lacks_one_is_said_and_not_passed_over(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries(provision.cache())
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(binaries(machine / "named", "etcd", "kubectl")))
    with pytest.raises(provision.Missing, match=r"named lacks kube-apiserver, kube-controller-manager, .*kwok"):
        provision.existing()


def test_a_folder_that_has_only_some_is_passed_over(machine: Path) -> None:
    binaries(machine / "bin", "kubectl")
    assert provision.existing() is None


def test_a_file_that_cannot_be_run_does_not_count(machine: Path) -> None:
    (binaries(provision.cache()) / "etcd").chmod(0o644)
    assert provision.lacking(provision.cache()) == ["etcd"]


def test_without_go_one_line_says_what_is_needed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provision.shutil, "which", lambda name, path: None)
    with pytest.raises(provision.Missing, match="needs Go"):
        provision.provision()


def go(machine: Path, script: str) -> str:
    """A compiler that does what a test needs."""
    file = machine / "go"
    file.write_text(f"#!/bin/bash\n{script}")
    file.chmod(0o755)
    return str(file)


BUILDS = r"""
echo "$@" >&2
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
out=${out:-$GOBIN/kwok}
/bin/mkdir -p "${out%/*}"; /usr/bin/touch "$out"; /bin/chmod 755 "$out"
"""


def test_a_build_makes_what_is_lacking_and_says_first_what_it_costs(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    compiler = go(machine, BUILDS)
    monkeypatch.setattr(provision.shutil, "which", lambda name, path: compiler)
    binaries(provision.cache(), "etcd")
    folder = provision.provision()
    assert provision.lacking(folder) == []
    said = capfd.readouterr().err
    assert "etcd ..." not in said, "what is there is not built again"
    assert said.index("to download") < said.index("[1/5]")
    assert "sigs.k8s.io/kwok" in said
    assert not [item for item in folder.iterdir() if item.name.startswith(".building")]
    provision.provision()
    assert capfd.readouterr().err == ""


def test_a_failed_build_leaves_nothing_that_looks_whole(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = go(machine, "exit 1")
    monkeypatch.setattr(provision.shutil, "which", lambda name, path: compiler)
    with pytest.raises(provision.Missing, match="failed with 1"):
        provision.provision()
    assert provision.lacking(provision.cache()) == list(provision.NAMES)


def test_a_second_build_waits_for_the_first(machine: Path) -> None:
    lock = machine / ".lock"
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import provision, pathlib\n" \
        f"with provision.alone(pathlib.Path({str(lock)!r})): print('in', flush=True)\n"  # fmt: skip
    with provision.alone(lock):
        other = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert other.stderr is not None
        assert "waiting" in other.stderr.readline()
        assert other.poll() is None
    out, _ = other.communicate(timeout=20)
    assert out == "in\n"


def test_no_registry_host_is_named() -> None:
    for file in FOLDER.iterdir():
        if file.is_file():
            text = file.read_text()
            assert "GOPROXY" not in text
            assert "proxy.golang" not in text
