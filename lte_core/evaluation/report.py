"""A report of predictions as Markdown: the main table, data sets and generators, comparisons. Loads no model.

`report_html.py` makes the page with plots and pictures of the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lte_core.evaluation.intervals import Compared, Interval
from lte_core.evaluation.metrics import Scores, score
from lte_core.evaluation.tables import FLOOR, Loaded, Row
from lte_core.text_metrics import TOKENISATION

COLUMNS: tuple[tuple[str, str, Callable[[Scores], float | None]], ...] = (
    ("Acc", "acc", lambda s: s.acc),
    ("I-Acc", "i_acc", lambda s: s.i_acc),
    ("C-Acc", "c_acc", lambda s: s.c_acc),
    ("C-Cases", "c_cases", lambda s: s.c_cases),
    ("IoU", "iou", lambda s: s.iou),
    ("BLEU-2", "bleu2", lambda s: s.bleu2),
    ("ROUGE-L", "rouge_l", lambda s: s.rouge_l),
    ("boxes", "boxes", lambda s: s.boxes),
    ("unreadable", "unreadable", lambda s: s.unreadable),
)
DETECTION: tuple[tuple[str, str, Callable[[Scores], float | None]], ...] = (
    ("real", "acc_real", lambda s: s.acc_real),
    ("generated", "acc_generated", lambda s: s.acc_generated),
    ("balanced", "balanced", lambda s: s.balanced),
    ("F1", "f1", lambda s: s.f1),
    ("AP", "ap", lambda s: s.ap),
    ("AUROC", "auroc", lambda s: s.auroc),
    ("with P", "scored", lambda s: s.scored / s.n),
    ("R@1 %", "recall_at_1", lambda s: s.recall_at_1),
    ("R@5 %", "recall_at_5", lambda s: s.recall_at_5),
    ("ECE", "ece", lambda s: s.ece),
    ("Brier", "brier", lambda s: s.brier),
    ("box F1", "box_f1", lambda s: s.box_f1),
    ("pixel IoU", "pixel_iou", lambda s: s.pixel_iou),
    ("s/image", "seconds", lambda s: s.seconds),
)
LEGEND = (
    "Acc is the final verdict's accuracy, I-Acc the first one's, C-Cases the share of changed verdicts, C-Acc how "
    "often a changed one is right; where all replies can be read, Acc = I-Acc + C-Cases (2 C-Acc - 1). IoU is the "
    "best-match mean over annotated boxes. In brackets: 95 % of bootstrap resamples of the images. An unreadable reply "
    "counts as wrong, and as changed where the other one can be read. Ranking and calibration are over the share of "
    f"the images that has a P(generated). BLEU and ROUGE: {TOKENISATION}."
)

SEEDS = (
    "In the tables above such rows pool the predictions of all their seeds, and an interval's resamples take an image "
    "with all of them: it is about the images, and this table about the trainings."
)

NO_FLOOR = (
    "The shortcut floor is missing here: what size, format and spectrum alone give away, without a look at the "
    "content. `eval floor --data DIR --out F.jsonl` measures it; give that file to the report, too."
)


def markdown(files: Sequence[Loaded], rows: Sequence[Row], compared: Sequence[tuple[str, str, Compared]],
             sources: Sequence[tuple[str, Sequence[Row]]]) -> str:  # fmt: skip
    """The whole report."""
    parts = ["# Evaluation", table(rows, COLUMNS), LEGEND, "## Detection and calibration", table(rows, DETECTION)]
    if not any(FLOOR in row.name for row in rows):
        parts.insert(3, NO_FLOOR)
    if compared:
        parts += [f"## Is {_plain(compared[0][0])} better?", _comparisons(compared)]
    parts += _over_seeds(files)
    for name, listed in sources:
        if listed:
            parts += [f"## By data set and generator: {_plain(name)}", table(listed, COLUMNS[:5])]
    parts += ["## Files", _files(files)]
    return "\n\n".join(parts) + "\n"


_SAFE = {"|": "/", "<": "‹", ">": "›", "[": "(", "]": ")", "`": "'", "*": "·", "\\": "/"}


def table(rows: Sequence[Row], columns: Sequence[tuple[str, str, Callable[[Scores], float | None]]]) -> str:
    """A Markdown table; a figure's interval follows it in brackets."""
    head = ["", "n", *(name for name, _, _ in columns)]
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    for row in rows:
        cells = [cell(get(row.scores), row.intervals.get(key)) for _, key, get in columns]
        lines.append([_plain(row.name), f"{row.scores.n:,}", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(value: float | None, interval: Interval | None) -> str:
    """A figure with its interval; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.3f}" + (f" [{interval.low:.3f}, {interval.high:.3f}]" if interval else "")


def _comparisons(compared: Sequence[tuple[str, str, Compared]]) -> str:
    lines = []
    for a, b, c in compared:
        lines.append(
            f"- {_plain(a)} against {_plain(b)}: {c.difference:+.3f} accuracy [{c.interval.low:+.3f}, "
            f"{c.interval.high:+.3f}] on {c.n:,} images; {_split(c)}."
        )
    return "\n".join(lines)


def _split(c: Compared) -> str:
    if c.p is None:
        return f"the first is more often right on {c.only_a:,}, the second on {c.only_b:,}"
    return f"only the first is right on {c.only_a:,}, only the second on {c.only_b:,} (McNemar p = {c.p:.2g})"


def _over_seeds(files: Sequence[Loaded]) -> list[str]:
    """What the rows of several seeds are made of: chance in training, beside that of the images."""
    rows = [Row(one.name, score(one.outcomes), {}) for loaded in files for one in loaded.seeds]
    return ["## Seed by seed", table(rows, COLUMNS), SEEDS] if rows else []


def _files(files: Sequence[Loaded]) -> str:
    lines = ["| name | predictions | sha256 | model's sha256 | commit |", "| --- | --- | --- | --- | --- |"]
    for loaded in (one for row in files for one in row.seeds or [row]):
        model = (loaded.run.get("model") or {}).get("sha256") or "–"
        commit = loaded.run.get("commit") or "–"
        path = _plain(str(loaded.path))
        cells = [
            _plain(loaded.name),
            f"`{path}`",
            loaded.sha256[:16],
            _plain(str(model))[:16],
            _plain(str(commit))[:12],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Without what would break a table."""
    """Also without what Markdown reads as links, headings or code."""
    return " ".join("".join(_SAFE.get(c, c) for c in text).split())
