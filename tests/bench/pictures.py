"""The results as pictures that read well on light and on dark pages."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes

from tests.bench import end_to_end, growth, latency

matplotlib.use("svg")
OURS, OURS_INT8, OTHERS, LIMIT = "#2f9e64", "#8fcfae", "#8a94a6", "#c2572f"
COLOURS = {end_to_end.OURS: OURS, end_to_end.OURS_INT8: OURS_INT8}
HEADROOM = 1.1
WIDTH_INCHES = 7.0
INK = "#7a8394"  # neither black nor white: seen on both
STYLE = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
    "svg.hashsalt": "urgency-router",
}


def rates(measured: Sequence[end_to_end.Measured], path: Path) -> None:
    """A bar for each contestant, and the limit of the hardware."""
    with pyplot.rc_context(STYLE):
        _, axes = pyplot.subplots(figsize=(WIDTH_INCHES, 2.4))
        names = [one.name for one in reversed(measured)]
        colours = [COLOURS.get(name, OTHERS) for name in names]
        bars = axes.barh(names, [one.rate for one in reversed(measured)], color=colours)
        axes.bar_label(bars, fmt="%.0f", padding=4)
        limit = measured[0].rate / measured[0].share
        axes.axvline(limit, color=LIMIT, linestyle="--")
        axes.annotate(
            "limit of the hardware in fp32",
            (limit, 1.0),
            xycoords=("data", "axes fraction"),
            color=LIMIT,
            ha="right",
            va="bottom",
        )
        axes.set_xlabel("comments a second, end to end through Kafka")
        _save(path)


def delays(measured: Sequence[latency.Measured], path: Path) -> None:
    """Delay against load."""
    with pyplot.rc_context(STYLE):
        _, axes = pyplot.subplots(figsize=(WIDTH_INCHES, 2.8))
        loads = [one.load.partition(" ")[0] for one in measured]
        for name, colour in (("p50", OURS), ("p99", OTHERS), ("p999", LIMIT)):
            seconds = [getattr(one, name) for one in measured]
            axes.plot(loads, seconds, marker="o", color=colour)
            # Under load they come close to each other.
            start = (0, seconds[0])
            axes.annotate(name.replace("p999", "p99.9"), start, (0, 8), textcoords="offset points")
        axes.set_xlabel("load, of capacity")
        axes.set_ylabel("delay of a comment, seconds")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        _save(path)


def rates_of_growth(measured: growth.Measured, path: Path) -> None:
    """Rates against the length of texts, the batch bound, and the number of consumers."""
    with pyplot.rc_context(STYLE):
        _, (by_length, by_bound, by_workers) = pyplot.subplots(1, 3, figsize=(WIDTH_INCHES, 2.4))
        _line(by_length, measured.by_length, "tokens a text")
        by_length.set_ylabel("comments a second")
        _line(by_bound, measured.by_bound, "batch bound, seconds")
        _line(by_workers, measured.by_workers, "workers, no model")
        _save(path)


def _line(axes: Axes, points: Sequence[growth.Point], label: str) -> None:
    axes.plot(*zip(*points, strict=True), marker="o", color=OURS)
    axes.set_xlabel(label)
    axes.set_ylim(0, HEADROOM * max(y for _, y in points))


def _save(path: Path) -> None:
    pyplot.tight_layout()
    pyplot.savefig(path, transparent=True, metadata={"Date": None})
    pyplot.close()
