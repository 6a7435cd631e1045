"""Whether a frame can make its deadline: told by the last answers, forgotten in time, no matter on a fast link."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.core.roundtrip import (
    AGE,
    FEWEST,
    FORGOTTEN,
    PROBE,
    WINDOW,
    RoundTrips,
    Trip,
    answered,
    expected,
    may_go,
)

KB = 1000
DEADLINE = 2.0
sizes = st.integers(1, 200_000)


def seen(*trips: tuple[int, float], at: float = 0.0) -> RoundTrips:
    """Answers of (bytes, seconds), all at the same moment."""
    found = RoundTrips()
    for size, seconds in trips:
        found = answered(found, Trip(size, seconds, at))
    return found


def recorded(seed: int, rate: float, fixed: float, count: int = WINDOW) -> list[tuple[int, float]]:
    """(bytes, seconds) over a link of `rate` bytes per second: parts and whole photos, jitter with a long tail."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        size = rng.choice((rng.randint(5, 12), rng.randint(60, 90))) * KB
        made.append((size, fixed + size / rate + rng.expovariate(1 / 0.03)))
    return made


def test_without_evidence_every_frame_may_go() -> None:
    for count in range(FEWEST):
        trips = seen(*[(50 * KB, 30.0)] * count)
        assert expected(trips, 50 * KB, 1.0) is None
        assert may_go(trips, 50 * KB, 1.0, 1.1) == (True, trips)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("rate", "fixed"), [(1e6, 0.2), (50e3, 0.3), (20e3, 0.05)])
def test_fixed_part_and_seconds_per_byte_are_told_apart(seed: int, rate: float, fixed: float) -> None:
    trips = seen(*recorded(seed, rate, fixed))
    for size in (8 * KB, 75 * KB):
        found = expected(trips, size, 1.0)
        assert found is not None
        print(f"seed {seed}, {rate:.0f} B/s, {size} bytes: {found:.3f} s, really {fixed + size / rate + 0.03:.3f}")
        assert found == pytest.approx(fixed + size / rate, rel=0.15, abs=0.08)


@pytest.mark.parametrize("seed", range(5))
def test_a_third_of_nonsense_moves_it_little(seed: int) -> None:
    print(f"seed {seed}")
    good = recorded(seed, 100e3, 0.2)
    for index in range(0, WINDOW, 3):
        good[index] = (good[index][0], 9.0)
    found = expected(seen(*good), 75 * KB, 1.0)
    assert found == pytest.approx(0.95, abs=0.35), "one mean of them would say 3.5"


def test_sizes_that_are_alike_say_nothing_of_bytes() -> None:
    trips = seen((50 * KB, 1.0), (51 * KB, 1.4), (52 * KB, 1.1), (50 * KB, 1.2))
    assert expected(trips, 50 * KB, 0.0) == pytest.approx(1.15)
    assert expected(trips, 100 * KB, 0.0) == pytest.approx(1.15)


@given(st.lists(st.tuples(sizes, st.floats(0, DEADLINE)), max_size=WINDOW), sizes, st.floats(0, AGE))
def test_on_a_fast_link_nothing_changes(trips: list[tuple[int, float]], size: int, now: float) -> None:
    """Where all answers came within the deadline, every upload that is no larger than one of them may go."""
    state = seen(*trips)
    if not trips or size <= max(one for one, _ in trips):
        assert may_go(state, size, now, now + DEADLINE) == (True, state)


@given(st.lists(st.tuples(sizes, st.floats(0, 30)), max_size=40), sizes, st.floats(0, 100), st.floats(-5, 5))
def test_it_is_pure_bounded_and_never_below_nothing(
    trips: list[tuple[int, float]], size: int, now: float, left: float
) -> None:
    state = seen(*trips)
    kept = RoundTrips(state.trips, state.probed_at)
    found = expected(state, size, now)
    assert found is None or 0 <= found <= 30 * max(1.0, size / min(one for one, _ in trips))
    assert may_go(state, size, now, now + left) == may_go(state, size, now, now + left)
    assert state == kept
    assert len(state.trips) <= WINDOW


