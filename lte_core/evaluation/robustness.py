"""How verdicts hold when images are re-encoded, scaled, blurred, cut: accuracy, flips and agreement level by level.

Predictions come first here, too: a file a level, so that a killed run goes on with the level that it was at, and the
table is made from files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lte_core.evaluation.intervals import Interval, compare, intervals
from lte_core.evaluation.metrics import Outcome, score
from lte_core.evaluation.outcomes import outcome, read_predictions
from lte_core.evaluation.perturb import LEVELS, Level, changed, moved
from lte_core.evaluation.predict import predict
from lte_core.evaluation.run import Samples, about_run, keep, same_run
from lte_core.images import SourceImage
from lte_core.inference.detector import LocateThenExamine
from lte_core.schema import Size, TraceSample, Verdict


@dataclass(frozen=True)
class Held:
    """One level. `flips` is the share of images whose final verdict is another than on the untouched image, by label;
    `change` what the accuracy changed by, with its interval, on the same images."""

    level: str
    n: int
    acc: float
    interval: Interval | None
    change: float
    change_interval: Interval
    flips: float
    flips_real: float | None
    flips_generated: float | None
    iou: float | None


@dataclass(frozen=True)
class Stability:
    """Over all levels: the share of images whose verdict is the same on each, and the mean share of levels on which
    an image's verdict is its commonest one (1: always the same). Over the `n` images that have a verdict untouched; no
    verdict on a level counts as another one."""

    always: float
    agreement: float
    n: int


UNTOUCHED = "untouched"


def predict_levels(
    detector: LocateThenExamine,
    data: Samples,
    out: Path,
    levels: Sequence[Level] = LEVELS,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Path]:
    """A predictions file in `out` for the untouched images and for each level; those that are there are kept."""
    same_run(out / "robustness.run.json", about_run(detector, data))
    files, done = [], 0
    for level in (None, *levels):
        files.append(out / f"{_slug(level)}.jsonl")
        made = predict(detector, data.samples, data.root, change=_changing(level))
        keep(files[-1], made, lambda here, before=done: progress(before + here))  # type: ignore[misc]
        done += len(data.samples)
        progress(done)
    return files


def _changing(level: Level | None) -> Callable[[TraceSample, SourceImage], tuple[TraceSample, SourceImage]]:
    def change(sample: TraceSample, source: SourceImage) -> tuple[TraceSample, SourceImage]:
        if level is None:
            return sample, source
        new = changed(source, level)
        return moved(sample, level, Size(*new.pixels.size)), new

    return change


def measure(out: Path, levels: Sequence[Level] = LEVELS) -> tuple[list[Held], Stability]:
    """The table and the stability from the files of `predict_levels`."""
    base = _outcomes(out / f"{_slug(None)}.jsonl")
    rows = [_held(UNTOUCHED, base, base)]
    verdicts: dict[str, list[Verdict | None]] = {o.id: [o.final] for o in base if o.final is not None}
    for level in levels:
        found = _outcomes(out / f"{_slug(level)}.jsonl")
        rows.append(_held(level.name, found, base))
        for one in found:
            if one.id in verdicts:
                verdicts[one.id].append(one.final)
    if not verdicts:
        raise ValueError(f"No image in {out} has a verdict: there is nothing to hold.")
    shares = [max(Counter(v for v in said if v).values()) / len(said) for said in verdicts.values()]
    always = sum(share == 1 for share in shares) / len(shares)
    return rows, Stability(always, sum(shares) / len(shares), len(shares))


def _outcomes(path: Path) -> list[Outcome]:
    if not path.is_file():
        raise ValueError(f"{path.parent} lacks {path.name}: eval robustness --out {path.parent} makes it.")
    return [outcome(truth, result) for truth, result in read_predictions(path)]


def _held(name: str, found: Sequence[Outcome], base: Sequence[Outcome]) -> Held:
    before = {o.id: o.final for o in base}
    scores, gain = score(found), compare(found, base)
    flips, real, generated = (_flips(found, before, label) for label in (None, Verdict.REAL, Verdict.GENERATED))
    interval = intervals(found, resamples=200).get("acc")
    return Held(
        name,
        len(found),
        scores.acc,
        interval,
        gain.difference,
        gain.interval,
        flips or 0.0,
        real,
        generated,
        scores.iou,
    )


def _flips(found: Sequence[Outcome], before: Mapping[str, Verdict | None], label: Verdict | None) -> float | None:
    meant = [o for o in found if (label is None or o.label is label) and before[o.id] is not None]
    return sum(o.final != before[o.id] for o in meant) / len(meant) if meant else None


def _slug(level: Level | None) -> str:
    return UNTOUCHED if level is None else level.name.lower().replace(" ", "-").replace(".", "_")
