"""A root file system of chosen Debian 12 packages: no package manager, shell, documentation or maintainer script.

apt resolves, fetches and verifies with this machine's own sources (so with its security updates), for any architecture;
nothing is installed here. Packages are then unpacked, so neither root nor an emulator is needed.
"""

import io
import lzma
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roles import PYTHON, USER
from shell import Missing, run

EXCLUDED: Final = {
    "adduser": "accounts are files below",
    "base-passwd": "accounts are files below",
    "debconf": "asks questions while installing",
    "dpkg": "installs packages",
    "init-system-helpers": "starts services",
    "install-info": "no manuals",
    "iproute2": "nginx uses it while installing",
    "lsb-base": "starts services",
    "mawk": "used while installing",
    "perl-base": "used while installing",
    "sysvinit-utils": "starts services",
    "tar": "dpkg uses it",
}
"""Packages that others depend on for installing or starting services alone; what only they need goes with them."""
_UNWANTED: Final = re.compile(
    r"""usr/share/(man|locale|info|lintian|bug|doc-base|menu|pixmaps|applications|python3/debpython)(/|$)
    |usr/share/doc/[^/]+/(?!copyright$).+
    |usr/bin/(openssl|c_rehash|py3clean|py3compile|py3versions|pydoc3.*|pygettext3.*|perror|2to3.*)$
    |usr/(s)?bin/(ldconfig|update-ca-certificates|iconvconfig|zdump|zic|localedef|iconv|pldd|catchsegv|tzselect|ldd)$
    |usr/lib/python3\.[0-9]+/(idlelib|lib2to3|test|turtledemo|config-[^/]+)(/|$)
    |usr/lib/[^/]+/gconv/(?!UTF-|UNICODE|ISO8859-1|gconv-modules).+
    |etc/(init\.d|default|logrotate\.d|cron[^/]*|systemd|ufw|apparmor\.d|ca-certificates|update-motd\.d|profile\.d|skel)(/|$)
    |usr/lib/(systemd|ssl/misc)(/|$)
    |var/(lib/systemd|cache|backups)(/|$)""",
    re.VERBOSE,
)
_ROOT_LINKS: Final = ("bin", "lib", "lib64", "sbin")
_CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"
_FILES: Final = {
    "etc/passwd": f"root:x:0:0:root:/root:/usr/sbin/nologin\numiak:x:{USER}:{USER}:umiak:/tmp:/usr/sbin/nologin\n",
    "etc/group": f"root:x:0:\numiak:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

_updated: set[Path] = set()
"""Caches whose lists this process has brought up to date."""


@dataclass(frozen=True)
class Package:
    """A Debian package as fetched."""

    name: str
    version: str
    source: str
    """Source package, for those who look up vulnerabilities."""
    control: str
    depends: tuple[tuple[str, ...], ...]
    """Alternatives, all of which must be met by one."""
    provides: tuple[str, ...]
    path: Path


def fetch(arch: str, roots: Sequence[str], cache: Path) -> list[Package]:
    """The closure of `roots` for `arch` without what only EXCLUDED packages need. Raises Missing."""
    if not shutil.which("apt-get"):
        raise Missing("needs apt-get of Debian 12 to make a base image; or give one: --base NAME")
    debs = cache / "archives"
    debs.mkdir(parents=True, exist_ok=True)
    (debs / "partial").mkdir(exist_ok=True)
    (cache / "state" / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "status").write_text("")
    options = {
        "APT::Architecture": arch,
        "APT::Architectures": arch,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
        "Dir::Cache": str(cache),
        "Dir::State": str(cache / "state"),
        "Dir::State::status": str(cache / "status"),
    }
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    if cache not in _updated:
        run([*apt, "update"], "apt-get update")
        _updated.add(cache)
    for old in debs.glob("*.deb"):
        old.unlink()
    run([*apt, "--download-only", "--yes", "install", *roots], f"fetching Debian packages for {arch}")
    found = {package.name: package for package in map(_read, sorted(debs.glob("*.deb")))}
    if "python3" in found and not found["python3"].version.startswith(f"{PYTHON}."):
        raise Missing(
            f"this machine's apt sources have Python {found['python3'].version}, not Debian 12's; give a --base"
        )
    return reached(found, roots)


def root(packages: Sequence[Package], folder: Path, whole: bool) -> None:
    """Unpack into an empty folder; `whole`: with accounts, certificates and the like of a system."""
    folder.mkdir(parents=True)
    if whole:
        for name in _ROOT_LINKS:
            (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(f"usr/{name}")
        for name in ("dev", "etc", "proc", "run", "sys", "tmp", "var/lib/dpkg/status.d"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "tmp").chmod(0o1777)
    for package in packages:
        _unpack(package.path, folder)
        status = folder / "var/lib/dpkg/status.d" / package.name
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_text(package.control + "\n")
    if whole:
        for name, text in _FILES.items():
            (folder / name).write_text(text)
        certificates = sorted((folder / "usr/share/ca-certificates").rglob("*.crt"))
        bundle = folder / _CERTIFICATES
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_text("".join(path.read_text() for path in certificates))


def pack(folder: Path, archive: Path) -> None:
    """A tar of a tree that depends on names, modes and contents alone; all belongs to root, nothing is setuid."""
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            entry = tar.gettarinfo(path, str(path.relative_to(folder)))
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode &= 0o1777 if entry.isdir() else 0o777
            if entry.islnk():
                entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
            if entry.isreg():
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)


def reached(found: dict[str, Package], roots: Sequence[str]) -> list[Package]:
    """What `roots` depend on, not looking through EXCLUDED packages."""
    providers = {name: package.name for package in found.values() for name in package.provides}
    todo, kept = list(roots), {}
    while todo:
        name = todo.pop()
        name = name if name in found else providers.get(name, name)
        if name in kept or name in EXCLUDED or name not in found:
            continue
        kept[name] = found[name]
        for alternatives in found[name].depends:
            met = [other for other in alternatives if other in found or other in providers]
            todo += met[:1]
    return [kept[name] for name in sorted(kept)]


def _read(path: Path) -> Package:
    with tarfile.open(fileobj=_member(path, "control.tar")) as tar:
        content = next(tar.extractfile(entry) for entry in tar if entry.name.lstrip("./") == "control")
        assert content is not None
        text = content.read().decode().strip()
    fields = dict(re.findall(r"^([A-Za-z-]+): (.*(?:\n[ \t].*)*)", text, re.MULTILINE))
    depends = f"{fields.get('Pre-Depends', '')},{fields.get('Depends', '')}"
    return Package(
        name=fields["Package"],
        version=fields["Version"],
        source=fields.get("Source", fields["Package"]).split()[0],
        control=text,
        depends=tuple(tuple(_names(part.split("|"))) for part in depends.split(",") if part.strip()),
        provides=tuple(_names(fields.get("Provides", "").split(","))),
        path=path,
    )


def _names(parts: Sequence[str]) -> Iterator[str]:
    return (part.split()[0].split(":")[0] for part in parts if part.strip())


def _member(path: Path, wanted: str) -> io.BytesIO:
    """An inner tar of a .deb, which is an `ar` archive."""
    data = path.read_bytes()
    at = 8
    while at < len(data):
        name, size = data[at : at + 16].decode().rstrip(" /"), int(data[at + 48 : at + 58])
        if name.startswith(wanted):
            content = data[at + 60 : at + 60 + size]
            return io.BytesIO(lzma.decompress(content) if name.endswith(".xz") else content)
        at += 60 + size + size % 2
    raise Missing(f"{path.name} holds no {wanted}")


def _unpack(deb: Path, folder: Path) -> None:
    with tarfile.open(fileobj=_member(deb, "data.tar")) as tar:
        for entry in tar:
            name = os.path.normpath(entry.name.lstrip("/"))
            if name.split("/")[0] in _ROOT_LINKS:
                name = f"usr/{name}"
            if name == "." or _UNWANTED.match(name):
                continue
            target = folder / name
            if entry.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if entry.issym():
                target.symlink_to(entry.linkname)
                continue
            source = tar.extractfile(entry)  # follows hard links
            assert source is not None
            with target.open("wb") as out:
                shutil.copyfileobj(source, out)
            target.chmod(0o755 if entry.mode & 0o111 else 0o644)
