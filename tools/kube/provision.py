#!/usr/bin/env python3
"""Print a directory that holds a real Kubernetes control plane and kwok, building it once if there is none.

    KUBEBUILDER_ASSETS=$(tools/kube/provision.py)
    HELM=$(tools/kube/provision.py helm)
    tools/kube/provision.py cluster                 # what real nodes need: kubelet, CoreDNS, KubeEdge, ...

Order: $KUBEBUILDER_ASSETS, one directory on PATH that has them all, ~/.cache/umiak/kube-<version>, a build from
source through the Go module proxy (needs Go and minutes; progress on stderr). Standard library only: it runs before
any environment exists. Helm is found or built beside it; where it cannot be, the control plane is printed all the same.
The programs of `cluster` are looked for one by one, in the same order.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
}
NODE = {"kubelet": "k8s.io/kubernetes/cmd/kubelet", "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy"}
KUBEEDGE_VERSION = "v1.23.0"
KUBEEDGE = {
    "cloudcore": "github.com/kubeedge/kubeedge/cloud/cmd/cloudcore",
    "edgecore": "github.com/kubeedge/kubeedge/edge/cmd/edgecore",
}
FOLDERS = {"coredns": "coredns", "cloudcore": "kubeedge", "edgecore": "kubeedge"}
"""Modules of their own, with locks of their own, in folders beside this file."""
ALONE = {
    "toxiproxy": "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0",  # delays what goes through it
    "kwok": "sigs.k8s.io/kwok/cmd/kwok@v0.7.0",  # simulates nodes; it does not build beside this Kubernetes
    "crane": "github.com/google/go-containerregistry/cmd/crane@v0.20.6",  # serves as a registry
}
"""Modules of their own."""
NAMES = (*PACKAGES, "kwok")
CLUSTER = (*NODE, "coredns", *KUBEEDGE, "toxiproxy", "crane")
KUBEEDGE_DEFINITIONS = "kubeedge-crds"
"""KubeEdge's resource definitions, which lie in its source: a folder beside its programs."""
CLUSTER_COST = "about 200 MB of Go modules to download and 12 minutes on two idle cores, once"
HELM_MODULE = "helm.sh/helm/v3"
HELM = {"helm": f"{HELM_MODULE}/cmd/helm"}
"""Optional: only the chart's tests need it. It shares go.mod with Kubernetes, and so its compiled packages."""
QUICKLY = "all=-l -dwarf=false"
"""Without inlining the compiler needs a fifth less time, without what a debugger reads (which the linker drops anyway)
a quarter less of the rest: this is most of what a fresh machine waits for."""
HELM_COST = "about 60 MB of Go modules to download and 2 minutes on two idle cores, once"
COST = "about 150 MB of Go modules to download and 10 minutes on two idle cores, once (4 GB of Go build cache)"


def main() -> int:
    """Print the directory, or with the argument `helm` that program; 1 and one clear line if there can be none."""
    try:
        if sys.argv[1:] == ["helm"]:
            print(helm())
            return 0
        if sys.argv[1:] == ["cluster"]:
            print(*cluster().values(), sep="\n")
            return 0
        print(provision())
    except Missing as error:
        say(str(error))
        return 1
    try:
        helm()
    except Missing as error:
        say(f"without helm: {error}")
    return 0


class Missing(Exception):
    """The binaries are not there and cannot be made; the text says what to do."""


def provision() -> Path:
    """A directory with all of NAMES, building it if need be; raises Missing."""
    found = existing()
    return found if found else build(cache())


