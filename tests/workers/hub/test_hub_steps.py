"""What becomes of a release: every combination of head, model and company."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.hub.steps import UNFINISHED, LineFacts, Wish, next_step

digests = st.sampled_from("abcd")
lines = st.builds(
    LineFacts,
    name=st.just("plant/yard"),
    head=st.none() | digests,
    past=st.frozensets(digests),
    coming=st.frozensets(digests),
    busy=st.booleans(),
)


@pytest.mark.parametrize(
    ("wish", "line", "has_model", "state"),
    [
        (Wish(None, "a"), LineFacts("l"), True, "WaitingForSignature"),
        (Wish(None, "a"), LineFacts("l"), False, "WaitingForModel"),
        (Wish("a", "b"), LineFacts("l", "a"), True, "WaitingForSignature"),
        (Wish("a", "b"), LineFacts("l", "a"), False, "WaitingForModel"),
        (Wish("a", "b"), LineFacts("l", "a", busy=True), True, "WaitingForLine"),
        (Wish("a", "b"), LineFacts("l"), True, "WaitingForLine"),
        (Wish("a", "b"), LineFacts("l", "c", frozenset("ac")), True, "Superseded"),
        (Wish("a", "b"), LineFacts("l", "c", frozenset("ac")), False, "Superseded"),
        (Wish("a", "b"), LineFacts("l", "c", frozenset("c")), True, "Conflict"),
        (Wish("a", "b"), LineFacts("l", "c", frozenset("c"), frozenset("a")), True, "WaitingForLine"),
        (Wish("a", "b"), LineFacts("l", "b", frozenset("ab")), True, "Published"),
        (Wish("a", "b"), LineFacts("l", "b", frozenset("b")), False, "Published"),
        (Wish(None, "b"), LineFacts("l", "a", frozenset("a")), True, "Superseded"),
    ],
)
def test_the_table(wish: Wish, line: LineFacts, has_model: bool, state: str) -> None:
    step = next_step(wish, line, has_model)
    assert step.state == state
    assert step.message


@given(st.builds(Wish, from_digest=st.none() | digests, to_digest=digests), lines, st.booleans())
def test_nothing_reaches_the_signer_but_the_next_release_of_a_whole_model(
    wish: Wish, line: LineFacts, has_model: bool
) -> None:
    step = next_step(wish, line, has_model)
    to_signer = wish.from_digest == line.head != wish.to_digest and has_model and not line.busy
    assert (step.state == "WaitingForSignature") == to_signer
    if line.head is None:
        assert step.state in UNFINISHED
