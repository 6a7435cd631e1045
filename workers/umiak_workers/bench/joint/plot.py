"""mIoU against bytes, drawn."""

from pathlib import Path

from umiak_workers.bench.joint.report import BUDGET, Result


def plot(result: Result, out: Path) -> None:
    """mIoU against bytes per photo, a line per router, as PNG."""
    import matplotlib  # an extra: only plots need it

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    for number, routed in enumerate(result.routed):
        points = sorted(routed.points, key=lambda point: point.bytes)
        style = {"Random": ":", "Oracle": "--"}.get(routed.name, "-")
        marker = {"frames": "o", "regions": "s", "quality": "D"}[routed.kind]
        kilobytes = [point.bytes / 1000 for point in points]
        axes.plot(
            kilobytes,
            [point.miou for point in points],
            style,
            marker=marker,
            markersize=4,
            color=f"C{number % 10}",
            label=routed.title,
        )
    axes.axhline(result.edge.miou, color="grey", linewidth=0.8)
    axes.axhline(result.cloud.miou, color="grey", linewidth=0.8)
    axes.text(0, result.edge.miou, " edge alone", va="bottom", color="grey", fontsize=8)
    axes.text(0, result.cloud.miou, " cloud alone", va="bottom", color="grey", fontsize=8)
    axes.axvline(BUDGET * result.cloud.bytes / 1000, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="kB uploaded per photo", ylabel="mIoU", title=f"{result.data}: {len(result.names)} photos")
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(out, dpi=110)
    pyplot.close(figure)
