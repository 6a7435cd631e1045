"""Certificates of an installation: what an authority signs, how long, and when another one is due."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.x509 import DNSName, IPAddress
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from umiak_operators.cli.certificates import LIFE, Pair, new_authority, new_certificate, why_new
from umiak_workers.contract.errors import ConfigError

NOW = datetime.datetime(2026, 11, 21, 9, tzinfo=datetime.UTC)
YEAR = datetime.timedelta(days=365)
HOSTS = ("gate.example", "192.0.2.7", "2001:db8::7")


@pytest.fixture(scope="module")
def authority() -> Pair:
    return new_authority("Umiak, test", NOW)


def parsed(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def accepted(pair: Pair, authority: Pair, host: str, at: datetime.datetime = NOW) -> bool:
    """What a strict client says: chain, usage, life and name."""
    subject = IPAddress(ipaddress.ip_address(host)) if ":" in host or host.replace(".", "").isdigit() else DNSName(host)
    verifier = PolicyBuilder().store(Store([parsed(authority)])).time(at).build_server_verifier(subject)
    try:
        verifier.verify(parsed(pair), [])
    except VerificationError:
        return False
    return True


def test_a_strict_client_takes_it_for_its_hosts_and_its_life_alone(authority: Pair) -> None:
    pair = new_certificate(authority, HOSTS, NOW)
    assert all(accepted(pair, authority, host) for host in HOSTS)
    assert not accepted(pair, authority, "other.example")
    assert not accepted(pair, authority, "192.0.2.8")
    assert not accepted(pair, authority, HOSTS[0], NOW + LIFE + datetime.timedelta(hours=1))
    assert accepted(pair, authority, HOSTS[0], NOW - datetime.timedelta(hours=20)), "an edge's clock is behind"
    assert not accepted(pair, new_authority("another", NOW), HOSTS[0])


def test_it_signs_nothing_itself_and_the_authority_nothing_deeper(authority: Pair) -> None:
    leaf = new_certificate(authority, HOSTS, NOW)
    assert parsed(leaf).extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert parsed(authority).extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    below = new_certificate(leaf, HOSTS, NOW)
    assert not accepted(below, authority, HOSTS[0])


def test_ten_years_and_one(authority: Pair) -> None:
    assert parsed(authority).not_valid_after_utc == NOW + 10 * YEAR
    assert parsed(new_certificate(authority, HOSTS, NOW)).not_valid_after_utc == NOW + YEAR
    late = NOW + 10 * YEAR - datetime.timedelta(days=30)
    assert parsed(new_certificate(authority, HOSTS, late)).not_valid_after_utc == NOW + 10 * YEAR
    with pytest.raises(ConfigError, match=r"expired on 2036-11-18"):
        new_certificate(authority, HOSTS, NOW + 10 * YEAR)


def test_it_is_made_again_in_its_last_third_and_not_before(authority: Pair) -> None:
    pair = new_certificate(authority, HOSTS, NOW)
    assert why_new(pair, authority, HOSTS, NOW) is None
    assert why_new(pair, authority, tuple(reversed(HOSTS)), NOW + datetime.timedelta(days=240)) is None
    assert why_new(pair, authority, HOSTS, NOW + datetime.timedelta(days=250)) == "it expires on 2027-11-21"
    assert why_new(pair, authority, HOSTS, NOW + 2 * YEAR) == "it expires on 2027-11-21"


def test_it_is_made_again_where_it_does_not_fit(authority: Pair) -> None:
    pair, other = new_certificate(authority, HOSTS, NOW), new_certificate(authority, HOSTS, NOW)
    assert why_new(pair, authority, HOSTS[:1], NOW) == "edges dial other hosts now"
    assert why_new(pair, new_authority("another", NOW), HOSTS, NOW) == "the authority did not sign it (ValueError)"
    mixed = Pair(pair.certificate, other.key)
    assert why_new(mixed, authority, HOSTS, NOW) == "certificate and key do not belong together"
    assert "damaged" in str(why_new(Pair(b"", b""), authority, HOSTS, NOW))
    with pytest.raises(ConfigError, match="damaged"):
        new_certificate(Pair(b"x", b"y"), HOSTS, NOW)


def test_a_long_name_is_no_trouble(authority: Pair) -> None:
    host = ".".join(["a" * 60] * 4)
    assert accepted(new_certificate(authority, (host,), NOW), authority, host)
