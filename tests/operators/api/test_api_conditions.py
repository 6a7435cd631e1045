"""Conditions follow the Kubernetes API conventions."""

from umiak_operators.api.conditions import Condition, find, set_condition, set_conditions, timestamp

READY = Condition("Ready", "True", "Available", "fine")


def test_a_new_condition_starts_now() -> None:
    assert set_condition([], READY, 3, 1e9) == {
        "type": "Ready",
        "status": "True",
        "reason": "Available",
        "message": "fine",
        "observedGeneration": 3,
        "lastTransitionTime": "2001-09-09T01:46:40Z",
    }


def test_the_time_stays_while_the_status_does() -> None:
    before = [set_condition([], READY, 1, 1e9)]
    after = set_condition(before, Condition("Ready", "True", "Other", "new words"), 2, 2e9)
    assert after["lastTransitionTime"] == timestamp(1e9)
    assert (after["reason"], after["message"], after["observedGeneration"]) == ("Other", "new words", 2)


def test_the_time_moves_with_the_status() -> None:
    before = [set_condition([], READY, 1, 1e9)]
    assert set_condition(before, Condition("Ready", "False", "Broken"), 1, 2e9)["lastTransitionTime"] == timestamp(2e9)


def test_others_do_not_matter() -> None:
    before = set_conditions([], [READY, Condition("Other", "False", "No")], 1, 1e9)
    after = set_conditions(before, [READY], 1, 2e9)
    assert [condition["type"] for condition in after] == ["Ready"]
    assert after[0]["lastTransitionTime"] == timestamp(1e9)


def test_find() -> None:
    held = set_conditions([], [READY], 1, 1e9)
    assert find(held, "Ready") == held[0]
    assert find(held, "Absent") is None


def test_an_endless_message_is_cut() -> None:
    assert len(set_condition([], Condition("Ready", "False", "Bad", "x" * 5000), 1, 1e9)["message"]) == 1024
