"""Robustness and faithfulness in words, tables and a page. Loads no model."""

from __future__ import annotations

from collections.abc import Sequence

from lte_core.evaluation import plots
from lte_core.evaluation.faithfulness import Faithfulness, Mean
from lte_core.evaluation.report import cell
from lte_core.evaluation.report_html import as_image, wrapped
from lte_core.evaluation.robustness import Held, Stability


def robustness_text(rows: Sequence[Held], stability: Stability) -> str:
    """Markdown: a row a level."""
    lines = [
        "# Robustness",
        "",
        "| both classes changed alike | n | Acc | change | flips | of real | of generated | IoU |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for one in rows:
        change = f"{one.change:+.3f} [{one.change_interval.low:+.3f}, {one.change_interval.high:+.3f}]"
        flips = (cell(value, None) for value in (one.flips, one.flips_real, one.flips_generated, one.iou))
        lines.append(f"| {one.level} | {one.n:,} | {cell(one.acc, one.interval)} | {change} | {' | '.join(flips)} |")
    lines += [
        "",
        f"Stability, over the {stability.n:,} images with a verdict: it is the same on every level for "
        f"{stability.always:.1%} of them; on average it is an image's commonest one on {stability.agreement:.1%} of "
        "the levels.",
    ]
    return "\n".join(lines) + "\n"


def robustness_page(text: str, rows: Sequence[Held]) -> str:
    """The same with a curve for each kind of change."""
    return wrapped("Robustness", text, robustness_curve(rows))


def robustness_curve(rows: Sequence[Held]) -> str:
    """The plot as HTML."""
    return f'<div class="plots">{as_image(plots.levels(rows))}</div>'


def faithfulness_text(found: Faithfulness) -> str:
    """A few sentences."""

    def mean(one: Mean) -> str:
        return f"{one.value:+.3f} [{one.interval.low:+.3f}, {one.interval.high:+.3f}]"

    lines = [
        f"{found.n:,} images with boxes. P(verdict) falls by {mean(found.own_drop)} when the named areas are hidden,",
        f"and by {mean(found.random_drop)} when as much is hidden elsewhere: faithfulness {mean(found.score)}.",
        f"With another image's crops it falls by {mean(found.swapped_drop)}; {found.swapped_flips:.1%} of the verdicts",
        "change.",
        f"Crops that the words refer to: {cell(found.named, None)}; references to no crop: "
        f"{cell(found.dangling, None)}; references whose words fit the crop's label: {cell(found.fitting, None)}.",
    ]
    return "\n".join(lines)
