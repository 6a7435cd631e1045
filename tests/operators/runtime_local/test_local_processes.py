"""The local runtime with real processes: supervision, readiness, replacement, Jobs, and nobody left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from umiak_operators.api.resource import Key
from umiak_operators.runtime.local.container import Surroundings
from umiak_operators.runtime.local.finished import Finished
from umiak_operators.runtime.local.folders import Folders
from umiak_operators.runtime.local.logfile import LogFile
from umiak_operators.runtime.local.mounts import Rooms
from umiak_operators.runtime.local.pods import Pods
from umiak_operators.runtime.local.ports import PortBook, is_free
from umiak_operators.runtime.local.process import Launch, Process, Reaper
from umiak_operators.runtime.local.template import ContainerSpec, PodSpec

OWNER = Key("JointInference", "yard", "gate")
SERVER = """
import http.server, pathlib, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path("unready").exists() is False else 503)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


async def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs (one that ended and waits for its parent does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    reaper = Reaper()
    reaper.start()
    yield reaper
    reaper.close(10)


@pytest.fixture
async def pods(tmp_path: Path, reaper: Reaper) -> AsyncIterator[Pods]:
    folders = Folders(tmp_path)
    rooms = Rooms(folders, PortBook(folders.ports, None), {})
    async with httpx.AsyncClient(trust_env=False) as http:
        finished = Finished(folders.resources / "jobs.json")
        made = Pods(rooms, folders, Surroundings(reaper, http), finished, lambda owner: None)
        yield made
        await made.stop_all()


def pod(*containers: ContainerSpec, kind: str = "Deployment", mark: str = "1", limit: int = 6) -> PodSpec:
    return PodSpec(kind, "yard", "gate", "edge", "edge-1", containers, (), mark, grace=5, backoff_limit=limit)  # type: ignore[arg-type]


def program(text: str, name: str = "edge", *arguments: str) -> ContainerSpec:
    return ContainerSpec(name, ("python3", "-c", text, *arguments), (), (), probed=False)


def server(port: int) -> ContainerSpec:
    return ContainerSpec("edge", ("python3", "-c", SERVER, str(port)), (), (), probed=True)


def port_of(root: Path) -> int:
    return PortBook(root / "ports.json", None).port("yard.gate", "edge")


async def test_a_pod_becomes_ready_when_its_listener_says_so(pods: Pods, tmp_path: Path) -> None:
    port = port_of(tmp_path)
    (tmp_path / "pods" / "yard.gate").mkdir(parents=True)
    hold = tmp_path / "pods" / "yard.gate" / "unready"
    hold.touch()
    await pods.converge(OWNER, [pod(server(port))], {})
    await until(lambda: not is_free(port))
    await asyncio.sleep(0.5)
    assert pods.state("yard.gate").readiness == "Progressing"
    hold.unlink()
    await until(lambda: pods.state("yard.gate").readiness == "Ready")


async def test_a_killed_process_returns_and_says_how_it_ended(pods: Pods, tmp_path: Path) -> None:
    await pods.converge(OWNER, [pod(server(port_of(tmp_path)))], {})
    await until(lambda: pods.state("yard.gate").readiness == "Ready")
    first = pods.state("yard.gate").containers[0].pid
    assert first
    os.kill(first, signal.SIGKILL)
    await until(lambda: pods.state("yard.gate").containers[0].restarts == 1)
    assert "signal 9" in pods.state("yard.gate").message
    await until(lambda: pods.state("yard.gate").readiness == "Ready")
    assert pods.state("yard.gate").containers[0].pid not in (None, first)


async def test_a_process_that_cannot_run_fails_with_its_last_words(pods: Pods, tmp_path: Path) -> None:
    await pods.converge(OWNER, [pod(program("raise SystemExit('config.json: line: missing')"))], {})
    await until(lambda: pods.state("yard.gate").containers[0].failures >= 2)
    state = pods.state("yard.gate")
    assert "exit status 1: config.json: line: missing" in state.message
    assert "config.json: line" in (tmp_path / "logs" / "yard.gate" / "edge.log").read_text()


async def test_a_program_that_does_not_exist_is_named(pods: Pods) -> None:
    await pods.converge(OWNER, [pod(ContainerSpec("edge", ("/no/such/program",), (), (), probed=False))], {})
    await until(lambda: pods.state("yard.gate").containers[0].failures >= 1)
    assert "cannot start /no/such/program" in pods.state("yard.gate").message


async def test_only_a_changed_template_replaces_a_pod_and_never_two_at_once(pods: Pods, tmp_path: Path) -> None:
    only_one = (
        "import os, signal, time\n"
        "mark = os.open('../../alone', os.O_CREAT | os.O_EXCL)\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.unlink('../../alone'), exit(0)))\n"
        "while True: time.sleep(0.02)\n"
    )
    await pods.converge(OWNER, [pod(program(only_one))], {})
    await until(lambda: (tmp_path / "alone").exists())
    first = pods.state("yard.gate").containers[0].pid
    await pods.converge(OWNER, [pod(program(only_one))], {})
    assert pods.state("yard.gate").containers[0].pid == first
    await asyncio.sleep(0.3)  # the program has its signal handler now
    await pods.converge(OWNER, [pod(program(only_one), mark="2")], {})
    await until(lambda: (tmp_path / "alone").exists())
    await asyncio.sleep(0.3)
    assert pods.state("yard.gate").containers[0].restarts == 0


async def test_what_a_plan_no_longer_lists_stops_with_its_children_and_files(pods: Pods, tmp_path: Path) -> None:
    with_child = (
        "import subprocess, sys, time\nprint(subprocess.Popen(['sleep', '600']).pid, flush=True)\ntime.sleep(600)"
    )
    await pods.converge(OWNER, [pod(program(with_child))], {})
    log = tmp_path / "logs" / "yard.gate" / "edge.log"
    await until(lambda: log.exists() and log.read_text().strip() != "")
    grandchild, child = int(log.read_text()), pods.state("yard.gate").containers[0].pid
    assert child
    assert alive(grandchild)
    await pods.converge(OWNER, [], {})
    assert not alive(child)
    await until(lambda: not alive(grandchild))
    assert pods.running == ()
    assert not (tmp_path / "pods" / "yard.gate").exists()


async def test_pods_of_other_owners_are_left_alone(pods: Pods) -> None:
    await pods.converge(OWNER, [pod(program("import time; time.sleep(600)"))], {})
    await pods.converge(None, [], {})
    assert [one.spec.id for one in pods.running] == ["yard.gate"]


async def test_a_process_that_ignores_the_request_is_killed_after_its_grace(reaper: Reaper, tmp_path: Path) -> None:
    deaf = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(600)"
    )
    log = LogFile(tmp_path / "log")
    process = Process(Launch((sys.executable, "-c", deaf), os.environ, tmp_path), log, reaper)
    await process.start()
    await until(lambda: log.last_words() == "deaf")
    assert await process.stop(grace=0.3) == -signal.SIGKILL


