"""A bounded memory of what was computed last: the least recently used goes first."""

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Values by name, at most `most` bytes of them; a value larger than that is not kept. For one thread at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, tuple[V, int]] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str) -> V | None:
        """The value, now the most recently used one; None if it is not here."""
        found = self._kept.get(name)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(name)
        return found[0]

    def put(self, name: str, value: V, size: int) -> None:
        """Keep a value of `size` bytes."""
        if name in self._kept:
            self.bytes -= self._kept.pop(name)[1]
        if size > self._most:
            return
        self._kept[name] = (value, size)
        self.bytes += size
        while self.bytes > self._most:
            self.bytes -= self._kept.popitem(last=False)[1][1]
