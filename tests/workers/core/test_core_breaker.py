"""The circuit breaker and the back-off: who passes when, and how long one waits."""

from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.core.backoff import delay
from umiak_workers.core.breaker import FAILURES, Breaker


def new() -> Breaker:
    return Breaker(shortest=1.0, longest=8.0)


def opened(failures: int, now: float = 0.0) -> Breaker:
    breaker = new()
    for _ in range(failures):
        breaker = breaker.failed(now)
    return breaker


def test_single_failures_change_nothing() -> None:
    breaker = new()
    for _ in range(10):
        breaker = breaker.failed(0.0).succeeded()
    assert breaker.passes(0.0) == (True, breaker)


def test_open_means_nobody_passes_until_it_is_due_and_then_one() -> None:
    breaker = opened(FAILURES)
    assert not breaker.passes(0.99)[0]
    first, breaker = breaker.passes(1.0)
    second, breaker = breaker.passes(1.0)
    assert (first, second) == (True, False)
    assert breaker.succeeded().passes(1.0)[0]


def test_failed_probes_double_the_wait_up_to_a_bound() -> None:
    waits = [opened(FAILURES + probes).again_at for probes in range(6)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_probe_that_was_given_up_lets_the_next_one_try() -> None:
    passes, breaker = opened(FAILURES).passes(5.0)
    assert passes
    assert breaker.abandoned().passes(5.0)[0]


@given(st.lists(st.sampled_from(["failed", "succeeded", "abandoned", "passes"]), max_size=60))
def test_it_never_locks_up(steps: list[str]) -> None:
    breaker, now = new(), 0.0
    for step in steps:
        now += 0.5
        if step == "failed":
            breaker = breaker.failed(now)
        elif step == "passes":
            _, breaker = breaker.passes(now)
        else:
            breaker = getattr(breaker, step)()
    assert breaker.abandoned().passes(now + 8.0)[0]


@given(st.integers(1, 10_000), st.floats(0, 0.999))
def test_delays_grow_within_bounds_and_with_jitter(failures: int, drawn: float) -> None:
    seconds = delay(failures, 1.0, 60.0, lambda: drawn)
    assert 0.5 <= seconds <= 60.0
    assert seconds <= delay(failures + 1, 1.0, 60.0, lambda: drawn)
    assert delay(failures, 1.0, 60.0, lambda: 0.0) < delay(failures, 1.0, 60.0, lambda: 0.9)