async def test_a_job_runs_once_to_its_end(pods: Pods, tmp_path: Path) -> None:
    job = pod(program("open('../../ran', 'a').write('x')", "trainer"), kind="Job")
    await pods.converge(OWNER, [job], {})
    await until(lambda: pods.state("yard.gate").readiness == "Succeeded")
    await pods.converge(OWNER, [job], {})
    assert Finished(tmp_path / "resources" / "jobs.json").get("yard.gate") is not None
    await pods.stop_all()
    await pods.converge(OWNER, [job], {})
    await asyncio.sleep(0.3)
    assert (tmp_path / "ran").read_text() == "x"
    await pods.converge(OWNER, [], {})
    assert pods.finished.get("yard.gate") is None


async def test_a_job_is_tried_as_often_as_its_limit_says(pods: Pods, tmp_path: Path) -> None:
    failing = program("import sys; open('../../ran', 'a').write('x'); sys.exit('no samples')", "trainer")
    await pods.converge(OWNER, [pod(failing, kind="Job", limit=1)], {})
    await until(lambda: pods.state("yard.gate").readiness == "Failed")
    assert (tmp_path / "ran").read_text() == "xx"
    assert "failed 2 times; trainer: exit status 1: no samples" in pods.state("yard.gate").message


async def test_a_job_that_takes_too_long_is_ended(pods: Pods) -> None:
    job = replace(pod(program("import time; time.sleep(600)", "trainer"), kind="Job"), deadline=0.5)
    await pods.converge(OWNER, [job], {})
    await until(lambda: pods.state("yard.gate").readiness == "Failed")
    assert pods.state("yard.gate").message == "did not end within 0.5 s"


async def test_a_job_runs_behind_what_answers(pods: Pods, tmp_path: Path) -> None:
    job = pod(program("import os; print(os.nice(0))", "trainer"), kind="Job")
    await pods.converge(OWNER, [job], {})
    await until(lambda: pods.state("yard.gate").readiness == "Succeeded")
    own = os.nice(0)
    assert (tmp_path / "logs" / "yard.gate" / "trainer.log").read_text() == f"{min(own + 10, 19)}\n"


WORLD = """
import asyncio, os, sys
from pathlib import Path
from umiak_operators.runtime.local.logfile import LogFile
from umiak_operators.runtime.local.process import Launch, Process, Reaper

async def main(root):
    reaper = Reaper()
    reaper.start()
    reaper.remove(root / "scratch")
    (root / "scratch").mkdir()
    ignores = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    log = LogFile(root / "log")
    process = Process(Launch((sys.executable, "-c", ignores), os.environ, root), log, reaper)
    await process.start()
    while log.last_words() != "up":
        await asyncio.sleep(0.02)
    print(process.pid, flush=True)
    await process.wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_nothing_outlives_a_world_that_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WORLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as world:
        assert world.stdout
        child = int(world.stdout.readline())
        assert alive(child)
        world.kill()
        world.wait()
        await until(lambda: not alive(child))
    await until(lambda: not (tmp_path / "scratch").exists())
