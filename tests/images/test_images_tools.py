"""The tools behind the images, without building one: hollow libraries, Debian's closures, bills, device profiles."""

import ctypes
import json
import re
import subprocess
import sys
from pathlib import Path

import bill
import debian
import engines
import hollow
import pytest
import roles
import yaml
from image_kit import ROOT
from shell import Missing

from umiak_operators.api import joint_inference
from umiak_operators.api.resource import Resource

PROFILES = sorted((ROOT / "docs/reference/device-profiles").glob("*.yaml"))


def package(name: str, depends: str = "", provides: str = "") -> debian.Package:
    split = tuple(tuple(part.strip() for part in each.split("|")) for each in depends.split(",") if each)
    offered = tuple(part.strip() for part in provides.split(",") if part)
    return debian.Package(name, "1", name, "", split, offered, Path())


def closure(roots: list[str], *packages: debian.Package) -> list[str]:
    return [found.name for found in debian.reached({each.name: each for each in packages}, roots)]


def test_what_only_an_installer_needs_goes_with_it() -> None:
    packages = (package("app", "libc6, dpkg, tool"), package("libc6"), package("dpkg", "tar, libzstd1"), package("tar"))
    assert closure(["app"], *packages, package("libzstd1"), package("tool", "libzstd1")) == [
        "app",
        "libc6",
        "libzstd1",
        "tool",
    ]
    assert closure(["app"], *packages, package("libzstd1"), package("tool")) == ["app", "libc6", "tool"]


def test_one_alternative_is_enough_and_a_provider_counts() -> None:
    assert closure(["app"], package("app", "left | right"), package("right")) == ["app", "right"]
    assert closure(["app"], package("app", "mta"), package("postfix", provides="mta")) == ["app", "postfix"]
    assert closure(["app"], package("app", "absent")) == ["app"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF")
def test_a_hollow_library_has_the_same_names_and_versions_and_stops_whoever_calls(tmp_path: Path) -> None:
    found = hollow.Exports("libgpu.so.9", (("compute", "GPU_9"), ("wait", "GPU_9"), ("old", None)))
    library = tmp_path / "libgpu.so.9"
    hollow.write(found, library)
    assert hollow.exports(library) == found
    assert hollow.needed(library) == ()
    loaded = ctypes.CDLL(str(library))
    assert all(hasattr(loaded, name) for name, _ in found.symbols)
    assert not hasattr(loaded, "unknown")
    call = f"import ctypes; ctypes.CDLL({str(library)!r}).compute()"
    assert subprocess.run([sys.executable, "-c", call], capture_output=True).returncode < 0


def test_a_bill_is_the_same_for_the_same_content(tmp_path: Path) -> None:
    parts = [
        bill.Component("pypi", "Ab_c", "1.0", "MIT AND BSD-3-Clause"),
        bill.Component("deb", "libc6", "2.36+b1", source="glibc"),
    ]
    for name, order in (("one", parts), ("two", parts[::-1])):
        bill.write(tmp_path / name, "umiak/edge:1", "Edge", "arm64", order)
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()
    told = json.loads((tmp_path / "one").read_text())
    assert [part["purl"] for part in told["components"]] == [
        "pkg:deb/debian/libc6@2.36%2Bb1?arch=arm64&distro=debian-12",
        "pkg:pypi/ab-c@1.0",
    ]
    assert told["components"][1]["licenses"] == [{"expression": "MIT AND BSD-3-Clause"}]


def test_without_an_engine_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)
    with pytest.raises(Missing, match="apt-get install buildah"):
        engines.engine(None, tmp_path)


@pytest.mark.parametrize("role", roles.IMAGES)
def test_a_dockerfile_runs_nothing_and_ends_as_a_number(role: str) -> None:
    lines = (ROOT / f"images/{role}/Dockerfile").read_text().splitlines()
    words = [line.split()[0] for line in lines if re.match("[A-Z]+ ", line)]
    assert set(words) <= {"ARG", "FROM", "LABEL", "ENV", "COPY", "ADD", "USER", "CMD"}
    assert [line for line in lines if line.startswith("USER")] == [f"USER {roles.USER}:{roles.USER}"]
    assert any(roles.IMAGES[role].title in line for line in lines)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_a_device_profile_is_a_resource_as_it_stands(profile: Path) -> None:
    _, body = yaml.safe_load_all(profile.read_text())
    found = joint_inference.parse(Resource.from_body(body))
    assert found.edge.nodes.match_labels["umiak.dev/device"] == profile.stem
    assert f"device-profiles/{profile.name})" in (ROOT / "docs/howto/devices.md").read_text()
