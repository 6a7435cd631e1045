"""Which replayed samples a round learns from and which it is judged by.

Samples arrive in time order and neighbours look alike, so a random holdout would be half seen already: the newest share
is held back instead. A talkative edge must not crowd out a quiet one, so a cap is shared out edge by edge.
"""

from collections.abc import Sequence

import numpy as np

from umiak_workers.contract.messages import SampleInfo


def split_by_time(samples: Sequence[SampleInfo], share: float) -> tuple[tuple[SampleInfo, ...], tuple[SampleInfo, ...]]:
    """(to learn from, held back): the newest `share` (0..1) by capture time is held back, ties by position.

    Both parts have at least one sample where there are two; of a single one there is nothing to hold back.
    """
    ordered = sorted(samples, key=lambda sample: (sample.captured_at, sample.position))
    back = min(max(1, round(share * len(ordered))), len(ordered) - 1) if ordered else 0
    cut = len(ordered) - back
    return tuple(ordered[:cut]), tuple(ordered[cut:])


def balanced(samples: Sequence[SampleInfo], cap: int, rng: np.random.Generator) -> tuple[SampleInfo, ...]:
    """At most `cap` samples, as evenly over the edges as they allow, drawn without repetition; oldest first."""
    by_edge: dict[str, list[SampleInfo]] = {}
    for sample in sorted(samples, key=lambda sample: sample.position):
        by_edge.setdefault(sample.frame.partition("/")[0], []).append(sample)
    shares = fair_shares([len(group) for group in by_edge.values()], cap)
    chosen = [
        group[index]
        for group, share in zip(by_edge.values(), shares, strict=True)
        for index in rng.choice(len(group), size=share, replace=False)
    ]
    return tuple(sorted(chosen, key=lambda sample: (sample.captured_at, sample.position)))


def fair_shares(sizes: Sequence[int], cap: int) -> tuple[int, ...]:
    """How many of each group to take: `cap` in all at most, no group more than another unless that one is used up."""
    shares = [0] * len(sizes)
    left = min(cap, sum(sizes))
    while left > 0:
        unfilled = [index for index, size in enumerate(sizes) if shares[index] < size]
        each = max(1, left // len(unfilled))
        for index in unfilled[:left]:
            take = min(each, sizes[index] - shares[index])
            shares[index] += take
            left -= take
    return tuple(shares)


def parts_of_batch(batch: int, share: float) -> tuple[int, int]:
    """(replayed, base) samples of one batch: `share` of it is replayed, but both kinds are in every batch of two."""
    replayed = min(max(1, round(share * batch)), max(1, batch - 1))
    return replayed, batch - replayed


def steps_of_epoch(replay: int, base: int, parts: tuple[int, int]) -> int:
    """Batches until the kind that lasts longer was seen once; the other one starts over meanwhile."""
    sizes = ((replay, parts[0]), (base, parts[1]))
    return max((-(-size // each) for size, each in sizes if each and size), default=0)
