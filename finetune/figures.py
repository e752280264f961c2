"""The report's pictures: SVG to stand inside a page, whose style gives the colours by day and by night."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from finetune.urgency import Cost

# Colours that no picture holds otherwise, and the variables of the page that take their place.
INK, OURS, OTHER, FAINT = "#0a0b0c", "#0a0b0d", "#0a0b0e", "#0a0b0f"
_VARIABLES = {INK: "--ink", OURS: "--ours", OTHER: "--other", FAINT: "--faint"}
LARGEST_DOT = 300.0  # square points, if it stood for all comments
_INCHES = (4.6, 3.0)  # so small that its letters can be read on a phone
_STYLE: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",  # letters stay text, in the page's own font
    "svg.hashsalt": "urgency-router",
}


def labels(counts: Mapping[str, int]) -> str:
    """A bar for each label."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes()
        bars = axes.bar(list(counts), list(counts.values()), color=OURS)
        axes.bar_label(bars, fmt="{:,.0f}", padding=2, color=INK)
        axes.grid(axis="x", visible=False)
        axes.margins(y=0.12)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set(xlabel="label", ylabel="comments")
        return _svg(figure)


def lengths(tokens: Sequence[int], most: int) -> str:
    """How many tokens comments have, of which the last is where they are cut."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes()
        axes.hist(tokens, bins=min(32, most), range=(0, most), color=OURS)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set(xlabel=f"tokens, cut to {most}", ylabel="comments")
        return _svg(figure)


def learning(history: Sequence[Mapping[str, Any]]) -> str:
    """Loss and macro-F1 over the epochs."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes()
        _points(axes, history, "loss", OURS, "loss, training", "-")
        _points(axes, history, "eval_loss", OTHER, "loss, validation", "o-")
        _points(axes, history, "eval_macro_f1", INK, "macro-F1, validation", "o--")
        axes.set(xlabel="epoch", ylim=(0, None))
        axes.legend(fontsize="small")
        return _svg(figure)


def reliability(before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]) -> str:
    """How often the model is right against how sure it is."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=2)
        for bins, colour, name in ((before, OTHER, "before scaling"), (after, OURS, "after")):
            sure, right, comments = (
                [one[key] for one in bins] for key in ("confidence", "accuracy", "comments")
            )
            axes.plot(sure, right, color=colour, label=name, linewidth=1)
            axes.scatter(sure, right, [LARGEST_DOT * count / sum(comments) for count in comments], colour)
        axes.set(xlabel="how sure", ylabel="how often right", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.legend(fontsize="small")
        return _svg(figure)


def misses(curve: Sequence[Cost], marked: Sequence[Cost], urgency: str) -> str:
    """Precision of the urgent queue and its share of the traffic against recall, some weights marked."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes()
        recall = [one.recall for one in curve]
        axes.plot(recall, [one.precision for one in curve], color=OURS, label=f"precision of {urgency}")
        axes.plot(recall, [one.traffic for one in curve], color=OTHER, label="share of traffic in it")
        for one in marked:
            axes.plot(one.recall, one.precision, "o", color=OURS)
            axes.annotate(f"{one.weight:g}", (one.recall, one.precision), (3, 4), textcoords="offset points")
        axes.set(xlabel=f"recall of {urgency}", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.legend(fontsize="small")
        return _svg(figure)


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_INCHES)
    return figure, figure.subplots()


def _points(
    axes: Axes, history: Sequence[Mapping[str, Any]], key: str, colour: str, name: str, style: str
) -> None:
    among = [one for one in history if key in one]
    axes.plot([one["epoch"] for one in among], [one[key] for one in among], style, color=colour, label=name)


def _svg(figure: Figure) -> str:
    """The element alone: without the XML declaration, and as wide as the page lets it be."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' (width|height)="[0-9.]+pt"', "", svg, count=2)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
