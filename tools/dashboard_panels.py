"""What the Grafana dashboards show: every panel with its queries and its meaning, as plain data.

`tools/dashboards.py` turns this into Grafana's JSON, into the tables of `docs/howto/dashboards.md` and into pictures.
`$namespace` and `$resource` are the dashboards' variables, `$__rate_interval` and `$__range` are Grafana's own.
"""

from dataclasses import dataclass
from typing import Literal

OF = 'namespace=~"$namespace",resource=~"$resource"'
IN = 'namespace=~"$namespace"'
RATE = "[$__rate_interval]"


@dataclass(frozen=True)
class Query:
    """One PromQL expression and how its series are called (`{{label}}` parts are filled in)."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel. `unit` is Grafana's name of a unit, `says` the sentence that explains it."""

    title: str
    says: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    stacked: bool = False
    signed: bool = False
    """Values may be below zero."""
    alarm: float | None = None
    """A stat turns red from here on."""
    width: int = 8
    """of 24"""


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """One dashboard; `name` is its file's."""

    name: str
    title: str
    says: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All of them."""
        return tuple(panel for row in self.rows for panel in row.panels)


def plain(expr: str, window: int, seconds: int) -> str:
    """An expression for every namespace and resource, without Grafana: rates over `window`, ranges of `seconds`."""
    for variable in ("$namespace", "$resource"):
        expr = expr.replace(variable, ".*")
    return expr.replace("$__rate_interval", f"{window}s").replace("$__range", f"{seconds}s")


def rate(metric: str, by: str, of: str = OF, more: str = "") -> str:
    """Growth per second, summed over everything but `by`."""
    return f"sum by ({by}) (rate({metric}{{{of}{more}}}{RATE}))"


def quantile(part: float, metric: str, by: str, of: str = OF) -> str:
    """A quantile of a histogram, one series for each `by`."""
    return f"histogram_quantile({part}, sum by (le, {by}) (rate({metric}_bucket{{{of}}}{RATE})))"


def share(part: str, whole: str) -> str:
    """One growth as a part of another."""
    return f"sum(rate({part}{RATE})) / sum(rate({whole}{RATE}))"


def total(metric: str, more: str = "", by: str = "") -> str:
    """A gauge, summed."""
    return f"sum{f' by ({by}) ' if by else ''}({metric}{{{OF}{more}}})"


def biggest(metric: str) -> str:
    """A gauge of each resource."""
    return f"max by (namespace, resource) ({metric}{{{OF}}})"


RESOURCE = "{{namespace}}/{{resource}}"
LATENCY = Board(
    "latency",
    "Umiak: latency",
    "How long answers take and where the time goes. The first row comes from the heartbeats of edges, through the hub.",
    (
        Row(
            "Answers of the edges, by their heartbeats",
            (
                Panel(
                    "Answer time, 95 of 100",
                    "From the photo to its final answer; 95 of 100 are faster. `cloud`: hard frames that the cloud "
                    "answered in time, `edge`: all others.",
                    "s",
                    (Query(quantile(0.95, "umiak_fleet_answer_seconds", "route"), "{{route}}"),),
                ),
                Panel(
                    "Answer time, half",
                    "The same, half of the answers are faster.",
                    "s",
                    (Query(quantile(0.5, "umiak_fleet_answer_seconds", "route"), "{{route}}"),),
                ),
                Panel(
                    "Answered within half a second",
                    "Share of answers that took at most 0.5 s, by route.",
                    "percentunit",
                    (
                        Query(
                            rate("umiak_fleet_answer_seconds_bucket", "route", more=',le="0.5"')
                            + " / "
                            + rate("umiak_fleet_answer_seconds_count", "route"),
                            "{{route}}",
                        ),
                    ),
                ),
                Panel(
                    "Answers by reason",
                    "Final answers per second. `Easy`: no rule called the frame hard. `NotJudged`: the model does not "
                    "say what a rule goes by. `CloudAnswered`: hard, and the cloud was in time. The others: hard, and "
                    "the edge had to answer all the same.",
                    "reqps",
                    (Query(rate("umiak_fleet_frames_total", "reason"), "{{reason}}"),),
                    stacked=True,
                ),
                Panel(
                    "Hard frames without the cloud",
                    "Share of hard frames that the edge answered itself because the cloud was away, late or expected "
                    "late, or the queue was full.",
                    "percentunit",
                    (
                        Query(
                            share(
                                f'umiak_fleet_frames_total{{{OF},route="edge",reason!~"Easy|NotJudged"}}',
                                f'umiak_fleet_frames_total{{{OF},reason!~"Easy|NotJudged"}}',
                            ),
                            "without the cloud",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "The cloud worker",
            (
                Panel(
                    "Cloud: time by stage, 95 of 100",
                    "Where the cloud worker spends its time on one hard example.",
                    "s",
                    (Query(quantile(0.95, "umiak_cloud_stage_seconds", "stage"), "{{stage}}"),),
                ),
                Panel(
                    "Cloud: examples that run or wait",
                    "More than a few for long means that the cloud worker is too small.",
                    "short",
                    (Query(total("umiak_cloud_waiting", by="namespace, resource"), RESOURCE),),
                ),
                Panel(
                    "Cloud: examples by outcome",
                    "Hard examples per second: answered, or why not.",
                    "reqps",
                    (Query(rate("umiak_cloud_examples_total", "outcome"), "{{outcome}}"),),
                ),
            ),
        ),
        Row(
            "Inside edges that Prometheus reaches (none behind NAT)",
            (
                Panel(
                    "Router: time by stage, 95 of 100",
                    "Waiting for the edge model and the cloud, judging, queueing, fusing, writing the answer down.",
                    "s",
                    (Query(quantile(0.95, "umiak_stage_seconds", "stage"), "{{stage}}"),),
                ),
                Panel(
                    "Router: its own time per frame",
                    "Time per frame that was neither the edge model's nor the cloud's.",
                    "s",
                    (
                        Query(quantile(0.5, "umiak_router_overhead_seconds", "namespace"), "half, {{namespace}}"),
                        Query(quantile(0.95, "umiak_router_overhead_seconds", "namespace"), "95 of 100, {{namespace}}"),
                    ),
                ),
                Panel(
                    "Edge model: time in the model, 95 of 100",
                    "One photo in the edge's model, without decoding.",
                    "s",
                    (Query(quantile(0.95, "umiak_edge_inference_seconds", "namespace"), "{{namespace}}"),),
                ),
                Panel(
                    "Late cloud answers and overdue frames",
                    "Cloud answers that came after the deadline (kept as revisions), and final answers that were "
                    "committed after it (should be none).",
                    "reqps",
                    (
                        Query(rate("umiak_late_revisions_total", "namespace"), "late revisions, {{namespace}}"),
                        Query(rate("umiak_overdue_frames_total", "namespace"), "overdue, {{namespace}}"),
                    ),
                ),
            ),
        ),
    ),
)
BANDWIDTH = Board(
    "bandwidth",
    "Umiak: bandwidth",
    "What travels between edges, cloud and hub, and what waits to travel.",
    (
        Row(
            "Between edges and cloud, by heartbeats",
            (
                Panel(
                    "Bytes per second",
                    "`up`: photos and their headers to the cloud, `down`: its answers.",
                    "Bps",
                    (Query(rate("umiak_fleet_bytes_total", "direction"), "{{direction}}"),),
                ),
                Panel(
                    "Bytes up per frame",
                    "What one frame costs on average, easy ones included: sending every photo would be the size of a "
                    "photo.",
                    "bytes",
                    (
                        Query(
                            share(
                                f'umiak_fleet_bytes_total{{{OF},direction="up"}}', f"umiak_fleet_frames_total{{{OF}}}"
                            ),
                            "bytes per frame",
                        ),
                    ),
                ),
                Panel(
                    "Share of frames that were hard",
                    "What the miners of the resources called hard.",
                    "percentunit",
                    (
                        Query(
                            share(
                                f'umiak_fleet_frames_total{{{OF},reason!~"Easy|NotJudged"}}',
                                f"umiak_fleet_frames_total{{{OF}}}",
                            ),
                            "hard",
                        ),
                    ),
                ),
                Panel(
                    "Bytes in the chosen time",
                    "Sum over all chosen resources.",
                    "bytes",
                    (
                        Query(
                            f"sum by (direction) (increase(umiak_fleet_bytes_total{{{OF}}}[$__range]))", "{{direction}}"
                        ),
                    ),
                    kind="stat",
                ),
            ),
        ),
        Row(
            "What waits at the edges",
            (
                Panel(
                    "Hard examples that wait for a receipt",
                    "They leave once the hub has stored them; a line that climbs means a cloud or a link that is away.",
                    "short",
                    (Query(biggest("umiak_fleet_queue_items"), RESOURCE),),
                ),
                Panel(
                    "Bytes of their photos",
                    "What will travel when the link is back.",
                    "bytes",
                    (Query(biggest("umiak_fleet_queue_bytes"), RESOURCE),),
                ),
                Panel(
                    "Age of the oldest one",
                    "Of all edges of the resource, when each spoke last.",
                    "s",
                    (Query(biggest("umiak_fleet_queue_oldest_seconds"), RESOURCE),),
                ),
                Panel(
                    "Hard examples given up",
                    "The queue was full and the oldest made room: lost to learning, not to answering.",
                    "reqps",
                    (Query(rate("umiak_fleet_dropped_total", "namespace, resource"), RESOURCE),),
                ),
            ),
        ),
        Row(
            "The hub",
            (
                Panel(
                    "Hub: bytes per second by channel",
                    "Bodies through the hub's listener: models, samples, reports, releases, fleet (the operator). A "
                    "cache in front of the hub keeps model downloads away from this figure.",
                    "Bps",
                    (
                        Query(
                            f"sum by (channel, direction) (rate(umiak_hub_http_bytes_total{RATE}))",
                            "{{channel}} {{direction}}",
                        ),
                    ),
                ),
                Panel(
                    "Hub: models sent, by receiver",
                    "Manifests and blobs; `agent` is what edges download.",
                    "Bps",
                    (
                        Query(
                            "sum by (role) (rate(umiak_hub_http_bytes_total"
                            f'{{channel="models",direction="down"}}{RATE}))',
                            "{{role}}",
                        ),
                    ),
                ),
                Panel(
                    "Hub: how full its state is",
                    "Blobs and samples as a share of what the hub may keep.",
                    "percentunit",
                    (Query("max(umiak_hub_state_bytes / umiak_hub_state_limit_bytes)", "full"),),
                ),
                Panel(
                    "Hub: bytes of samples kept",
                    "By resource; `spec.replay.capacity` bounds it.",
                    "bytes",
                    (Query(biggest("umiak_replay_bytes"), RESOURCE),),
                    stacked=True,
                ),
            ),
        ),
    ),
)
FLEET = Board(
    "fleet",
    "Umiak: fleet and models",
    "Which edges are heard of, what they run, and how releases and the operator get on.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Edges that report",
                    "Heard of within the hub's silence limit.",
                    "short",
                    (Query(total("umiak_fleet_edges", ',state="reporting"'), "reporting"),),
                    kind="stat",
                    width=6,
                ),
                Panel(
                    "Edges that are silent",
                    "Heard of once, but not lately. They may well be answering: offline edges are normal.",
                    "short",
                    (Query(total("umiak_fleet_edges", ',state="silent"'), "silent"),),
                    kind="stat",
                    alarm=1,
                    width=6,
                ),
                Panel(
                    "Edges behind their line",
                    "They report, but do not run the head of their line (yet).",
                    "short",
                    (Query(total("umiak_fleet_edges_behind"), "behind"),),
                    kind="stat",
                    alarm=1,
                    width=6,
                ),
                Panel(
                    "Edges whose agent failed",
                    "A model was refused or could not be fetched; the old one goes on.",
                    "short",
                    (Query(total("umiak_fleet_agents", ',state="Failed"'), "failed"),),
                    kind="stat",
                    alarm=1,
                    width=6,
                ),
            ),
        ),
        Row(
            "Edges",
            (
                Panel(
                    "Edges by presence",
                    "`unheard`: the resource names them, but they have never spoken.",
                    "short",
                    (Query(total("umiak_fleet_edges", by="state"), "{{state}}"),),
                    stacked=True,
                ),
                Panel(
                    "Agents by what they do",
                    "Downloading and Installing during a rollout, Failed after a bad one.",
                    "short",
                    (Query(total("umiak_fleet_agents", by="state"), "{{state}}"),),
                    stacked=True,
                ),
                Panel(
                    "Different models in force",
                    "Among the reporting edges of a resource: 1 is agreement, 2 is a rollout under way.",
                    "short",
                    (Query(biggest("umiak_fleet_models"), RESOURCE),),
                ),
            ),
        ),
        Row(
            "Models",
            (
                Panel(
                    "Heads of lines",
                    "The model that each line leads to.",
                    "short",
                    (Query(f"max by (namespace, line, digest) (umiak_line_head_info{{{IN}}})", ""),),
                    kind="table",
                    width=16,
                ),
                Panel(
                    "Releases of each line",
                    "The sequence number of its head; each step is a release.",
                    "short",
                    (Query(f"max by (namespace, line) (umiak_line_sequence{{{IN}}})", "{{namespace}}/{{line}}"),),
                ),
                Panel(
                    "Releases by state",
                    "Published ones pile up; those that wait should not.",
                    "short",
                    (Query(f"sum by (state) (umiak_releases{{{IN}}})", "{{state}}"),),
                ),
                Panel(
                    "Oldest unfinished release",
                    "How long it has stood still: waiting for its model, its turn, or the signer.",
                    "s",
                    (Query(f"max by (namespace) (umiak_release_wait_seconds{{{IN}}})", "{{namespace}}"),),
                ),
                Panel(
                    "Model servers by model (edges that Prometheus reaches)",
                    "How many edge processes serve each digest.",
                    "short",
                    (Query(f"count by (line, digest) (umiak_edge_model_info{{{OF}}})", "{{line}} {{digest}}"),),
                ),
            ),
        ),
        Row(
            "Hub and operator",
            (
                Panel(
                    "Hub: database answers",
                    "1: it does. 0: reports and samples wait, edges go on.",
                    "short",
                    (Query("min(umiak_hub_database_up)", "answers"),),
                ),
                Panel(
                    "Operator: looks by outcome",
                    "Reconciles per second. Failed ones are tried again, later and later.",
                    "ops",
                    (
                        Query(
                            f"sum by (outcome) (rate(umiak_operator_reconciles_total{RATE}))",
                            "{{outcome}}",
                        ),
                    ),
                ),
                Panel(
                    "Operator: time of a look, 95 of 100",
                    "By kind of resource.",
                    "s",
                    (
                        Query(
                            "histogram_quantile(0.95, sum by (le, kind) "
                            f"(rate(umiak_operator_reconcile_seconds_bucket{RATE})))",
                            "{{kind}}",
                        ),
                    ),
                ),
                Panel(
                    "Operator: queue",
                    "`due`: should be looked at now. `later`: wait for their moment, which is the normal state.",
                    "short",
                    (
                        Query("sum(umiak_operator_queue_due)", "due"),
                        Query("sum(umiak_operator_queue_later)", "later"),
                    ),
                ),
            ),
        ),
    ),
)
LEARNING = Board(
    "learning",
    "Umiak: learning",
    "What hard frames have become: samples, training rounds, releases.",
    (
        Row(
            "Samples",
            (
                Panel(
                    "Samples kept",
                    "In the hub's replay store, by JointInference.",
                    "short",
                    (Query(biggest("umiak_replay_samples"), RESOURCE),),
                ),
                Panel(
                    "Samples stored per hour",
                    "Each hard example once, however often it was sent.",
                    "short",
                    (Query(f"3600 * {rate('umiak_replay_stored_total', 'namespace, resource')}", RESOURCE),),
                ),
                Panel(
                    "Fresh samples",
                    "Stored since the samples of the last round, by LifelongLearning: at `spec.trigger.samples` the "
                    "next round starts.",
                    "short",
                    (Query(biggest("umiak_learning_fresh_samples"), RESOURCE),),
                ),
                Panel(
                    "Cloud: samples handed to the hub",
                    "Per second, by what the hub said; `unavailable` ones stay at the edge and come again.",
                    "reqps",
                    (Query(rate("umiak_cloud_samples_total", "outcome"), "{{outcome}}"),),
                ),
                Panel(
                    "Cloud: masks that decided a label",
                    "SAM masks per second; 0 where no SAM is configured.",
                    "ops",
                    (Query(rate("umiak_cloud_masks_total", "namespace, resource"), RESOURCE),),
                ),
            ),
        ),
        Row(
            "Rounds",
            (
                Panel(
                    "Rounds by outcome",
                    "Training rounds since the hub started: promoted, refused by the gate, failed.",
                    "short",
                    (Query(total("umiak_rounds_total", by="outcome"), "{{outcome}}"),),
                ),
                Panel(
                    "Gain and forgetting of the last round",
                    "mIoU won on the held-back newest samples, and lost on the base data's.",
                    "percentunit",
                    (
                        Query(
                            f'max by (namespace, resource, score) (umiak_round_score{{{OF},score=~"gain|forgetting"}})',
                            "{{score}} " + RESOURCE,
                        ),
                    ),
                    signed=True,
                ),
                Panel(
                    "mIoU before and after the last round",
                    "Of the base and of the candidate, on both holdouts. Labels of the replay holdout are the cloud's.",
                    "percentunit",
                    (
                        Query(
                            f'max by (namespace, resource, score) (umiak_round_score{{{OF},score=~".*miou.*"}})',
                            "{{score}} " + RESOURCE,
                        ),
                    ),
                ),
                Panel(
                    "Time since the last round",
                    "By LifelongLearning.",
                    "s",
                    (Query(f"time() - {biggest('umiak_round_finished_timestamp_seconds')}", RESOURCE),),
                ),
                Panel(
                    "Samples that the last round saw",
                    "Up to its watermark.",
                    "short",
                    (Query(biggest("umiak_round_samples"), RESOURCE),),
                ),
            ),
        ),
    ),
)
BOARDS = (LATENCY, BANDWIDTH, FLEET, LEARNING)
