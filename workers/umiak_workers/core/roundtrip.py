"""How long an upload would take to be answered, from what the last ones took: whether a frame can make its deadline.

A round trip is a fixed part (the way, the cloud's thinking) and something per byte. Both are told by robust statistics
over the last answers: the slope is the median of the slopes between pairs of uploads of clearly different size
(Theil 1950, Sen 1968), the fixed part the median of what is left. Half of the evidence may be nonsense and neither
moves. No quantile is added: waiting in vain costs time but never the deadline, so an even chance is worth taking.

Old evidence is forgotten, and where frames are kept away one of them goes all the same every now and then, so that a
bad spell of the link keeps nobody away once it is over. Examples that are delivered later are evidence as well.
"""

from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median

WINDOW = 15
"""answers that are remembered"""
FEWEST = 3
"""answers before anything is expected; until then every frame may go"""
AGE = 60.0
"""seconds after which an answer counts only as one of the FEWEST newest"""
FORGOTTEN = 600.0
"""seconds after which it counts no more at all"""
PROBE = 15.0
"""seconds without news of uploads like this one, after which one may go whatever is expected"""
LIKE = 1.5
"""times the size up to which an upload is news of another one"""
APART = 1.1
"""times as large as another is an upload from which something per byte can be told"""


@dataclass(frozen=True)
class Trip:
    """One answered upload: its bytes, the seconds from first byte to answer, and when the answer came."""

    size: int
    seconds: float
    at: float


@dataclass(frozen=True)
class RoundTrips:
    """The last answered uploads, oldest first, and when somebody last went whatever was expected."""

    trips: tuple[Trip, ...] = ()
    probed_at: float | None = None


def answered(seen: RoundTrips, trip: Trip) -> RoundTrips:
    """With one more answered upload."""
    return replace(seen, trips=(*seen.trips, trip)[-WINDOW:])


def expected(seen: RoundTrips, size: int, now: float) -> float | None:
    """Seconds until an upload of so many bytes would be answered; None where too little is known.

    Never more than the slowest answer to a larger upload took, so that a link on which all is in time stays one.
    """
    recent = _recent(seen, now)
    if len(recent) < FEWEST:
        return None
    slope = _per_byte(recent)
    found = median(trip.seconds - slope * trip.size for trip in recent) + slope * size
    above = [trip.seconds for trip in recent if trip.size >= size]
    return max(0.0, min(found, max(above))) if above else max(0.0, found)


def may_go(seen: RoundTrips, size: int, now: float, until: float) -> tuple[bool, RoundTrips]:
    """(whether an upload is worth trying that must be answered by the moment `until`, what is remembered then)."""
    seconds = expected(seen, size, now)
    if seconds is None or now + seconds <= until:
        return True, seen
    news = [trip.at for trip in seen.trips if trip.size <= LIKE * size]
    if seen.probed_at is not None:
        news.append(seen.probed_at)
    if news and now - max(news) < PROBE:
        return False, seen
    return True, replace(seen, probed_at=now)


def _recent(seen: RoundTrips, now: float) -> list[Trip]:
    """What still counts: all of the last minute, or a few older ones where there is no more."""
    young = [trip for trip in seen.trips if now - trip.at <= AGE]
    return [trip for trip in seen.trips[-max(FEWEST, len(young)) :] if now - trip.at <= FORGOTTEN]


def _per_byte(trips: list[Trip]) -> float:
    """Seconds per byte, at least 0 and at most what would leave nothing for the fixed part; 0 where sizes are alike."""
    pairs = [sorted(pair, key=lambda trip: trip.size) for pair in combinations(trips, 2)]
    slopes = [
        (large.seconds - small.seconds) / (large.size - small.size)
        for small, large in pairs
        if large.size > APART * small.size
    ]
    most = median(trip.seconds / max(1, trip.size) for trip in trips)
    return min(most, max(0.0, median(slopes))) if slopes else 0.0
