"""A token proves exactly one principal, and no noise gets past or breaks the gate."""

from functools import partial
from pathlib import Path

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.adapters.auth import Gate, read_key
from umiak_workers.contract.errors import ConfigError, IdentityError
from umiak_workers.contract.identity import Principal, token, verify

KEY = bytes(range(32))
WHO = Principal("plant", "yard", "edge-1", "agent")
GATE = Gate(partial(verify, KEY))


def request(authorization: str | None) -> Request:
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1", "replace"))]
    return Request({"type": "http", "headers": headers})


def test_a_token_proves_its_principal() -> None:
    assert GATE(request(f"Bearer {token(KEY, WHO)}")) == WHO


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz"])
def test_no_token_is_said_so(header: str | None) -> None:
    with pytest.raises(IdentityError, match="bearer token is needed"):
        GATE(request(header))


def test_another_installations_token_is_refused() -> None:
    with pytest.raises(IdentityError, match="does not verify"):
        GATE(request(f"Bearer {token(bytes(32), WHO)}"))


def test_a_token_does_not_speak_for_another_principal() -> None:
    other = token(KEY, Principal("plant", "yard", "edge-2", "agent"))
    with pytest.raises(IdentityError, match="does not verify"):
        GATE(request(f"Bearer {other.partition('.')[0]}.{token(KEY, WHO).partition('.')[2]}"))


@given(st.text(st.characters(max_codepoint=255)))
def test_noise_is_refused_as_such(noise: str) -> None:
    for text in (noise, f"{noise}.{noise}", f"{token(KEY, WHO)}{noise or 'x'}"):
        with pytest.raises(IdentityError):
            GATE.prove(text)


@pytest.mark.parametrize(("text", "says"), [("zz", "hex"), ("00", "16 bytes"), ("", "16 bytes")])
def test_a_wrong_key_file_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "operator.key").write_text(text)
    with pytest.raises(ConfigError, match=rf"operator\.key.*{says}"):
        read_key(tmp_path / "operator.key")


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"operator\.key"):
        read_key(tmp_path / "operator.key")
