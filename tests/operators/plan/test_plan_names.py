"""Names are DNS labels and never collide, whatever people call their resources and nodes."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from umiak_operators.plan import names

LABEL = re.compile(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?")
word = st.sampled_from(["edge", "cloud", "round", "a", "b", "1", "edge-1", "x" * 30])
resource = st.lists(word, min_size=1, max_size=4).map("-".join).filter(lambda name: len(name) <= 63)
node = st.one_of(resource, st.lists(word, min_size=1, max_size=9).map(".".join))
hashed = st.text("0123456789abcdef", min_size=10, max_size=10)
made = st.one_of(
    st.tuples(st.just("edge"), resource, node),
    st.tuples(st.just("cloud"), resource, st.just("")),
    st.tuples(st.just("round"), resource, hashed),
)


def spelt(what: tuple[str, str, str]) -> str:
    kind, owner, rest = what
    if kind == "edge":
        return names.edge_pod(owner, rest)
    return names.cloud_pod(owner) if kind == "cloud" else names.training_job(owner, rest)


@settings(deadline=None)
@given(made, made)
def test_two_things_never_share_a_name(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (spelt(one) == spelt(other)) == (one == other)


@settings(deadline=None)
@given(made)
def test_every_name_is_a_label_with_room_for_suffixes(what: tuple[str, str, str]) -> None:
    assert LABEL.fullmatch(spelt(what))


def test_plain_names_stay_plain() -> None:
    assert names.edge_pod("yard", "edge-1") == "yard-edge-edge-1"
    assert names.cloud_pod("yard") == "yard-cloud"
    assert names.patch("learn", "sha256:" + "ab" * 32) == "learn-abababababab"


def test_what_could_be_read_twice_is_hashed() -> None:
    assert names.edge_pod("x-edge", "y") != names.edge_pod("x", "edge-y") == "x-edge-edge-y"
    assert names.cloud_pod("1st").startswith("x1st-cloud-")


@settings(deadline=None)
@given(st.text("abc.-_", min_size=1, max_size=253).map(lambda text: f"n{text}n"))
def test_label_values_fit(text: str) -> None:
    value = names.label_value(text)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", value)
    assert value == text or len(text) > 63


@settings(deadline=None)
@given(st.text("ab", min_size=60, max_size=70), st.text("ab", min_size=60, max_size=70))
def test_label_values_differ_where_texts_do(one: str, other: str) -> None:
    assert (names.label_value(one) == names.label_value(other)) == (one == other)
