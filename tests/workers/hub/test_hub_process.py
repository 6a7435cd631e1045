"""Starting and ending the hub's process: every wrong start is one line, a normal end is quick and says 0."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_kit import TRUSTED, HubKit, hub_config, make_hub

from umiak_workers.adapters import process
from umiak_workers.contract.errors import ConfigError
from umiak_workers.hub.__main__ import alone, main

pytestmark = pytest.mark.processes


def ends(kit: HubKit, code: int, *says: str) -> None:
    """It ends with `code` and one line that says so."""
    kit.role.start()
    assert kit.role.wait_exit(180) == code
    (line,) = kit.role.log().splitlines()
    for text in says:
        assert text in line


@pytest.fixture
def kit(role: Any, tmp_path: Path) -> HubKit:
    return make_hub(role, tmp_path / "state", hub_config(), {})


def test_a_taken_port_is_one_line(kit: HubKit) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", kit.port))
        taken.listen()
        ends(kit, 1, str(kit.port), "taken")


def test_an_unknown_key_is_one_line(kit: HubKit) -> None:
    (kit.role.folder / "config.json").write_text(f'{{"trusted_keys": ["{TRUSTED[0]}"], "colour": 1}}')
    ends(kit, 2, "config.json", "colour")


def raises(kit: HubKit, says: str) -> None:
    """Its main ends before it listens, saying so (`process.run` makes one line of it)."""
    given = process.Arguments(kit.role.folder / "config.json", kit.state)
    with pytest.raises(ConfigError, match=says):
        asyncio.run(main(given, asyncio.Event()))


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("config.json", '{"trusted_keys": []}', "trusted_keys"),
        ("config.json", '{"trusted_keys": ["AAAA"]}', "trusted_keys"),
        (
            "config.json",
            f'{{"trusted_keys": ["{TRUSTED[0]}"], "database_file": "url"}}',
            "database_file .*/url: No such",
        ),
        ("endpoints.json", "{}", "umiak://listen/hub"),
        ("operator.key", "zz", r"operator\.key"),
        ("operator.key", None, r"operator\.key"),
        ("config.json", None, r"config\.json"),
    ],
)
def test_a_wrong_start_names_what_is_wrong(kit: HubKit, file: str, text: str | None, says: str) -> None:
    path = kit.role.folder / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    raises(kit, says)


def test_a_state_that_is_no_folder_is_named(kit: HubKit) -> None:
    kit.state.write_text("a file")
    raises(kit, "--state")


def test_a_state_that_another_hub_holds_is_named(kit: HubKit) -> None:
    kit.state.mkdir()
    with alone(kit.state):
        raises(kit, "another hub")


def test_a_damaged_database_is_named(kit: HubKit) -> None:
    kit.state.mkdir()
    (kit.state / "hub.db").write_bytes(b"not a database" * 100)
    raises(kit, "not a database")


def test_it_ends_when_asked_and_keeps_everything(new_hub: Callable[..., HubKit]) -> None:
    hub = new_hub()
    spec = hub.replay_of_one()
    before = hub.view(spec)
    assert hub.role.stop() == 0
    assert "Traceback" not in hub.role.log()
    hub.start()
    assert hub.view(spec).owner == before.owner


def test_descriptors_and_threads_stay_bounded(new_hub: Callable[..., HubKit]) -> None:
    hub = new_hub()
    spec = hub.replay_of_one()
    proc = Path(f"/proc/{hub.role.process.pid}")

    def open_files() -> int:
        return len(os.listdir(proc / "fd"))

    for _ in range(60):
        hub.view(spec)
        hub.client("cloud").head(hub.line)
    hub.stop()
    first = open_files()
    for _ in range(60):
        hub.view(spec)
        hub.client("cloud").head(hub.line)
    hub.stop()
    assert open_files() <= first + 20
