"""Configs are strict, name the field, and survive the loss of their files."""

import datetime
import json
import ssl
from pathlib import Path

import pytest

from umiak_operators.cli.certificates import new_authority
from umiak_workers.adapters.configfile import Loaded, durable_write, load
from umiak_workers.contract.config import MinerRule, RouterConfig, SignerConfig, parse_config
from umiak_workers.contract.endpoints import HUB, Endpoints
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.messages import LiveRule
from umiak_workers.contract.wire import parse

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
        {"miner": "Entropy", "threshold": 0.1, "bytes_per_second": 1000},
        {"miner": "Entropy", "bytes_per_second": 0},
        {"miner": "Entropy", "cost": {"per_hour": 1}},
        {"miner": "Entropy", "cost": {"per_hour": 0, "per_upload": 1}},
        {"miner": "Entropy", "cost": {"per_hour": 1, "per_uplaod": 1}},
        {"miner": "Entropy", "budget": 0.1, "calibration": [[0, 0], [1, 1]]},
        {"miner": "Entropy", "threshold": 0.1, "calibration": [[0, 0.5], [1, 0.4]]},
        {"miner": "BoxThreshold", "threshold": 0.1},
        {"miner": "IBT", "threshold": 0.1},
    ],
)
def test_a_rule_is_one_threshold_or_one_budget(rule: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="rules"):
        parse_config(RouterConfig, json.dumps({**ROUTER, "rules": [rule]}), "config.json")


@pytest.mark.parametrize(
    ("video", "says"),
    [
        ({}, "exactly one of uri, file and device"),
        ({"uri": "rtsp://a/b", "device": "/dev/video0"}, "exactly one of uri, file and device"),
        ({"uri": "rtsp://user:word@a/b"}, "uri"),
        ({"uri": "file:/etc/passwd"}, "uri"),
        ({"file": "/etc/passwd"}, "file"),
        ({"file": "a/../../b"}, "file"),
        ({"device": "/dev/sda"}, "device"),
        ({"uri": "rtsp://a/b", "realtime": True}, "a file's"),
        ({"device": "/dev/video0", "credentials": "c"}, "a stream's"),
        ({"file": "a.mp4", "frames_per_second": 0}, "frames_per_second"),
        ({"file": "a.mp4", "speed": 2}, "speed"),
    ],
)
def test_a_video_is_one_stream_file_or_device(video: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=rf"video.*{says}"):
        parse_config(RouterConfig, json.dumps({**ROUTER, "video": video}), "config.json")


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"miner": "CloudOnly"}, "plain"),
        ({"miner": "Entropy", "threshold": 0.0}, "threshold"),
        ({"miner": "Entropy", "threshold": 0.1, "calibration": [[0.2, 0.0], [0.9, 0.3]]}, "calibrated threshold"),
        ({"miner": "Entropy", "budget": 0.0}, "budget"),
        ({"miner": "Entropy", "bytes_per_second": 1000}, "bytes_per_second"),
        ({"miner": "Entropy", "cost": {"per_hour": 1, "per_megabyte": 0.02}}, "cost"),
        ({"miner": "IBT", "budget": 0.1, "certain": 0.5, "nothing_found": 1}, "budget"),
    ],
)
def test_a_rule_has_a_kind_and_travels_live(rule: dict[str, object], kind: str) -> None:
    config = parse_config(RouterConfig, json.dumps({**ROUTER, "rules": [rule]}), "config.json")
    assert config.rules[0].kind == kind
    live = parse(LiveRule, LiveRule.model_validate(config.rules[0].model_dump()).model_dump_json(exclude_none=True))
    assert MinerRule.model_validate(live.model_dump()) == config.rules[0]


