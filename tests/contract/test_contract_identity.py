"""Identity: a token proves exactly one principal under exactly one key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.errors import IdentityError
from umiak_workers.contract.identity import (
    ROLES,
    Principal,
    claimed,
    password,
    resource_key,
    token,
    verify,
    verify_within,
)

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
PRINCIPALS = st.builds(Principal, NAMES, NAMES, st.one_of(st.just("-"), NAMES), st.sampled_from(sorted(ROLES)))


@given(PRINCIPALS, st.binary(min_size=1, max_size=64))
def test_a_token_proves_its_principal(principal: Principal, key: bytes) -> None:
    assert verify(key, token(key, principal)) == principal
    assert Principal.parse(str(principal)) == principal


@given(PRINCIPALS, PRINCIPALS)
def test_a_password_is_not_good_for_anybody_else(one: Principal, other: Principal) -> None:
    forged = token(b"key", one).partition(".")[0] + "." + password(b"key", other)
    if one == other:
        assert verify(b"key", forged) == one
    else:
        with pytest.raises(IdentityError, match="does not verify"):
            verify(b"key", forged)


@given(PRINCIPALS, PRINCIPALS, st.binary(min_size=1, max_size=64))
def test_a_resources_key_proves_its_own_principals_alone(one: Principal, other: Principal, key: bytes) -> None:
    own = resource_key(key, one.namespace, one.resource)
    assert verify_within(own, token(key, one)) == one
    if (one.namespace, one.resource) != (other.namespace, other.resource):
        with pytest.raises(IdentityError, match="does not verify"):
            verify_within(own, token(key, other))
    with pytest.raises(IdentityError, match="does not verify"):
        verify_within(key, token(key, one))


def test_another_key_proves_nothing() -> None:
    text = token(b"one", Principal("default", "yard", "edge-1", "router"))
    assert claimed(text).edge == "edge-1"
    with pytest.raises(IdentityError):
        verify(b"two", text)


@pytest.mark.parametrize("text", ["", ".", "a.b", "====.00", "\u00e9.00", "a/b/c/edge", "x" * 5000])
def test_noise_is_refused_as_such(text: str) -> None:
    with pytest.raises(IdentityError):
        verify(b"key", text)


@pytest.mark.parametrize("text", ["a/b/c", "a/b/c/root", "a/b/../edge", "A/b/c/edge", "a/b/c/d/edge", "a//c/edge"])
def test_a_principal_has_four_clean_parts(text: str) -> None:
    with pytest.raises(IdentityError, match="not a principal"):
        Principal.parse(text)
