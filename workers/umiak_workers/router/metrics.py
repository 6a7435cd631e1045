"""What the router counts, and the figure it is judged by: its own overhead per frame."""

import threading
from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from umiak_workers.adapters.example_queue import Fill
from umiak_workers.contract.messages import LATENCY_SECONDS, Answer, Latency

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1)
NOT_OURS = ("edge", "cloud")
"""Stages in which the router only waits for somebody else."""
RECENT = 512


class RouterMetrics:
    """Metrics of one router, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._frames = Counter("umiak_frames", "Final answers", ["route", "reason"], registry=self.registry)
        self._revisions = Counter("umiak_late_revisions", "Cloud answers after the deadline", registry=self.registry)
        self._overdue = Counter(
            "umiak_overdue_frames", "Final answers committed after their deadline", registry=self.registry
        )
        self._stages = Histogram(
            "umiak_stage_seconds", "Time per stage", ["stage"], buckets=SECONDS, registry=self.registry
        )
        self._answers = Histogram(
            "umiak_answer_seconds",
            "From the photo to its final answer",
            ["route"],
            buckets=LATENCY_SECONDS,
            registry=self.registry,
        )
        self._overhead = Histogram(
            "umiak_router_overhead_seconds",
            "Time per frame that was neither the edge server's nor the cloud's",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._sharp = Histogram(
            "umiak_sharp_area_ratio",
            "Share of the photo sent sharp, of cloud answers to a part of it",
            buckets=SHARES,
            registry=self.registry,
        )
        self._bytes = Counter("umiak_bytes", "Bytes to and from the cloud", ["direction"], registry=self.registry)
        self._items = Gauge("umiak_queue_items", "Hard examples that wait for a receipt", registry=self.registry)
        self._held = Gauge("umiak_queue_bytes", "Bytes of their photos", registry=self.registry)
        self._oldest = Gauge("umiak_queue_oldest_seconds", "Age of the oldest one", registry=self.registry)
        self._dropped = Gauge(
            "umiak_queue_dropped", "Examples given up since the start of time", registry=self.registry
        )
        self._video = Counter(
            "umiak_video_frames", "Frames of a video by what became of them", ["outcome"], registry=self.registry
        )
        self._video_dropped = 0
        self._guard = threading.Lock()
        self._recent: deque[float] = deque(maxlen=RECENT)

    def answered(self, answer: Answer, deadline: float) -> None:
        """An answer was committed; `deadline` in seconds."""
        stages = answer.stages_milliseconds
        for stage, milliseconds in stages.items():
            self._stages.labels(stage).observe(milliseconds / 1000)
        if answer.sharp_area is not None:
            self._sharp.observe(answer.sharp_area)
        if answer.revision:
            self._revisions.inc()
            return
        self._frames.labels(answer.answered_by, answer.reason).inc()
        self._answers.labels(answer.answered_by).observe(stages["total"] / 1000)
        if stages["total"] > deadline * 1000:
            self._overdue.inc()
        overhead = stages["total"] - sum(stages.get(stage, 0.0) for stage in NOT_OURS)
        self._overhead.observe(overhead / 1000)
        self._recent.append(overhead)

    def moved(self, up: int, down: int) -> None:
        """Bytes went to and came from the cloud."""
        self._bytes.labels("up").inc(up)
        self._bytes.labels("down").inc(down)

    def filmed(self, outcome: str) -> None:
        """What became of a frame of a video; from any thread."""
        self._video.labels(outcome).inc()
        if outcome == "dropped":
            with self._guard:
                self._video_dropped += 1

    def new_video_drops(self) -> int:
        """Frames of a video that were dropped since this was asked last."""
        with self._guard:
            dropped, self._video_dropped = self._video_dropped, 0
        return dropped

    def filled(self, fill: Fill) -> None:
        """What the queue holds now."""
        self._items.set(fill.items)
        self._held.set(fill.bytes)
        self._oldest.set(fill.oldest_seconds)
        self._dropped.set(fill.dropped)

    def latency(self) -> dict[str, Latency]:
        """How long answers took, by route, as a heartbeat carries it."""
        counts: dict[str, list[int]] = {}
        seconds: dict[str, float] = {}
        for sample in (sample for metric in self._answers.collect() for sample in metric.samples):
            route = sample.labels["route"]
            if sample.name.endswith("_bucket"):
                counts.setdefault(route, []).append(int(sample.value))
            elif sample.name.endswith("_sum"):
                seconds[route] = round(sample.value, 6)
        return {route: Latency(counts=tuple(found), seconds=seconds[route]) for route, found in counts.items()}

    def overhead(self) -> tuple[float, float]:
        """(p50, p95) of the router's own milliseconds over the last frames; zeros before the first one."""
        ordered = sorted(self._recent)
        if not ordered:
            return 0.0, 0.0
        return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
