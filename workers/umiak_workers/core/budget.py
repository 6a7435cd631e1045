"""An allowance instead of a threshold: the hardest frames, as many as it pays for, while scores, sizes and pace drift.

Three kinds, one controller. Each frame earns something (a share of a frame, or what the time since the last one is
worth) and each hard one costs something (one frame, its bytes, its fee). What was over- or underspent is credit.

Two parts decide. A quantile over the last frames, weighted by what each would cost, says which ones are the hardest
that the income pays for. Credit moves that quantile so that it is paid back over the next HORIZON frames. A
proportional correction of one integrator cannot oscillate; a quantile alone is wrong for as long as scores drift.
Credit is bounded on both sides (at the upper bound a frame is hard whatever its score, at the lower one none is), so
that the hard ones cost what was earned, give or take BOUND frames of income or one upload, whatever the scores do.

Time that is not spent is not saved up beyond that bound: a night without frames buys no burst in the morning.

What a hard frame takes is known only once it is sent, or not: in part, whole, or in part now and whole later. It is
charged what such frames took of late (Habit) when it is called hard, and settled by what it really took; credit carries
the difference, so what is kept is what was sent.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate

WINDOW = 256
"""frames that the quantile looks back on"""
PACE = 64
"""intervals that the usual pace is taken from; the longest of them, which may be a night, counts like the next one"""
HORIZON = 40
"""frames over which over- and underspending is paid back"""
BOUND = 15
"""frames of income that credit or debt may reach"""
FEWEST = 16
"""frames before the quantile is believed; until then credit alone decides"""
NEWS = 1 / 8
"""weight of the newest photo in a habit"""
SECONDS_PER_HOUR = 3600
BYTES_PER_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Upload:
    """What a frame costs to send: bytes, and when (seconds of any clock that does not jump).

    `uploads`: in how many requests; a part of the photo now and the whole of it later are two.
    """

    size: int
    at: float
    uploads: float = 1.0


@dataclass(frozen=True)
class Habit:
    """What sending photos took of late, as exponentially weighted means; a new one expects whole photos, once each."""

    share: float = 1.0
    """Bytes sent per byte of a photo."""
    uploads: float = 1.0
    """Requests per photo."""

    def expects(self, photo: int, at: float) -> Upload:
        """What a photo of so many bytes will take."""
        return Upload(round(self.share * photo), at, self.uploads)

    def after(self, photo: int, sent: Upload) -> "Habit":
        """Once a photo of so many bytes, at least one, has taken `sent`."""
        return Habit(
            self.share + NEWS * (sent.size / photo - self.share), self.uploads + NEWS * (sent.uploads - self.uploads)
        )


@dataclass(frozen=True)
class Allowance:
    """What a frame earns and what a hard one costs, in any one unit; `words` name it within a reason."""

    words: str
    per_frame: float = 0.0
    per_second: float = 0.0
    per_hard: float = 0.0
    """However it is sent."""
    per_upload: float = 0.0
    per_byte: float = 0.0

    def price(self, size: float, uploads: float = 1.0) -> float:
        """Of a hard frame of so many bytes."""
        return self.per_hard + self.per_upload * uploads + self.per_byte * size

    def income(self, seconds: float) -> float:
        """Of a frame that comes so long after the one before."""
        return self.per_frame + self.per_second * seconds


def share_of_frames(share: float) -> Allowance:
    """That share, 0..1, of the frames; the unit is a frame."""
    return Allowance(f"within the {share:.0%} hardest", per_frame=share, per_hard=1.0)


def bytes_per_second(rate: float) -> Allowance:
    """So many bytes of photos a second; the unit is a byte."""
    return Allowance(f"among the hardest that {rate:.0f} bytes per second allow", per_second=rate, per_byte=1.0)


def cost_per_hour(limit: float, per_upload: float, per_megabyte: float) -> Allowance:
    """So much an hour where an upload costs a fee and something per megabyte (10**6 bytes); the unit is that money."""
    return Allowance(
        f"among the hardest that a cost of {limit:g} per hour allows",
        per_second=limit / SECONDS_PER_HOUR,
        per_upload=per_upload,
        per_byte=per_megabyte / BYTES_PER_MEGABYTE,
    )


@dataclass(frozen=True)
class Budget:
    """An allowance and what it remembers of recent frames, oldest first."""

    allowance: Allowance
    window: tuple[float, ...] = ()
    """Their hardness."""
    sizes: tuple[int, ...] = ()
    """Their bytes, as they were expected to be sent."""
    intervals: tuple[float, ...] = ()
    """Seconds before each; empty where time earns nothing."""
    last: float | None = None
    """When the newest frame came."""
    credit: float = 0.0
    uploads: tuple[float, ...] = ()
    """In how many requests each frame was expected to be sent."""

    @property
    def usual_income(self) -> float:
        """Of a frame, at the pace of late."""
        if len(self.intervals) < 2:
            return self.allowance.income(0.0)
        *shorter, longest, _ = sorted(self.intervals)
        return self.allowance.income((sum(shorter) + 2 * longest) / len(self.intervals))

    @property
    def usual_price(self) -> float:
        """Of a frame of late, hard or not; that of an empty one before the first."""
        if not self.sizes:
            return self.allowance.price(0)
        return self.allowance.price(sum(self.sizes) / len(self.sizes), sum(self.uploads) / len(self.uploads))


def spend(budget: Budget, hardness: float, upload: Upload) -> tuple[bool, Budget]:
    """(whether a frame of this hardness in [0, 1] is among the hardest, the budget after it); `upload` is expected."""
    budget = _earned(budget, upload.at)
    price = budget.allowance.price(upload.size, upload.uploads)
    hard = _pays(budget, hardness, price)
    return hard, replace(
        budget,
        window=(*budget.window, hardness)[-WINDOW:],
        sizes=(*budget.sizes, upload.size)[-WINDOW:],
        uploads=(*budget.uploads, upload.uploads)[-WINDOW:],
        credit=budget.credit - price * hard,
    )


def settle(budget: Budget, charged: Upload, sent: Upload) -> Budget:
    """Once it is known what a hard frame really took: the difference to what it was charged is credit, or debt.

    Debt may pass the bound by what was charged too little; it is paid back like any other.
    """
    price = budget.allowance.price
    difference = price(charged.size, charged.uploads) - price(sent.size, sent.uploads)
    return replace(budget, credit=budget.credit + difference)


def reallowed(budget: Budget, allowance: Allowance) -> Budget:
    """What is remembered under another allowance; credit is kept where its unit is the same."""
    fees = [(one.per_hard, one.per_upload, one.per_byte) for one in (budget.allowance, allowance)]
    same = fees[0] == fees[1]
    return replace(budget, allowance=allowance, credit=budget.credit if same else 0.0)


def bound(budget: Budget, price: float) -> float:
    """Largest credit or debt at a frame of this price: BOUND frames of income, or the dearest upload where that is
    more."""
    dearest = budget.allowance.price(max(budget.sizes, default=0), max(budget.uploads, default=1.0))
    return max(price, dearest, BOUND * budget.usual_income)


def _earned(budget: Budget, at: float) -> Budget:
    """The budget with this frame's income, of which nothing is kept beyond the bound."""
    intervals = budget.intervals
    if budget.last is not None and budget.allowance.per_second:
        intervals = (*intervals, max(0.0, at - budget.last))[-PACE:]
    budget = replace(budget, intervals=intervals, last=at)
    income = budget.allowance.income(intervals[-1] if intervals else 0.0)
    most = bound(budget, 0.0) + budget.usual_income
    return replace(budget, credit=min(budget.credit + income, most))


