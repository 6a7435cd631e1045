"""A real PostgreSQL of this machine for tests: made in a folder of its own, as somebody who is not root, and ended."""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hub_kit import free_port

PASSWORD = "p@ss/w:rd 100%"
"""With everything that a URL has to escape."""
_NOBODY = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
_CHEAP = ["-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_wal_size=64MB"]
"""A killed server still has every commit; only a machine that loses its power would not."""
_BASES = itertools.count(1)


def programs() -> Path | None:
    """The folder of the newest `initdb` and `postgres` that are installed; Debian keeps them off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda file: float(file.parts[-3]))
    program = str(found[-1]) if found else shutil.which("postgres")
    return Path(program).resolve().parent if program else None


@dataclass
class Postgres:
    """A server on loopback that asks for a password."""

    folder: Path
    bin: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def make(self) -> "Postgres":
        """Make its files."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if os.getuid() == 0:
            for place in (self.folder, secret):
                shutil.chown(place, "nobody", "nogroup")
        asked = ["--username=umiak", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        command = [*self._tied(), str(self.bin / "initdb"), "-D", str(self._data), *asked, "--locale=C"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return self

    def start(self) -> "Postgres":
        """Start it (again) and wait until it answers."""
        command = [*self._tied(), str(self.bin / "postgres"), "-D", str(self._data), "-k", str(self.folder), *_CHEAP]
        with self._log.open("ab") as log:
            here = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
            self.process = subprocess.Popen([*command, *here], stdout=log, stderr=log, cwd=self.folder)
        until = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.1)
        return self

    def crash(self) -> None:
        """Gone without a word to anybody: every connection breaks, nothing is tidied up (SIGQUIT)."""
        self._end("QUIT")

    def stop(self) -> None:
        """Gone for good."""
        self._end("INT")

    def url(self, base: str = "umiak", password: str = PASSWORD) -> str:
        """The URL of a database, as a person writes it."""
        return f"postgresql://umiak:{quote(password, safe='')}@127.0.0.1:{self.port}/{base}"

    def new(self) -> str:
        """The URL of a database that nothing was written to."""
        base = f"hub_{next(_BASES)}"
        self._sql(f"CREATE DATABASE {base}")
        return self.url(base)

    def _answers(self) -> bool:
        try:
            self._sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _sql(self, text: str) -> None:
        given = {"user": "umiak", "password": PASSWORD, "dbname": "postgres", "connect_timeout": 5}
        with psycopg.connect(host="127.0.0.1", port=self.port, autocommit=True, **given) as connection:
            connection.execute(text.encode())

    def _end(self, signal: str) -> None:
        if self.process is not None and self.process.poll() is None:
            subprocess.run(["kill", f"-{signal}", str(self.process.pid)], check=True, timeout=10)
            self.process.wait(60)

    def _tied(self) -> list[str]:
        """PostgreSQL refuses to be root; and it ends when the tests do, however they end."""
        return ["setpriv", *(_NOBODY if os.getuid() == 0 else []), "--pdeathsig", "INT"]

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "postgres.log"


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A server of its own; a named skip where none is installed, a failure where everything has to be there."""
    place = programs()
    if place is None or shutil.which("setpriv") is None:
        if os.environ.get("CI"):
            pytest.fail("missing PostgreSQL (apt-get install postgresql)")
        pytest.skip("needs PostgreSQL (apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="umiak-postgres-") as folder:  # pytest's own are closed to others
        found = Postgres(Path(folder), place).make()
        try:
            yield found.start()
        finally:
            found.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the session."""
    with running() as found:
        yield found


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server for a test that lets it crash."""
    with running() as found:
        yield found
