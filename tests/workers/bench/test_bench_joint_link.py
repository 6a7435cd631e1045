"""The way to the cloud: computed, and really gone through Toxiproxy where there is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from umiak_workers.bench.joint.emulation import Emulation, FarEnd, emulated, emulation
from umiak_workers.bench.joint.link import Link, Sending, affordable, evenly
from umiak_workers.bench.joint.spending import Spent, Taken, spending
from umiak_workers.contract.errors import ConfigError, Unavailable

LINK = Link(2e6, 0.06)


def test_a_computed_link_is_bytes_over_rate_and_a_round_trip() -> None:
    assert LINK.milliseconds(up=20_000, down=5_000) == pytest.approx(1000 * (200_000 / 2e6 + 0.06))


def test_photos_of_the_sample_are_carried_once_and_others_never() -> None:
    gone: list[tuple[bytes, bytes]] = []

    def carry(upload: bytes, answer: bytes) -> float:
        gone.append((upload, answer))
        return 100.0 + len(gone)

    sending = Sending(LINK, carry, ("first", "third"))
    first = [sending.send("first", "whole", b"photo", b"labels") for _ in range(3)]
    other = sending.send("first", "parts", b"part", b"label")
    away = sending.send("second", "whole", b"photo", b"labels")
    assert [sent.emulated for sent in (*first, other, away)] == [101, 101, 101, 102, None]
    assert away.computed == first[0].computed == LINK.milliseconds(5, 6)
    assert gone == [(b"photo", b"labels"), (b"part", b"label")]
    assert (sending.unsent("third"), sending.unsent("second")) == (0, None)
    whole, parts = sending.kinds()
    assert (whole.name, whole.uploads, whole.up, whole.emulated["mean"]) == ("whole", 1, 5, 101)
    assert (parts.name, parts.uploads, parts.down) == ("parts", 1, 5)


def test_latency_is_that_of_carried_photos_where_there_are_any_beside_the_computed_one_of_the_same() -> None:
    own = {"edge": Taken(10, 9), "link": Taken(50), "cloud": Taken(20, 18)}
    carried, not_carried, stayed = Spent(own, 90), Spent(own), Spent({"edge": Taken(10, 9)}, 0)
    only_computed = spending([not_carried], 85)
    assert (only_computed.latency["mean"], only_computed.deadline_hits, only_computed.carried) == (80, 1, 0)
    found = spending([carried, not_carried, stayed], 85)
    assert found.latency["mean"] == pytest.approx((120 + 10) / 2)
    assert found.computed["mean"] == pytest.approx((80 + 10) / 2)
    assert (found.deadline_hits, found.computed_hits, found.carried) == (0.5, 1, 2)
    assert found.stages["link"]["mean"] == 45
    assert (found.cpu_edge, found.cpu_cloud) == (9, 12)


@pytest.mark.parametrize(("most", "chosen"), [(1, "a"), (2, "ae"), (3, "ace"), (5, "abcde"), (9, "abcde")])
def test_a_sample_is_spread_evenly(most: int, chosen: str) -> None:
    assert "".join(evenly("abcde", most)) == chosen


def test_a_slow_link_carries_fewer_photos() -> None:
    assert affordable(50, 1_000) == 50
    assert affordable(50, 24_000) == 10
    assert affordable(50, 1e9) == 1


def test_a_link_in_toxiproxys_whole_numbers() -> None:
    assert emulated(Link(20e6, 0.045)) == (2500, (23, 22))
    with pytest.raises(ConfigError, match=r"at least 0\.008 Mbit/s"):
        emulated(Link(1000, 0.04))


@pytest.fixture(scope="module")
def carrying(toxiproxy: Path) -> Iterator[Emulation]:
    with emulation(toxiproxy, LINK) as found:
        yield found


@pytest.mark.processes
def test_an_emulated_link_takes_at_least_as_long_as_the_computed_one(carrying: Emulation) -> None:
    for up, down in ((100, 10), (40_000, 10), (100, 40_000)):
        expected = LINK.milliseconds(up, down)
        taken = min(carrying.milliseconds(bytes(up), bytes(down)) for _ in range(3))
        assert 0.9 * expected < taken < expected + 1000


@pytest.mark.processes
def test_a_far_end_that_lost_the_answer_is_not_timed(carrying: Emulation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FarEnd, "answer", property(lambda self: b"other", lambda self, value: None), raising=False)
    with pytest.raises(Unavailable, match="did not arrive whole"):
        carrying.milliseconds(b"photo", b"labels")


@pytest.mark.processes
def test_a_program_that_is_no_toxiproxy_is_named() -> None:
    with pytest.raises(Unavailable, match="Toxiproxy does not answer"), emulation(Path("/bin/true"), LINK):
        pass
