"""Every role runs in its image as a kubelet starts it: as a number, with a root file system that it cannot write to."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import edge_kit
import pytest
from image_kit import ROOT, Unpacked

from umiak_workers.contract.config import EdgeConfig

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]
HERE = Path(__file__).resolve().parent
MODULES = {
    "operator": (
        "umiak_operators.cli.operator",
        "umiak_operators.cli.installation",
        "umiak_operators.cli.broker_accounts",
    ),
    "edge": ("umiak_workers.edge", "umiak_workers.router", "umiak_workers.agent", "umiak_workers.probe"),
    "cloud": ("umiak_workers.cloud", "umiak_workers.trainer", "umiak_workers.probe"),
    "hub": ("umiak_workers.hub", "umiak_workers.signer", "umiak_workers.probe"),
}
LOOK = """
import os, sys, ssl, sqlite3
print(os.getuid(), os.getgid(), len(ssl.create_default_context().get_ca_certs()) > 50)
open("/tmp/mine", "w").close()
for folder in ("/", "/etc", "/opt/umiak", "/usr/lib", "/var/lib"):
    try:
        open(folder + "/mine", "w")
    except OSError as error:
        continue
    sys.exit(f"could write to {folder}")
assert "" not in sys.path and os.getcwd() not in sys.path, sys.path
"""


@pytest.mark.parametrize(
    ("role", "module"), [(role, module) for role, modules in MODULES.items() for module in modules]
)
def test_every_command_of_a_pod_starts(
    unpacked: Callable[[str], Unpacked], tmp_path: Path, role: str, module: str
) -> None:
    said = unpacked(role).run(tmp_path / "box", "python3", "-m", module, "--help")
    assert "--" in said
    assert "sage" in said


@pytest.mark.parametrize("role", MODULES)
def test_a_container_is_nobody_and_writes_nowhere(
    unpacked: Callable[[str], Unpacked], tmp_path: Path, role: str
) -> None:
    assert unpacked(role).run(tmp_path / "box", "python3", "-c", LOOK) == "65532 65532 True\n"


def test_bytecode_is_there_so_that_a_probe_costs_little(unpacked: Callable[[str], Unpacked], tmp_path: Path) -> None:
    """A container cannot write any; what is not compiled is compiled at every start and every probe."""
    said = unpacked("edge").run(
        tmp_path / "box", "python3", "-v", "-c", "import umiak_workers.router.__main__ as m; print(m)"
    )
    assert "umiak_workers" in said
    box = unpacked("edge").box(tmp_path / "slow", "python3", "-v", "-c", "import umiak_workers.router.__main__")
    done = subprocess.run(box.command(), capture_output=True, text=True, timeout=120)
    compiled = [
        line for line in done.stderr.splitlines() if line.startswith("# code object from ") and line.endswith(".py")
    ]
    assert not compiled


def test_a_wrong_config_is_one_line(unpacked: Callable[[str], Unpacked], tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.json").write_text(EdgeConfig(line="plant/yard").model_dump_json().replace("threads", "treads"))
    (config / "endpoints.json").write_text("{}")
    (config / "token").write_text("none")
    line = ("python3", "-m", "umiak_workers.edge", "--config", "/etc/umiak/config.json", "--state", "/tmp/state")
    box = unpacked("edge").box(tmp_path / "box", *line, mounts={"/etc/umiak": config})
    done = subprocess.run(box.command(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "treads" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_edge_reads_videos(unpacked: Callable[[str], Unpacked], tmp_path: Path) -> None:
    assert unpacked("edge").run(tmp_path / "box", "python3", "-c", edge_kit.FILM) == "5\nTrue\n"


def test_the_cloud_thinks_without_a_gpu(unpacked: Callable[[str], Unpacked], tmp_path: Path) -> None:
    script = (HERE / "inside_cloud.py").read_text()
    begun = time.monotonic()
    masks, agreement = unpacked("cloud").run(tmp_path / "box", "python3", "-c", script).split()
    print(f"{time.monotonic() - begun:.0f} s")
    assert int(masks) >= 1
    assert float(agreement) > 0.8


def test_the_trainer_learns_without_a_gpu(unpacked: Callable[[str], Unpacked], tmp_path: Path) -> None:
    said = unpacked("cloud").run(tmp_path / "box", "python3", "-c", (HERE / "inside_trainer.py").read_text())
    moved, version = said.splitlines()[-1].split()
    assert int(moved) > 50
    assert version.startswith("2.")


def test_the_broker_takes_a_listener_and_refuses_nonsense(unpacked: Callable[[str], Unpacked], tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "mosquitto.conf").write_text("persistence maybe\n")
    box = unpacked("broker").box(
        tmp_path / "box", "mosquitto", "-c", "/etc/umiak/mosquitto.conf", mounts={"/etc/umiak": config}
    )
    done = subprocess.run(box.command(), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "persistence" in done.stderr
    assert "mosquitto version 2.0" in _said(unpacked("broker"), tmp_path / "version", "mosquitto", "-h")
    assert (ROOT / "images/broker/Dockerfile").exists()


def test_the_gateway_reads_a_configuration_like_the_charts(unpacked: Callable[[str], Unpacked], tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "nginx.conf").write_text(
        "pid /tmp/nginx.pid; error_log stderr warn; events {} http { access_log off;"
        + "".join(f"{kind}_temp_path /tmp/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + "server { listen 8443; location = /healthz { return 200; } } }"
    )
    line = ("nginx", "-e", "stderr", "-t", "-c", "/etc/nginx/umiak/nginx.conf")
    box = unpacked("gateway").box(tmp_path / "box", *line, mounts={"/etc/nginx/umiak": config})
    done = subprocess.run(box.command(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "syntax is ok" in done.stderr


def _said(image: Unpacked, folder: Path, *command: str) -> str:
    done = subprocess.run(image.box(folder, *command).command(), capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr
