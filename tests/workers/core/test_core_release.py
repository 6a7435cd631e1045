"""Only what a trusted key signed, whole and in order, is taken (I3)."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.errors import ConfigError, ReleaseError
from umiak_workers.contract.release import Envelope, Release, ReleaseFile, Signature, pre_authentication_encoding
from umiak_workers.core.release import check_acceptable, key_id, public_text, sign, verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
TRUSTED = (public_text(KEY),)
digests = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__)
releases = st.builds(
    Release,
    line=st.sampled_from(("yard/base", "plant-2/street.v1")),
    sequence=st.integers(1, 2**53),
    from_digest=st.none() | digests,
    to_digest=digests,
    files=st.lists(
        st.builds(ReleaseFile, name=st.just("graph.onnx"), digest=digests, size=st.integers(0, 2**40)), max_size=3
    ).map(tuple),
    owner=st.text(max_size=40),
    created_at=st.floats(0, 4e9),
)
RELEASE = Release(line="yard/base", sequence=3, to_digest="sha256:" + "a" * 64, files=(), created_at=1.0)


@given(releases)
def test_what_was_signed_is_what_is_read(release: Release) -> None:
    assert verify(sign(release, KEY), TRUSTED) == release


@given(releases, st.data())
def test_one_changed_byte_is_noticed(release: Release, data: st.DataObject) -> None:
    envelope = sign(release, KEY)
    payload = bytearray(envelope.payload_bytes())
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    altered = envelope.model_copy(update={"payload": base64.b64encode(payload).decode()})
    with pytest.raises(ReleaseError, match="altered"):
        verify(altered, TRUSTED)


@given(st.binary(max_size=100), st.text(max_size=100))
def test_noise_as_signature_is_refused(noise: bytes, text: str) -> None:
    envelope = sign(RELEASE, KEY)
    for sig in (base64.b64encode(noise).decode(), text):
        forged = envelope.model_copy(update={"signatures": (Signature(keyid=key_id(TRUSTED[0]), sig=sig),)})
        with pytest.raises(ReleaseError):
            verify(forged, TRUSTED)


def test_unsigned_is_refused() -> None:
    with pytest.raises(ReleaseError, match="not signed"):
        verify(sign(RELEASE, KEY).model_copy(update={"signatures": ()}), TRUSTED)


def test_a_strangers_signature_is_refused_also_under_a_trusted_name() -> None:
    envelope = sign(RELEASE, STRANGER)
    with pytest.raises(ReleaseError, match="no key that is trusted"):
        verify(envelope, TRUSTED)
    renamed = Signature(keyid=key_id(TRUSTED[0]), sig=envelope.signatures[0].sig)
    with pytest.raises(ReleaseError, match="altered"):
        verify(envelope.model_copy(update={"signatures": (renamed,)}), TRUSTED)


def test_one_trusted_signature_beside_a_strangers_is_enough() -> None:
    both = sign(RELEASE, STRANGER).signatures + sign(RELEASE, KEY).signatures
    assert verify(sign(RELEASE, KEY).model_copy(update={"signatures": both}), TRUSTED) == RELEASE


def test_a_signature_cannot_move_to_another_kind_of_document() -> None:
    envelope = sign(RELEASE, KEY)
    with pytest.raises(ReleaseError, match="not a release"):
        verify(envelope.model_copy(update={"payload_type": "text/plain"}), TRUSTED)
    other = KEY.sign(pre_authentication_encoding("text/plain", RELEASE.canonical()))
    moved = Signature(keyid=key_id(TRUSTED[0]), sig=base64.b64encode(other).decode())
    with pytest.raises(ReleaseError, match="altered"):
        verify(envelope.model_copy(update={"signatures": (moved,)}), TRUSTED)


def test_a_signed_payload_that_is_no_release_is_refused() -> None:
    payload = b'{"line": "yard/base"}'
    sig = base64.b64encode(
        KEY.sign(pre_authentication_encoding(Envelope(payload="", signatures=()).payload_type, payload))
    )
    envelope = Envelope(
        payload=base64.b64encode(payload).decode(),
        signatures=(Signature(keyid=key_id(TRUSTED[0]), sig=sig.decode()),),
    )
    with pytest.raises(ReleaseError, match="sequence"):
        verify(envelope, TRUSTED)


def test_payload_that_is_not_base64_is_refused() -> None:
    with pytest.raises(ReleaseError, match="base64"):
        verify(sign(RELEASE, KEY).model_copy(update={"payload": "*"}), TRUSTED)


@pytest.mark.parametrize("key", ["*", base64.b64encode(b"short").decode()])
def test_a_trusted_key_that_is_none_is_a_config_error(key: str) -> None:
    with pytest.raises(ConfigError, match="trusted_keys"):
        verify(sign(RELEASE, KEY), (key,))


@given(st.lists(releases, max_size=12))
def test_an_accepted_sequence_never_decreases(offered: list[Release]) -> None:
    accepted, digest = 0, None
    for release in offered:
        try:
            check_acceptable(release, "yard/base", accepted, digest)
        except ReleaseError:
            assert release.line != "yard/base" or release.sequence <= accepted
            continue
        assert release.sequence >= accepted
        assert release.sequence > accepted or digest in (None, release.to_digest)
        accepted, digest = release.sequence, release.to_digest


def test_the_same_sequence_for_another_model_is_refused() -> None:
    check_acceptable(RELEASE, "yard/base", 3, RELEASE.to_digest)
    with pytest.raises(ReleaseError, match="accepted before"):
        check_acceptable(RELEASE, "yard/base", 3, "sha256:" + "b" * 64)


def test_another_lines_release_is_refused() -> None:
    with pytest.raises(ReleaseError, match="line"):
        check_acceptable(RELEASE, "yard/other", 0)
