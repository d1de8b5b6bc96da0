"""`eval calibrate | ablate | robustness | faithfulness | baseline | floor` as they are typed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lte_core.commands.telling import counting, told
from lte_core.terminal import printable

if TYPE_CHECKING:
    from lte_core.evaluation.ablation import Planned
    from lte_core.evaluation.run import Samples
    from lte_core.evaluation.tables import Loaded
    from lte_core.inference.detector import Failure, LocateThenExamine

SOME_FAILED = 3

Data = Annotated[Path, typer.Option(help="A manifest, or the folder of one.")]
Out = Annotated[Path, typer.Option(help="Folder for predictions and tables; an interrupted run in it goes on.")]
Predictions = Annotated[Path, typer.Option(help="Where the predictions go: F.jsonl.")]
Model = Annotated[str, typer.Option(help="lte-nano, a directory, a hub id, or http://host/v1#name.")]
Part = Annotated[str | None, typer.Option("--split", help="Only this split: train, val or test.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many samples.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads for a local model.")]


def calibrate(
    data: Data,
    model: Annotated[Path, typer.Option(help="A model's directory: its lte.json is written.")],
    split: Part = None,
    limit: Limit = None,
    error: Annotated[float, typer.Option(min=0, max=0.5, help="Wrong verdicts allowed outside the band.")] = 0.1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what was found, and write nothing.")] = False,
    threads: Threads = None,
) -> None:
    """Fit the temperatures of both queries and the uncertain band on images that training did not see."""
    from lte_core.evaluation.fitting import fit

    with told():
        if not model.is_dir():
            raise ValueError(f"expected a model's directory, got {model}: only there its calibration can be kept")
        samples, detector = _samples(data, split, limit), load_detector(str(model), threads)
        with counting("calibrate", len(samples.samples)) as show:
            fitted = fit(detector, samples.samples, samples.root, error, show).checkpoint
        low, high = fitted.uncertain_band
        typer.echo(
            f"temperatures {fitted.temperature_locate:.3f} (Locate) and {fitted.temperature_examine:.3f} (Examine); "
            f"uncertain between {low:.3f} and {high:.3f}: outside, at most {error:.0%} of the verdicts on these "
            f"{len(samples.samples)} images were wrong"
        )
        if not dry_run:
            fitted.save(model)


def ablate(
    data: Data,
    out: Out,
    model: Annotated[
        list[str] | None,
        typer.Option(help="As for eval predict; several are seeds of one training, in one row. lte-nano by default."),
    ] = None,
    base: Annotated[str | None, typer.Option(help="An untrained model, for the first row.")] = None,
    extra: Annotated[
        list[str] | None, typer.Option(help="NAME=MODEL: another model with both looks, such as one without BLEU.")
    ] = None,
    single: Annotated[
        list[str] | None, typer.Option(help="NAME=MODEL: a model that was trained to look once, and is asked once.")
    ] = None,
    floor_train: Annotated[
        Path | None, typer.Option(help="What the shortcut floor learns from; without it, the other parts of --data.")
    ] = None,
    split: Part = None,
    limit: Limit = None,
    threads: Threads = None,
) -> None:
    """The paper's ablations in one table: steps of the method, and what Examine is shown."""
    from lte_core.evaluation.ablation import LTE, plan
    from lte_core.evaluation.tables import load, pooled, row, write_report

    with told():
        planned = plan(model or ["lte-nano"], base, extra or [], single or [])
        samples = _samples(data, split, limit)
        failed = _predict_all(planned, samples, out, split, limit, threads)
        rows = list(dict.fromkeys(one.row for one in planned))
        files = [pooled(name, [load(out / f"{one.file}.jsonl") for one in planned if one.row == name]) for name in rows]
        files += _floor_row(floor_train, samples, out / "floor.jsonl")
        reference = files[rows.index(LTE)]
        text = write_report(files, [row(one.name, one.outcomes) for one in files], out, reference=reference)
    typer.echo(text)
    for failure in failed[:5]:
        typer.echo(f"  {printable(f'{failure.path}: {failure.error}')}", err=True)
    raise typer.Exit(SOME_FAILED if failed else 0)


def _predict_all(
    planned: Sequence[Planned], samples: Samples, out: Path, split: str | None, limit: int | None, threads: int | None
) -> list[Failure]:
    """Every file that is not there yet, model by model: a large one is loaded once, and its first look, which does not
    depend on what Examine is shown, is asked for once."""
    from lte_core.evaluation.outcomes import detections
    from lte_core.evaluation.run import RunConfig, predict_file

    failed = []
    for which in dict.fromkeys(one.model for one in planned):
        detector, looked = load_detector(which, threads), None
        for one in (one for one in planned if one.model == which):
            file, config = out / f"{one.file}.jsonl", replace(one.config, split=split, limit=limit)
            with counting(one.file, len(samples.samples)) as show:
                failed += predict_file(detector, samples, file, config, show, looked)
            if one.config == RunConfig():
                looked = detections(file).get
    return failed