def test_a_slow_link_keeps_whole_photos_and_lets_parts_go() -> None:
    trips = seen(*recorded(3, 20e3, 0.1), at=10.0)
    assert may_go(trips, 75 * KB, 11.0, 11.0 + DEADLINE) == (False, trips)
    assert may_go(trips, 8 * KB, 11.0, 11.0 + DEADLINE) == (True, trips)
    assert may_go(trips, 75 * KB, 11.0, 11.0 + 6.0) == (True, trips), "a longer deadline"


def test_old_evidence_is_forgotten() -> None:
    trips = seen(*[(50 * KB, 9.0)] * WINDOW, at=0.0)
    assert expected(trips, 50 * KB, FORGOTTEN) == pytest.approx(9.0)
    assert expected(trips, 50 * KB, FORGOTTEN + 0.1) is None
    for second in range(FEWEST):
        trips = answered(trips, Trip(50 * KB, 0.5, AGE + second))
    assert expected(trips, 50 * KB, AGE) == pytest.approx(9.0), "most answers of the last minute were slow"
    assert expected(trips, 50 * KB, AGE + FEWEST) == pytest.approx(0.5)


def stream(seconds_at: list[float], every: float, later: bool) -> tuple[list[bool], list[float]]:
    """(which of the frames went live, when): one every `every` seconds; a live call or, where `later`, a delivery of
    one that was kept away takes the seconds of its moment. At most one delivery is under way."""
    state, went, moments = RoundTrips(), [], []
    coming: list[Trip] = []
    free = 0.0
    for index, seconds in enumerate(seconds_at):
        now = index * every
        for trip in sorted((one for one in coming if one.at <= now), key=lambda one: one.at):
            state = answered(state, trip)
        coming = [one for one in coming if one.at > now]
        goes, state = may_go(state, 50 * KB, now, now + DEADLINE)
        went.append(goes)
        moments.append(now)
        if goes or (later and now >= free):
            coming.append(Trip(50 * KB, seconds, now + seconds))
            free = free if goes else now + seconds
    return went, moments


@pytest.mark.parametrize("later", [True, False])
def test_a_bad_spell_keeps_frames_away_and_no_longer_than_it_must(later: bool) -> None:
    """A minute of 0.5 s, three of 6 s, two of 0.5 s again, a frame each half a second; with deliveries or without."""
    every = 0.5
    spell = [0.5] * 120 + [6.0] * 360 + [0.5] * 240
    went, moments = stream(spell, every, later)
    live = [moment for moment, goes in zip(moments, went, strict=True) if goes]
    assert all(went[:120]), "nothing changes while the link is fast"
    during = [moment for moment in live if 100 <= moment < 240]
    print(f"deliveries {later}: {len(during)} of 280 frames went in the bad spell, at {during}")
    assert len(during) <= 140 / PROBE + 1
    assert later or during, "somebody has to look"
    back = next(moment for moment, goes in zip(moments, went, strict=True) if moment >= 240 and goes)
    steady = next(240 + every * index for index in range(240) if all(went[480 + index :]))
    print(f"back at {back}, all of them from {steady}")
    assert steady <= 240 + AGE + PROBE
    assert not later or steady <= 240 + 20


def test_frames_of_another_size_are_no_news_of_small_ones() -> None:
    """Whole photos are delivered all the time and tell only how slow whole photos are; a part goes to look."""
    state = RoundTrips()
    for second in range(0, 40, 4):
        state = answered(state, Trip(75 * KB, 4.0, float(second)))
    goes, after = may_go(state, 8 * KB, 37.0, 39.0)
    assert goes
    assert after.probed_at == 37.0
    assert may_go(after, 8 * KB, 38.0, 40.0) == (False, after), "one of them is enough"
    told = answered(after, Trip(8 * KB, 0.5, 37.5))
    assert may_go(told, 8 * KB, 38.0, 40.0) == (True, told)
