"""Configs are strict, name the field, and survive the loss of their files."""

import json
from pathlib import Path

import pytest

from umiak_workers.adapters.configfile import durable_write, load
from umiak_workers.contract.config import MinerRule, RouterConfig, SignerConfig, parse_config
from umiak_workers.contract.endpoints import HUB, Endpoints
from umiak_workers.contract.errors import ConfigError

ROUTER = {
    "namespace": "default",
    "resource": "yard",
    "edge": "edge-1",
    "line": "default/yard-edge",
    "rules": [{"miner": "ScoreMargin", "threshold": 0.3}],
}


def written(folder: Path, config: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "endpoints.json").write_text(json.dumps({HUB: "http://127.0.0.1:1"}))
    (folder / "token").write_text("token\n")
    return folder / "config.json"


def test_an_unknown_key_is_an_error_that_names_file_and_key() -> None:
    with pytest.raises(ConfigError, match=r"/etc/umiak/config\.json: treshold"):
        parse_config(RouterConfig, json.dumps({**ROUTER, "treshold": 1}), "/etc/umiak/config.json")


@pytest.mark.parametrize(
    "rule",
    [
        {"miner": "ScoreMargin"},
        {"miner": "ScoreMargin", "threshold": 0.1, "budget": 0.1},
        {"miner": "ScoreMargin", "threshold": 1.1},
        {"miner": "Guess", "threshold": 0.1},
    ],
)
def test_a_rule_is_threshold_or_budget(rule: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="rules"):
        parse_config(RouterConfig, json.dumps({**ROUTER, "rules": [rule]}), "config.json")


def test_constant_rules_take_neither() -> None:
    assert MinerRule(miner="CloudOnly").threshold is None


def test_a_missing_file_and_a_missing_endpoint_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json: No such file"):
        load(SignerConfig, tmp_path / "config.json", None, "signer")
    with pytest.raises(ConfigError, match="umiak://broker"):
        Endpoints.parse(b"{}").resolve("umiak://broker")
    with pytest.raises(ConfigError, match=r"endpoints\.json"):
        Endpoints.parse(b'{"umiak://hub": 5}')


def test_the_last_good_copy_is_used_when_the_mount_comes_back_empty(tmp_path: Path) -> None:
    file, state = written(tmp_path / "mount", ROUTER), tmp_path / "state"
    first = load(RouterConfig, file, state, "router")
    for name in ("config.json", "endpoints.json", "token"):
        (tmp_path / "mount" / name).write_text("")
    again = load(RouterConfig, file, state, "router")
    assert (again.config, again.token) == (first.config, "token")
    assert again.endpoints.resolve(HUB) == "http://127.0.0.1:1"


def test_a_new_config_that_is_wrong_is_an_error_and_not_hidden_by_the_copy(tmp_path: Path) -> None:
    file, state = written(tmp_path / "mount", ROUTER), tmp_path / "state"
    load(RouterConfig, file, state, "router")
    file.write_text('{"edge": 5}')
    with pytest.raises(ConfigError, match="edge"):
        load(RouterConfig, file, state, "router")


def test_durable_write_replaces_the_whole_file_and_leaves_no_other(tmp_path: Path) -> None:
    durable_write(tmp_path / "a", b"one")
    durable_write(tmp_path / "a", b"two")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a": b"two"}
