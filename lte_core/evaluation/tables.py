"""Predictions files as rows of tables: one a file, one a data set and generator, with intervals. Loads no model.

Every row names its file and the file's hash, so that any number can be traced back.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lte_core.dataset.build import file_hash
from lte_core.evaluation.intervals import Compared, Interval, compare, intervals
from lte_core.evaluation.metrics import Outcome, Scores, score
from lte_core.evaluation.modes import WITH_BOXES, WITH_WORDS, Mode
from lte_core.evaluation.outcomes import PredictionsError, Truth, outcome, read_predictions, without
from lte_core.evaluation.run import run_file
from lte_core.inference.detector import Failure
from lte_core.schema import Detection
from lte_core.text_metrics import TOKENISATION

FLOOR = "shortcut floor"
"""What the row of `floor.py` is called."""


@dataclass(frozen=True)
class Loaded:
    """A predictions file: its lines as outcomes, and what made it (empty where the file beside is missing).

    `seeds` are the files of which `outcomes` is the whole, where there are several (`pooled`): this one, and others
    that were made alike by the same training with another seed.
    """

    path: Path
    sha256: str
    run: dict[str, Any]
    outcomes: Sequence[Outcome]
    bad: Sequence[str] = ()
    title: str | None = None
    seeds: Sequence[Loaded] = ()

    @property
    def name(self) -> str:
        """What tells it from the others: its title, model, mode and crops, or the file's name."""
        if self.title is not None:
            return self.title
        if not self.run:
            return self.path.stem
        config, model = self.run["config"], self.run["model"]["name"]
        crops = f", {config['crops']} crops" if config["mode"] == "lte" and config["crops"] != "own" else ""
        return f"{model}, {config['mode']}{crops}"


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    scores: Scores
    intervals: dict[str, Interval]


def load(path: Path) -> Loaded:
    """Read and score a file; lines that are no predictions are told in `bad`. Raises PredictionsError without any
    other, or OSError."""
    bad: list[str] = []
    found: dict[str, Outcome] = {}
    run = _run(path)
    mode = run["config"]["mode"] if run else Mode.LTE
    for truth, result in read_predictions(path, bad):
        if truth.id in found:
            bad.append(f"{path}: {truth.id} is predicted twice; the first line counts")
        else:
            one = outcome(truth, result)
            found[truth.id] = without(one, boxes=mode in WITH_BOXES, words=mode in WITH_WORDS)
    if not found:
        raise PredictionsError(bad[0] if bad else f"{path}: expected at least one prediction, found none")
    wanted = run.get("samples")
    if isinstance(wanted, int) and wanted > len(found):
        bad.append(f"{path}: {len(found):,} of {wanted:,} samples are predicted; eval predict goes on")
    return Loaded(path, file_hash(path), run, list(found.values()), bad)


def pooled(title: str, files: Sequence[Loaded]) -> Loaded:
    """Files of one training with several seeds as one row; a single one as it is. An image is drawn for its interval
    with the predictions of all seeds: they say less than as many images."""
    if len(files) == 1:
        return replace(files[0], title=title)
    seeds = [replace(one, title=f"{title}, seed {number}") for number, one in enumerate(files, 1)]
    together = [replace(o, group=o.group if o.group is not None else o.id) for one in seeds for o in one.outcomes]
    return replace(seeds[0], outcomes=together, bad=[b for one in seeds for b in one.bad], title=title, seeds=seeds)


def _run(path: Path) -> dict[str, Any]:
    """What made a file, where the file beside says so."""
    try:
        match json.loads(run_file(path).read_text(encoding="utf-8")):
            case {"config": {"mode": str(), "crops": str()}, "model": {"name": str()}} as run:
                return dict(run)
    except (OSError, ValueError):
        pass
    return {}


def row(name: str, outcomes: Sequence[Outcome], seed: int = 0, resamples: int = 1_000) -> Row:
    return Row(name, score(outcomes), intervals(outcomes, seed, resamples))


def by_source(outcomes: Sequence[Outcome]) -> list[Row]:
    """A row for each data set and generator, in the order of their names; without a table for a single one."""
    parts: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        parts[one.source or "unnamed", one.generator or one.label.value].append(one)
    if len(parts) < 2:
        return []
    return [
        row(f"{source}: {generator}", parts[source, generator], resamples=200) for source, generator in sorted(parts)
    ]


def comparisons(files: Sequence[Loaded], reference: Loaded | None = None) -> list[tuple[str, str, Compared]]:
    """One file, the first unless another is named, against each other one, on the images that both have."""
    found, first = [], reference or files[0]
    for other in files:
        if other is first:
            continue
        try:
            found.append((first.name, other.name, compare(first.outcomes, other.outcomes)))
        except ValueError:
            continue  # no image in common
    return found


def flips(path: Path, most: int = 12) -> dict[str, list[tuple[Truth, Detection]]]:
    """Images whose verdict the second look changed: for the better, and for the worse."""
    found: dict[str, list[tuple[Truth, Detection]]] = {"wrong to right": [], "right to wrong": []}
    for truth, result in read_predictions(path, []):
        if isinstance(result, Failure) or not result.flipped:
            continue
        kind = "wrong to right" if result.verdict == truth.label else "right to wrong"
        if len(found[kind]) < most:
            found[kind].append((truth, result))
    return found


def write_report(
    files: Sequence[Loaded], rows: Sequence[Row], out: Path, images: Path | None = None, levels: Path | None = None,
    reference: Loaded | None = None,
) -> str:  # fmt: skip
    """Write `report.json`, `report.md` and `report.html`; gives the Markdown.

    `levels` is a folder of `eval robustness`, whose table and curve come in, too. The others are compared with
    `reference`, or with the first.
    """
    from lte_core.evaluation.report import markdown
    from lte_core.evaluation.report_html import page

    compared = comparisons(files, reference)
    text = markdown(files, rows, compared, [(one.name, by_source(one.outcomes)) for one in files])
    curve = ""
    if levels is not None:
        from lte_core.evaluation.hold import robustness_curve, robustness_text
        from lte_core.evaluation.robustness import measure

        held, stability = measure(levels)
        text += "\n" + robustness_text(held, stability).replace("# ", "## ", 1)
        curve = robustness_curve(held)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(as_record(files, rows, compared), indent=2) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    (out / "report.html").write_text(page(text, files, rows, images, curve), encoding="utf-8")
    return text


def as_record(
    files: Sequence[Loaded], rows: Sequence[Row], compared: Sequence[tuple[str, str, Compared]]
) -> dict[str, Any]:
    """What `eval report --json` prints: the first file's figures at the top, and all of them under `files`."""
    listed = []
    for loaded, made in zip(files, rows, strict=True):
        seeds = [_figures(one, row(one.name, one.outcomes)) for one in loaded.seeds]
        listed.append(_figures(loaded, made) | ({"seeds": seeds} if seeds else {}))
    told = [{"a": a, "b": b, **asdict(found)} for a, b, found in compared]
    return {**listed[0], "tokenisation": TOKENISATION, "files": listed, "comparisons": told}


def _figures(loaded: Loaded, made: Row) -> dict[str, Any]:
    figures = asdict(made.scores)
    figures.pop("bins")
    return {
        "name": made.name,
        "file": str(loaded.path),
        "sha256": loaded.sha256,
        "run": loaded.run,
        **figures,
        "intervals": {name: [i.low, i.high] for name, i in made.intervals.items()},
    }
