"""Choosing what to learn from: nothing twice, nothing later than what is judged, no edge crowded out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.messages import SampleInfo
from umiak_workers.core.replay import balanced, fair_shares, parts_of_batch, split_by_time, steps_of_epoch


def info(position: int, captured_at: float, edge: str = "edge-1") -> SampleInfo:
    return SampleInfo(
        position=position,
        frame=f"{edge}/http/{position}",
        digest="sha256:" + "0" * 64,
        media="image/png",
        captured_at=captured_at,
        confidence=0.9,
        bytes=10,
    )


times = st.lists(st.floats(0, 1e6), max_size=60)


@given(times, st.floats(0.01, 0.99))
def test_no_held_back_sample_is_older_than_one_learnt_from(captured: list[float], share: float) -> None:
    samples = [info(index + 1, at) for index, at in enumerate(captured)]
    learn, held = split_by_time(samples, share)
    assert sorted((*learn, *held), key=lambda sample: sample.position) == samples
    if learn and held:
        assert max(sample.captured_at for sample in learn) <= min(sample.captured_at for sample in held)
    if len(samples) >= 2:
        assert learn
        assert held
        assert abs(len(held) - share * len(samples)) <= 1


def test_a_single_sample_is_learnt_from_and_judges_nothing() -> None:
    only = info(1, 5.0)
    assert split_by_time([only], 0.25) == ((only,), ())
    assert split_by_time([], 0.25) == ((), ())


def test_late_arrivals_are_split_by_when_they_were_seen_not_by_when_they_were_stored() -> None:
    stored_late = info(9, 1.0)
    learn, held = split_by_time([info(1, 5.0), info(2, 6.0), info(3, 7.0), stored_late], 0.25)
    assert stored_late in learn
    assert [sample.position for sample in held] == [3]


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(0, 100))
def test_shares_fill_the_cap_and_differ_by_one_at_most_unless_used_up(sizes: list[int], cap: int) -> None:
    shares = fair_shares(sizes, cap)
    assert sum(shares) == min(cap, sum(sizes))
    assert all(0 <= share <= size for share, size in zip(shares, sizes, strict=True))
    unfinished = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    if unfinished:
        assert max(shares) <= min(unfinished) + 1


def test_a_quiet_edge_keeps_its_samples_beside_a_talkative_one() -> None:
    samples = [info(index, float(index), "loud") for index in range(1, 91)]
    samples += [info(index, float(index), "quiet") for index in range(91, 101)]
    chosen = balanced(samples, 40, np.random.default_rng(1))
    assert len(chosen) == 40
    assert len({sample.position for sample in chosen}) == 40
    assert sum(sample.frame.startswith("quiet") for sample in chosen) == 10
    assert [sample.captured_at for sample in chosen] == sorted(sample.captured_at for sample in chosen)


def test_the_choice_repeats_with_its_seed_and_reaches_every_sample() -> None:
    samples = [info(index, float(index)) for index in range(1, 31)]
    first = balanced(samples, 10, np.random.default_rng(3))
    assert first == balanced(samples, 10, np.random.default_rng(3))
    seen = {s.position for seed in range(40) for s in balanced(samples, 10, np.random.default_rng(seed))}
    assert len(seen) == 30


@given(st.integers(2, 64), st.floats(0.01, 0.99))
def test_every_batch_of_two_or_more_holds_both_kinds_near_the_share_asked_for(batch: int, share: float) -> None:
    replayed, base = parts_of_batch(batch, share)
    assert replayed + base == batch
    assert min(replayed, base) >= 1
    assert abs(replayed - share * batch) <= 1


@pytest.mark.parametrize(
    ("replay", "base", "parts", "steps"),
    [(75, 225, (4, 4), 57), (100, 10, (2, 6), 50), (5, 0, (4, 4), 2), (0, 0, (4, 4), 0), (3, 3, (1, 0), 3)],
)
def test_an_epoch_lasts_until_the_longer_kind_was_seen(
    replay: int, base: int, parts: tuple[int, int], steps: int
) -> None:
    assert steps_of_epoch(replay, base, parts) == steps