def _pays(budget: Budget, hardness: float, price: float) -> bool:
    allowance, credit = budget.allowance, budget.credit
    if not allowance.per_frame + allowance.per_second:
        return False
    if allowance.per_frame >= allowance.price(0) and not allowance.per_byte:
        return True  # every frame pays for itself
    most = bound(budget, price)
    return credit >= most or (credit > price - most and _among_hardest(budget, hardness, price))


def _among_hardest(budget: Budget, hardness: float, price: float) -> bool:
    """Above the quantile that leaves as much as is paid for; ties are decided by credit, so that equal scores still
    keep the allowance."""
    if len(budget.window) < FEWEST:
        return budget.credit >= price
    if not budget.usual_price:
        return True  # nothing costs anything
    target = budget.usual_income + budget.credit / HORIZON
    limit = _limit(budget, min(1.0, max(0.0, target / budget.usual_price)))
    return limit is not None and (hardness > limit or (hardness == limit and budget.credit >= price))


def _limit(budget: Budget, share: float) -> float | None:
    """The hardness above which `share` of what all recent frames would cost lies; None: above all of them."""
    allowance = budget.allowance
    if not allowance.per_upload + allowance.per_byte:  # the same, in a third of the time
        rank = int((1 - share) * len(budget.window))
        return sorted(budget.window)[rank] if rank < len(budget.window) else None
    ranked = sorted(range(len(budget.window)), key=budget.window.__getitem__)
    sums = list(accumulate([allowance.price(budget.sizes[at], budget.uploads[at]) for at in ranked]))
    rank = bisect_right(sums, (1 - share) * sums[-1])
    return budget.window[ranked[rank]] if rank < len(ranked) else None
