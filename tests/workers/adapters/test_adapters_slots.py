"""The slots of an edge: what the files mean."""

from collections.abc import Callable
from pathlib import Path

import pytest

from umiak_workers.adapters.slots import Slots
from umiak_workers.contract.errors import MessageError

SOME = "sha256:" + "1" * 64


def test_an_empty_state_has_nothing_and_installs_into_a(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    assert slots.read_current() is None
    assert slots.held("a") is None
    assert slots.find(SOME) is None
    assert slots.other_slot() == "a"
    assert slots.attempts(SOME) == 0
    assert not slots.is_good(SOME)


def test_the_next_model_never_goes_into_the_current_slot(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    for slot, other in (("a", "b"), ("b", "a")):
        slots.write_current(slot, SOME)  # type: ignore[arg-type]
        assert slots.other_slot() == other


def test_a_model_is_found_by_digest_the_current_slot_first(tmp_path: Path, tiny_model: Callable[..., str]) -> None:
    slots = Slots(tmp_path)
    digest = tiny_model(slots.folder("a"))
    assert slots.held("a") == digest
    assert tiny_model(slots.folder("b")) == digest
    slots.write_current("b", digest)
    assert slots.find(digest) == "b"


def test_marks_of_models_that_are_gone_are_dropped(tmp_path: Path, tiny_model: Callable[..., str]) -> None:
    slots = Slots(tmp_path)
    digest = tiny_model(slots.folder("a"))
    for one in (digest, SOME):
        slots.mark_good(one)
        slots.begin_attempt(one)
    slots.forget_absent()
    assert slots.is_good(digest)
    assert slots.attempts(digest) == 1
    assert not slots.is_good(SOME)
    assert slots.attempts(SOME) == 0


def test_an_unreadable_current_is_named(tmp_path: Path) -> None:
    (tmp_path / "current").write_text('{"slot": "c"}')
    with pytest.raises(MessageError, match="current"):
        Slots(tmp_path).read_current()