def _floor_row(train: Path | None, samples: Samples, path: Path) -> list[Loaded]:
    """The shortcut floor's row; none, and a word about it, where the data are of one class."""
    from lte_core.evaluation.baselines import BaselineError, write
    from lte_core.evaluation.floor import floor as fit_floor
    from lte_core.evaluation.tables import FLOOR, load

    if not path.exists():
        try:
            scores = fit_floor(samples, "both", None if train is None else _samples(train, None, None))
        except BaselineError as problem:
            if train is not None:
                raise
            typer.echo(f"  no shortcut floor: {problem}", err=True)
            return []
        write(path, FLOOR, samples, scores, {"train": str(train) if train else None, "features": "both"})
    return [replace(load(path), title=FLOOR)]


def robustness(
    data: Data, out: Out, model: Model = "lte-nano", split: Part = None, limit: Limit = None, threads: Threads = None
) -> None:
    """How verdicts hold under re-encoding, scaling, blur, noise, cropping: both classes are changed alike."""
    from lte_core.evaluation.hold import robustness_page, robustness_text
    from lte_core.evaluation.perturb import LEVELS
    from lte_core.evaluation.robustness import measure, predict_levels

    with told():
        samples, detector = _samples(data, split, limit), load_detector(model, threads)
        with counting("levels", len(samples.samples) * (len(LEVELS) + 1)) as show:
            predict_levels(detector, samples, out, progress=show)
        rows, stability = measure(out)
        record = {"rows": [asdict(one) for one in rows], "stability": asdict(stability)}
        _write(out / "robustness.json", json.dumps(record, indent=2) + "\n")
        text = robustness_text(rows, stability)
        _write(out / "robustness.md", text)
        _write(out / "robustness.html", robustness_page(text, rows))
    typer.echo(text)


def faithfulness(
    data: Data, out: Out, model: Model = "lte-nano", split: Part = None, limit: Limit = None, threads: Threads = None
) -> None:
    """Whether the verdict rests on the areas that were named: hide them, hide others, swap the crops."""
    from lte_core.evaluation.faithfulness import STEPS, measure, predict_steps
    from lte_core.evaluation.hold import faithfulness_text

    with told():
        samples, detector = _samples(data, split, limit), load_detector(model, threads)
        with counting("steps", len(samples.samples) * len(STEPS)) as show:
            predict_steps(detector, samples, out, progress=show)
        found = measure(out)
        _write(out / "faithfulness.json", json.dumps(asdict(found), indent=2) + "\n")
    typer.echo(faithfulness_text(found))


def baseline(
    data: Data,
    out: Predictions,
    command: Annotated[str, typer.Option(help="A program that reads paths and prints path,score lines.")],
    name: Annotated[str, typer.Option(help="What the tables call it.")],
    split: Part = None,
    limit: Limit = None,
    score_of_real: Annotated[bool, typer.Option("--score-of-real", help="Its score is P(real).")] = False,
    timeout: Annotated[float | None, typer.Option(min=1, max=10**7, help="Seconds for all images.")] = None,
) -> None:
    """Put another detector into the same tables. Exit code 3 when it gave no score for some images."""
    from lte_core.evaluation.baselines import run_program, write

    with told():
        samples = _samples(data, split, limit)
        scores = run_program(shlex.split(command), samples, timeout, score_of_real=score_of_real)
        failed = write(out, name, samples, scores, {"command": command})
    _leave(out, failed, [why for why in scores.values() if isinstance(why, str)])


def floor(
    data: Data,
    out: Predictions,
    features: Annotated[
        Literal["size", "spectrum", "both"], typer.Option(help="Sides, bytes and format; the power spectrum; both.")
    ] = "both",
    train: Annotated[
        Path | None,
        typer.Option(help="Other images of the same sources, to learn from; without, the other parts of --data."),
    ] = None,
    split: Part = None,
    limit: Limit = None,
) -> None:
    """What can be had without looking at the content: a classifier on size, format and spectrum."""
    from lte_core.evaluation.baselines import write
    from lte_core.evaluation.floor import floor as fit_floor
    from lte_core.evaluation.tables import FLOOR

    with told():
        samples = _samples(data, split, limit)
        scores = fit_floor(samples, features, None if train is None else _samples(train, None, None))
        about = {"train": str(train) if train else None, "features": features}
        failed = write(out, f"{FLOOR} ({features})", samples, scores, about)
    _leave(out, failed, [why for why in scores.values() if isinstance(why, str)])


def _samples(data: Path, split: str | None, limit: int | None) -> Samples:
    from lte_core.evaluation.run import RunConfig, read_samples

    found = read_samples(data, RunConfig(split=split, limit=limit))
    for line in found.bad:
        typer.echo(f"  {data}, line {line.number}: {line.problem}", err=True)
    return found


def load_detector(model: str | None, threads: int | None) -> LocateThenExamine:
    """The named model, or the one of the settings."""
    from lte_core.inference.detector import LocateThenExamine
    from lte_core.inference.load import load_config, load_model
    from lte_core.settings import read_settings

    settings = read_settings()
    return LocateThenExamine(*load_model(model or settings.model, load_config(settings, threads)))


def _leave(out: Path, failed: int, reasons: list[str]) -> None:
    typer.echo(f"predictions in {out}")
    for why in reasons[:5]:
        typer.echo(f"  no score: {why}", err=True)
    if failed:
        typer.echo(f"{failed} images have no score; they count as wrong", err=True)
    raise typer.Exit(SOME_FAILED if failed else 0)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