def existing() -> Path | None:
    """The directory, if no build is needed; raises Missing for a KUBEBUILDER_ASSETS that is incomplete."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        if lacks := lacking(Path(named)):
            raise Missing(f"KUBEBUILDER_ASSETS={named} lacks {', '.join(lacks)}; add them, or unset it to build all")
        return Path(named)
    folders = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    return next((folder for folder in [*folders, cache()] if not lacking(folder)), None)


def helm() -> Path:
    """The helm program, building it if need be; raises Missing."""
    if (found := program("helm")) is None:
        make(cache(), lambda: lacking(cache(), ("helm",)), f"helm {version(HELM_MODULE)}", HELM_COST)
    return found or cache() / "helm"


def cluster() -> dict[str, Path]:
    """What real nodes need, by name, building what is missing; raises Missing."""
    if any(program(name) is None for name in CLUSTER):
        what = f"Kubernetes {version()}, KubeEdge {KUBEEDGE_VERSION}"
        make(cache(), lambda: [name for name in CLUSTER if program(name) is None], what, CLUSTER_COST)
    return {name: program(name) or cache() / name for name in CLUSTER}


def program(name: str) -> Path | None:
    """One program in $KUBEBUILDER_ASSETS, on PATH or in the cache, in this order."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    places = [named] if named else []
    places += [part for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    return next((Path(place) / name for place in [*places, cache()] if not lacking(Path(place), (name,))), None)


def lacking(folder: Path, names: Sequence[str] = NAMES) -> list[str]:
    """Which of `names` the folder does not have as executables."""
    return [name for name in names if not os.access(folder / name, os.X_OK)]


def version(module: str = "k8s.io/kubernetes") -> str:
    """The version that go.mod pins, of Kubernetes for example v1.34.10."""
    found = re.search(rf"^\s*{re.escape(module)} (v\S+)", (HERE / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise Missing(f"{HERE / 'go.mod'} pins no {module}")
    return found[1]


def cache() -> Path:
    """Where builds are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "umiak" / f"kube-{version()}"


def build(folder: Path) -> Path:
    """Build what `folder` lacks of the control plane."""
    make(folder, lambda: lacking(folder), f"Kubernetes {version()}", COST)
    return folder


def make(folder: Path, lacks: Callable[[], list[str]], what: str, cost: str) -> None:
    """Build what is lacking; a second process waits for the first one's lock and then finds all there."""
    go = shutil.which("go", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/go/bin")))
    if not go:
        raise Missing(f"needs Go 1.24 or newer to build {what}, or KUBEBUILDER_ASSETS=<directory>")
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock"):
        todo = lacks()
        if todo:
            say(f"building {', '.join(todo)} ({what}) into {folder}: {cost}")
        for count, name in enumerate(todo, 1):
            started = time.monotonic()
            say(f"[{count}/{len(todo)}] {name} ...")
            build_one(go, name, folder)
            say(f"[{count}/{len(todo)}] {name} built in {time.monotonic() - started:.0f} s")


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold an advisory lock, saying so if another build has it."""
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is under way, waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build_one(go: str, name: str, folder: Path) -> None:
    """Build one binary beside its place, then rename it there: a broken build leaves nothing that looks whole."""
    scratch = folder / f".building-{name}"
    shutil.rmtree(scratch, ignore_errors=True)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    where = HERE / FOLDERS.get(name, ".")
    flags = ["-trimpath", "-gcflags", QUICKLY, "-ldflags", ldflags(name)]
    if name in ALONE:
        command = [go, "install", *flags, ALONE[name]]
        environment |= {"GOBIN": str(scratch), "GOFLAGS": ""}
    else:
        package = {**PACKAGES, **HELM, **NODE, **KUBEEDGE}.get(name, ".")
        command = [go, "build", "-buildvcs=false", *flags, "-o", f"{scratch}/{name}", package]
        environment |= {"GOFLAGS": "-mod=readonly"}
    if name in KUBEEDGE:
        environment |= {"CGO_ENABLED": "1"}  # its SQLite is C
        copy_definitions(go, folder, environment)
    run(command, environment, where)
    (made,) = scratch.iterdir()
    made.replace(folder / name)
    shutil.rmtree(scratch)


def copy_definitions(go: str, folder: Path, environment: dict[str, str]) -> None:
    """KubeEdge's resource definitions out of its module, beside its programs; raises Missing."""
    if not shutil.which("gcc"):
        raise Missing("needs gcc to build KubeEdge, or cloudcore and edgecore on PATH")
    module = "github.com/kubeedge/kubeedge"
    run([go, "mod", "download", module], environment, HERE / "kubeedge")
    asked = [go, "list", "-m", "-f", "{{.Dir}}", module]
    source = subprocess.run(
        asked, cwd=HERE / "kubeedge", env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    found = Path(source.stdout.strip()) / "build" / "crds"
    for file in found.rglob("*.yaml"):
        target = folder / KUBEEDGE_DEFINITIONS / file.relative_to(found)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


def run(command: list[str], environment: dict[str, str], where: Path) -> None:
    """Run a build; its own messages go to stderr. Raises Missing if it fails."""
    done = subprocess.run(command, cwd=where, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise Missing(f"{' '.join(command[:3])} ... failed with {done.returncode}; the lines above say why")


def ldflags(name: str) -> str:
    """Linker flags of a program that make it say its version."""
    facts = {"helm": helm_facts, **dict.fromkeys(KUBEEDGE, kubeedge_facts)}.get(name, kubernetes_facts)()
    return " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in facts.items())])


def kubernetes_facts() -> dict[str, str]:
    """Which Kubernetes it is, where Kubernetes' programs look for it."""
    major, minor = minor_version()
    facts = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.{name}": value for package in packages for name, value in facts.items()}


def helm_facts() -> dict[str, str]:
    """What helm's own build sets: its version, and the Kubernetes that `helm template` and `helm lint` suppose."""
    major, minor = minor_version()
    facts = {f"{HELM_MODULE}/internal/version.version": version(HELM_MODULE)}
    for package in ("pkg/chartutil", "pkg/lint/rules"):
        facts |= {f"{HELM_MODULE}/{package}.k8sVersionMajor": major, f"{HELM_MODULE}/{package}.k8sVersionMinor": minor}
    return facts


def kubeedge_facts() -> dict[str, str]:
    """Which KubeEdge it is, where its programs look for it."""
    package = "github.com/kubeedge/kubeedge/pkg/version"
    return {f"{package}.gitVersion": KUBEEDGE_VERSION, f"{package}.gitCommit": "proxy"}


def minor_version() -> list[str]:
    """Kubernetes' major and minor number, for example 1 and 34."""
    return version().lstrip("v").split(".")[:2]


def say(text: str) -> None:
    """One line of progress."""
    print(f"kube: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
