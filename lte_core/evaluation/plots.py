"""Plots of a report as SVG texts: reliability, accuracy over coverage, confusion. Knows no file and no model."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lte_core.evaluation.metrics import Bin, Outcome
from lte_core.schema import Verdict

if TYPE_CHECKING:
    from lte_core.evaluation.robustness import Held

INK, BLUE, ORANGE = "#30343b", "#2f6f8f", "#b4572b"


def reliability(bins: Sequence[Bin], title: str) -> str:
    """Accuracy over confidence: bars on the dashed line are calibrated; their width says how many images they hold."""
    figure, axes = _figure(title)
    axes.plot([0.5, 1], [0.5, 1], color=INK, linestyle="--", linewidth=1)
    most = max((b.n for b in bins), default=1)
    for b in bins:
        axes.bar((b.low + b.high) / 2, b.accuracy, width=(b.high - b.low) * (0.2 + 0.75 * b.n / most), color=BLUE)
    axes.set(xlim=(0.5, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    return _svg(figure)


def coverage(outcomes: Sequence[Outcome], title: str) -> str:
    """Accuracy of the most confident share of the images, over that share (selective classification)."""
    by_confidence: dict[float, list[bool]] = defaultdict(list)
    for o in outcomes:
        if o.p_generated is not None:
            by_confidence[abs(o.p_generated - 0.5)].append(o.final == o.label)
    # Images of one confidence are judged together: each counts as right as they are on average.
    scored = [sum(hits) / len(hits) for _, hits in sorted(by_confidence.items(), reverse=True) for _ in hits]
    figure, axes = _figure(title)
    if scored:
        right = np.cumsum(scored) / np.arange(1, len(scored) + 1)
        axes.plot(np.arange(1, len(scored) + 1) / len(scored), right, color=BLUE)
    axes.set(xlim=(0, 1), ylim=(min(0.5, *axes.get_ylim()), 1.01), xlabel="share of images judged", ylabel="accuracy")
    return _svg(figure)


def confusion(outcomes: Sequence[Outcome], title: str) -> str:
    """Counts of labels by final verdict, unreadable ones apart."""
    columns = [*Verdict, None]
    counts = np.array([[sum(o.label is y and o.final is v for o in outcomes) for v in columns] for y in Verdict])
    figure, axes = _figure(title)
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=max(1, counts.max()))
    for (y, x), n in np.ndenumerate(counts):
        axes.text(x, y, f"{n:,}", ha="center", va="center", color="white" if n > counts.max() / 2 else INK)
    axes.set_xticks(range(3), ["real", "generated", "unreadable"])
    axes.set_yticks(range(2), ["real", "generated"])
    axes.set(xlabel="final verdict", ylabel="label")
    return _svg(figure)


def levels(rows: Sequence[Held]) -> str:
    """Accuracy and flips, level by level in the order of the table."""
    figure, axes = _figure("Accuracy (bars) and flipped verdicts (line)")
    figure.set_size_inches(9, 3.6)
    places = range(len(rows))
    axes.bar(places, [one.acc for one in rows], color=BLUE)
    axes.plot(places, [one.flips for one in rows], color=ORANGE, marker="o", linewidth=1)
    axes.set_xticks(places, [one.level for one in rows], rotation=60, ha="right", fontsize=8)
    axes.set(ylim=(0, 1))
    return _svg(figure)


def _figure(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, color=INK)
    return figure, axes


def _svg(figure: Any) -> str:
    """The figure as text, the same each time, with its letters as letters."""
    import matplotlib as mpl

    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lte", "font.family": "sans-serif"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue().partition("<svg")[2].join(("<svg", ""))