def test_regions_are_off_unless_asked_for_and_then_strict() -> None:
    assert parse_config(RouterConfig, json.dumps({**ROUTER, "rules": [{"miner": "CloudOnly"}]}), "x").regions is None
    for wrong in ({}, {"threshold": 1.1}, {"threshold": 0.5, "cell": 1}, {"threshold": 0.5, "learning": "Some"}):
        with pytest.raises(ConfigError, match="regions"):
            parse_config(RouterConfig, json.dumps({**ROUTER, "regions": wrong}), "config.json")
    regions = parse_config(RouterConfig, json.dumps({**ROUTER, "regions": {"threshold": 0.5}}), "x").regions
    assert regions is not None
    told = (regions.cell, regions.codec, regions.quality, regions.learning)
    assert told == (2, "AVIF", 40, "WholePhotoLater")


def test_only_a_segmentation_has_regions() -> None:
    of_classes = {**ROUTER, "task": "image-classification"}
    assert parse_config(RouterConfig, json.dumps(of_classes), "x").task == "image-classification"
    with pytest.raises(ConfigError, match="regions: image-classification is of the whole photo"):
        parse_config(RouterConfig, json.dumps({**of_classes, "regions": {"threshold": 0.5}}), "x")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"miner": "BoxThreshold", "threshold": 0.5}, "need nothing_found"),
        ({"miner": "Entropy", "threshold": 0.5, "nothing_found": 1}, "need nothing_found"),
        ({"miner": "IBT", "threshold": 0.5, "nothing_found": 1}, "IBT needs certain"),
        ({"miner": "BoxThreshold", "threshold": 0.5, "nothing_found": 1, "certain": 0.5}, "IBT needs certain"),
    ],
)
def test_rules_of_boxes_say_what_nothing_means(rule: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
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


def authority(name: str) -> str:
    """A certificate that signs others, PEM."""
    return new_authority(name, datetime.datetime.now(datetime.UTC)).certificate.decode()


def trusted(loaded: Loaded[RouterConfig], name: str) -> bool:
    """Whether an authority of that name is among those that clients believe."""
    subjects = [dict(pair for part in found["subject"] for pair in part) for found in loaded.trust.get_ca_certs()]
    return any(subject.get("commonName") == name for subject in subjects)


def test_authorities_beside_the_config_are_believed_beside_those_of_the_machine(tmp_path: Path) -> None:
    file = written(tmp_path / "mount", ROUTER)
    own = load(RouterConfig, file, None, "router").trust.get_ca_certs()
    (tmp_path / "mount" / "ca.crt").write_text("# première\n" + authority("first") + authority("second"))
    loaded = load(RouterConfig, file, None, "router")
    assert trusted(loaded, "first")
    assert trusted(loaded, "second")
    assert len(loaded.trust.get_ca_certs()) == len(own) + 2
    assert (loaded.trust.verify_mode, loaded.trust.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_authorities_survive_an_empty_mount_and_leave_when_they_are_taken_away(tmp_path: Path) -> None:
    file, state, ca = written(tmp_path / "mount", ROUTER), tmp_path / "state", tmp_path / "mount" / "ca.crt"
    ca.write_text(authority("ours"))
    load(RouterConfig, file, state, "router")
    ca.write_text("")
    assert trusted(load(RouterConfig, file, state, "router"), "ours"), "one empty file is a mount that was lost"
    for name in ("config.json", "endpoints.json", "token", "ca.crt"):
        (tmp_path / "mount" / name).unlink()
    assert trusted(load(RouterConfig, file, state, "router"), "ours")
    written(tmp_path / "mount", ROUTER)
    assert not trusted(load(RouterConfig, file, state, "router"), "ours"), "a whole mount without them means none"
    file.unlink()
    assert not trusted(load(RouterConfig, file, state, "router"), "ours")


def test_authorities_that_are_none_are_named(tmp_path: Path) -> None:
    file = written(tmp_path / "mount", ROUTER)
    (tmp_path / "mount" / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigError, match=r"mount/ca\.crt: expected certificates in PEM"):
        load(RouterConfig, file, None, "router")
    (tmp_path / "mount" / "ca.crt").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"mount/ca\.crt: expected certificates in PEM"):
        load(RouterConfig, file, None, "router")


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
