"""`umiak model push` against a real hub, by URL and by the state folder of a local world."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_kit import OPERATOR_KEY, HubKit, token_of
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import builtin_folder
from umiak_workers.cli.model import app
from umiak_workers.contract.endpoints import HUB
from umiak_workers.contract.errors import ArtefactError, ConfigError, IdentityError
from umiak_workers.contract.world import STATUS_FILE, World

pytestmark = pytest.mark.processes
Models = Callable[[int], tuple[Path, str]]


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, standalone_mode=False)
    return done.output


def test_a_model_pushed_by_url_is_there(hub: HubKit, models: Models, tmp_path: Path) -> None:
    folder, digest = models(70)
    (tmp_path / "token").write_text(token_of("operator") + "\n")
    assert digest in run("push", folder, "--hub", hub.url, "--token-file", tmp_path / "token")
    assert hub.client("agent").manifest_bytes(digest) == (folder / "manifest.json").read_bytes()


def test_a_model_pushed_to_a_local_world_is_there(hub: HubKit, models: Models, tmp_path: Path) -> None:
    folder, digest = models(71)
    (tmp_path / "operator.key").write_text(OPERATOR_KEY.hex())
    world = World(at=0, pid=os.getpid(), endpoints={HUB: hub.url}, operator_key_file=str(tmp_path / "operator.key"))
    (tmp_path / STATUS_FILE).write_text(world.model_dump_json())
    assert digest in run("push", folder, "--state", tmp_path)
    assert hub.client("agent").manifest_bytes(digest) is not None


def test_a_built_in_model_is_pushed_by_its_name(hub: HubKit, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token_of("operator"))
    known = hub.url, "--token-file", tmp_path / "token"
    digest = run("push", "builtin:yard-edge", "--hub", *known).split()[0]
    assert hub.client("agent").manifest_bytes(digest) == (builtin_folder("yard-edge") / "manifest.json").read_bytes()
    with pytest.raises(ArtefactError, match="no built-in model"):
        run("push", "builtin:nothing", "--hub", *known)


def test_what_is_missing_is_said(hub: HubKit, models: Models, tmp_path: Path) -> None:
    folder, _ = models(72)
    with pytest.raises(ConfigError, match="--token-file"):
        run("push", folder, "--hub", hub.url)
    (tmp_path / "token").write_text(token_of("viewer"))
    with pytest.raises(IdentityError, match="may not PUT"):
        run("push", folder, "--hub", hub.url, "--token-file", tmp_path / "token")
