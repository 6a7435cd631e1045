"""`umiak token`: what it prints proves what it says, and a broken key is named."""

import io
from pathlib import Path

import pytest

from umiak_workers.cli.token import Holder, token
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.identity import Principal, verify

KEY = bytes(range(32))


@pytest.mark.parametrize("role", list(Holder))
def test_a_token_of_a_key_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], role: Holder) -> None:
    file = tmp_path / "operator.key"
    file.write_text(KEY.hex() + "\n")
    token(file, role)
    assert verify(KEY, capsys.readouterr().out.strip()) == Principal("-", "-", "-", role.value)


def test_a_key_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(KEY.hex().encode())))
    token()
    assert verify(KEY, capsys.readouterr().out.strip()).role == "operator"


@pytest.mark.parametrize("text", ["", "no hex"])
def test_a_broken_key_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "operator.key"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"operator\.key: .*hex text"):
        token(file)
