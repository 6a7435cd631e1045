"""Nothing that the doctor asks may keep it waiting: names, credential helpers and handshakes get a limit."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooSlow(Exception):
    """No result within the time that was allowed."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of `call`, or what it raised; raises TooSlow. A call that hangs is left behind in its thread."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - it is raised below, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="umiak-doctor")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TooSlow(f"no answer within {seconds:.0f} s")
    return results[0]
