"""What is in the images, and what must not be."""

import re
import stat
from collections.abc import Callable
from pathlib import Path

import hollow
import pytest
import roles
from image_kit import ROOT, USER, Unpacked, built
from packaging.markers import Marker

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]
ROLES = tuple(roles.IMAGES)
PYTHON_ROLES = tuple(name for name, image in roles.IMAGES.items() if image.lock)
TOOLS = re.compile(r"(gcc|g\+\+|cc|ld|make|sh|bash|dash|apt|apt-get|dpkg|perl|pip3?|uv|curl|wget|su|sudo|mount)$")


@pytest.mark.parametrize("role", ROLES)
def test_an_image_is_as_small_as_it_promises(unpacked: Callable[[str], Unpacked], role: str) -> None:
    size, most = unpacked(role).size, roles.IMAGES[role].most
    print(f"{role}: {size / roles.MEGABYTE:.1f} MB uncompressed, at most {most / roles.MEGABYTE:.0f}")
    assert size <= most


@pytest.mark.parametrize("role", ROLES)
def test_an_image_says_what_it_is(unpacked: Callable[[str], Unpacked], role: str) -> None:
    image = unpacked(role)
    labels = image.config["config"]["Labels"]
    told = {name.removeprefix("org.opencontainers.image."): text for name, text in labels.items()}
    assert told["title"] == roles.IMAGES[role].title
    assert {"title", "version", "revision", "source", "licenses"} <= set(told)
    assert image.tags == tuple(f"{name}:{told['version']}" for name in roles.IMAGES[role].names)
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?|unknown", told["revision"])
    assert (image.config["os"], image.config["architecture"]) == ("linux", "amd64")


@pytest.mark.parametrize("role", ROLES)
def test_an_image_runs_as_a_number_and_holds_nothing_that_makes_it_more(
    unpacked: Callable[[str], Unpacked], role: str
) -> None:
    image = unpacked(role)
    assert image.config["config"]["User"] == f"{USER}:{USER}"
    for path in image.root.rglob("*"):
        mode = path.lstat().st_mode
        assert not mode & (stat.S_ISUID | stat.S_ISGID), path
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode), path
        assert stat.S_ISLNK(mode) or not mode & stat.S_IWOTH or path == image.root / "tmp", path
        assert path.lstat().st_uid == 0, path


@pytest.mark.parametrize("role", ROLES)
def test_an_image_has_no_tools_and_no_leftovers(unpacked: Callable[[str], Unpacked], role: str) -> None:
    image = unpacked(role)
    programs = [
        path.name for place in ("usr/bin", "usr/sbin", "usr/local/bin") for path in image.root.glob(f"{place}/*")
    ]
    assert not [name for name in programs if TOOLS.match(name)]
    names = {str(path.relative_to(image.root)) for path in image.files()}
    assert not [name for name in names if re.search(r"(_history|\.deb|\.whl|\.log|\.a|cache/apt/.*)$", name)]
    assert not [name for name in names if re.match(r"(opt/umiak/packages/(pip|setuptools|wheel|uv)/|root/.)", name)]


@pytest.mark.parametrize("role", ROLES)
def test_every_library_that_something_needs_is_there(unpacked: Callable[[str], Unpacked], role: str) -> None:
    """Debian's packages lose what only an installation needs; nothing that runs may have gone with it."""
    image = unpacked(role)
    here = {path.name for path in image.root.rglob("*.so*")}
    missing = {
        (needed, path.name)
        for path in image.files()
        if path.relative_to(image.root).parts[0] == "usr" and _is_program(path)
        for needed in hollow.needed(path)
        if needed not in here
    }
    assert not missing


@pytest.mark.parametrize("role", PYTHON_ROLES)
def test_the_bill_lists_what_the_lock_file_does(unpacked: Callable[[str], Unpacked], role: str) -> None:
    bill = unpacked(role).bill()
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", roles.IMAGES[role].names[0])
    listed = {(part["purl"].split("/")[0], _plain(part["name"]), part["version"]) for part in bill["components"]}
    for name, version in _locked(ROOT / f"requirements/images/{roles.IMAGES[role].lock}.txt"):
        assert (("pkg:pypi", name, version) in listed) != (name in LEFT_OUT.get(role, ())), name
    assert ("pkg:pypi", "umiak", unpacked(role).tags[0].split(":")[1]) in listed
    assert any(kind == "pkg:deb" and name == "libssl3" for kind, name, _ in listed)
    assert any(kind == "pkg:deb" and name == "python3-11-minimal" for kind, name, _ in listed)


@pytest.mark.parametrize(("role", "package"), [("broker", "mosquitto"), ("gateway", "nginx-light")])
def test_the_bill_lists_debian_packages(unpacked: Callable[[str], Unpacked], role: str, package: str) -> None:
    names = [part["name"] for part in unpacked(role).bill()["components"]]
    assert {package, "libc6", "libssl3", "ca-certificates"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("role", ["operator", "edge", "hub"])
def test_only_the_cloud_carries_torch(unpacked: Callable[[str], Unpacked], role: str) -> None:
    packages = unpacked(role).root / "opt/umiak/packages"
    assert not (packages / "torch").exists()
    assert (packages / "onnxruntime").exists() == (role == "edge")


def test_what_did_not_change_is_not_built_again(archives: dict[str, Path]) -> None:
    before = {path: path.stat().st_mtime_ns for path in archives.values()}
    again = built("amd64", "broker", "gateway")
    assert {path: path.stat().st_mtime_ns for path in again.values()}.items() <= before.items()


NVIDIA = "cublas cuda-cccl cuda-nvrtc cufft cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx"
LEFT_OUT = {
    "operator": ["numpy"],
    "cloud": [
        *("cuda-bindings", "cuda-pathfinder", "cuda-toolkit", "setuptools", "triton"),
        *(f"nvidia-{name}" for name in NVIDIA.split()),
    ],
}
"""Locked, and not in the image: see tools/images."""


def _locked(lock: Path) -> list[tuple[str, str]]:
    """What a lock file lists for this image."""
    found = []
    for line in lock.read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))?( \\)?$", line)
        if match and _holds(match[3] or ""):
            found.append((_plain(match[1]), match[2]))
    return found


def _holds(marker: str) -> bool:
    facts = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "python_version": "3.11",
    }
    return not marker or Marker(marker).evaluate({**facts, "python_full_version": "3.11.2", "os_name": "posix"})


def _plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def _is_program(path: Path) -> bool:
    with path.open("rb") as content:
        return content.read(4) == b"\x7fELF"
