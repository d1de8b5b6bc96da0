"""Predictions as a file: `F.jsonl`, a line a sample, and `F.run.json`, what made it. Killed, it goes on.

A run that goes on starts with a whole batch, so that every image shares its batch with the same others as in an
undisturbed run: rounding differs in the last digits otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lte_core.dataset.manifest import BadLine, read_lines
from lte_core.evaluation.modes import Mode
from lte_core.evaluation.predict import Prediction, predict
from lte_core.files import locked, whole, write_whole
from lte_core.inference.crop_sources import CropSource
from lte_core.inference.detector import Failure, FirstLook, LocateThenExamine
from lte_core.runs import commit
from lte_core.schema import TraceSample


class RunError(ValueError):
    """There is nothing to predict, or the file belongs to another run; the message says what to do."""


@dataclass(frozen=True)
class RunConfig:
    """What is predicted. `shard` is (i, n): the i-th of n equal parts by the image's hash, from 1."""

    mode: Mode = Mode.LTE
    crops: CropSource = CropSource.OWN
    seed: int = 0
    split: str | None = None
    limit: int | None = None
    shard: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Samples:
    """The samples of a manifest that are meant, the folder of their images, and the lines that are none."""

    root: Path
    samples: Sequence[TraceSample]
    bad: Sequence[BadLine]
    sha256: str


def read_samples(data: Path, config: RunConfig) -> Samples:
    """`data` is a manifest or the folder of one. Raises RunError when there is nothing in it."""
    path = data / "manifest.jsonl" if data.is_dir() else data
    if not path.is_file():
        raise RunError(f"There is no manifest at {path}. Give one, or a folder with manifest.jsonl.")
    lines = list(read_lines(path))
    index, count = config.shard
    wanted = (
        line.sample
        for line in lines
        if not isinstance(line, BadLine)
        and (config.split is None or line.sample.split == config.split)
        and int(line.sample.sha256[8:16], 16) % count == index - 1
    )
    samples = list(islice(wanted, config.limit))
    if not samples:
        split = f" of the split {config.split!r}" if config.split else ""
        raise RunError(f"{path} has no sample{split} to predict.")
    ids = [sample.id for sample in samples]
    if len(ids) != len(set(ids)):
        twice = next(name for place, name in enumerate(ids) if name in ids[:place])
        raise RunError(f"{path} has two samples with the id {twice!r}. Ids must be unique.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Samples(path.parent, samples, [line for line in lines if isinstance(line, BadLine)], digest)


def predict_file(
    detector: LocateThenExamine,
    data: Samples,
    out: Path,
    config: RunConfig,
    progress: Callable[[int], None] = lambda done: None,
    first_look: FirstLook | None = None,
) -> list[Failure]:
    """Write the predictions; gives the images that failed. Raises RunError when `out` is another run's,
    and BusyError while another one writes it.

    `first_look` are earlier detections by the same model, of which only what Examine is shown differs: it answers as if
    it had been asked both questions, in half the time.
    """
    record = _record(detector, data, config)
    with _alone(out), out.open("a", encoding="utf-8", newline="\n") as lines:
        done = _resume(out, record, detector.vlm.batch_size)
        failed, rest = _failures(out), data.samples[done:]
        made = predict(detector, rest, data.root, config.crops, config.seed, config.mode, first_look=first_look)
        for number, prediction in enumerate(made, done + 1):
            lines.write(json.dumps(prediction.record(), ensure_ascii=False) + "\n")
            lines.flush()
            if isinstance(prediction.result, Failure):
                failed.append(prediction.result)
            progress(number)
    return failed


def _alone(out: Path) -> AbstractContextManager[None]:
    """One writer of a file at a time. Raises BusyError."""
    return locked(out, shared=False, message=f"Another run is writing {out}. Wait for it, or name a new file.")


def _failures(out: Path) -> list[Failure]:
    """Those of a run that is gone on with."""
    if not out.exists():
        return []
    records = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    return [Failure(r["sample"]["id"], r["error"]) for r in records if r.get("error") is not None]


def predict_again(
    detector: LocateThenExamine, data: Samples, out: Path, config: RunConfig,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Failure]:  # fmt: skip
    """Predict the images that failed once more, such as after a server was down; the others' lines stay as they are."""
    _same(out, _record(detector, data, config))
    with _alone(out):
        return _again(detector, data, out, config, progress)


def _again(
    detector: LocateThenExamine, data: Samples, out: Path, config: RunConfig, progress: Callable[[int], None]
) -> list[Failure]:
    kept = {}
    for line in out.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            record = json.loads(line)
            if record.get("error") is None and line.endswith("\n"):
                kept[record["sample"]["id"]] = line
        except (ValueError, KeyError, AttributeError, TypeError):
            continue  # cut short: predicted again
    rest = [sample for sample in data.samples if sample.id not in kept]
    failed = []
    made = predict(detector, rest, data.root, config.crops, config.seed, config.mode)
    try:
        for done, prediction in enumerate(made, 1):
            kept[prediction.sample.id] = json.dumps(prediction.record(), ensure_ascii=False) + "\n"
            if isinstance(prediction.result, Failure):
                failed.append(prediction.result)
            progress(len(data.samples) - len(rest) + done)
    finally:  # also after a Ctrl-C: what was predicted is kept
        failures = {sample.id: _failed_line(sample) for sample in data.samples if sample.id not in kept}
        with whole(out, "w") as file:
            file.writelines(kept.get(sample.id) or failures[sample.id] for sample in data.samples)
    return failed


def _failed_line(sample: TraceSample) -> str:
    record = Prediction(sample, Failure(sample.id, "not predicted yet: the run was stopped")).record()
    return json.dumps(record, ensure_ascii=False) + "\n"


def keep(path: Path, made: Iterable[Prediction], progress: Callable[[int], None] = lambda done: None) -> None:
    """Write the predictions, all or none, unless the file is there already: one step of a run of many files."""
    if path.exists():
        return
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="\n") as lines:
        for done, prediction in enumerate(made, 1):
            lines.write(json.dumps(prediction.record(), ensure_ascii=False) + "\n")
            progress(done)
    part.replace(path)


def same_run(path: Path, about: Mapping[str, Any]) -> None:
    """Note in a folder what its files are of. Raises RunError when they are of another model or other data."""
    if path.exists():
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            earlier = None
        if not isinstance(earlier, dict) or any(earlier.get(name) != value for name, value in about.items()):
            raise RunError(f"{path.parent} holds another run ({path.name}). Name a new folder.")
    write_whole(path, json.dumps({**about, "commit": commit()}, indent=2) + "\n")


def about_run(detector: LocateThenExamine, data: Samples) -> dict[str, Any]:
    """What decides the predictions of a run of many files: the model, its settings, and the very samples."""
    samples = hashlib.sha256("\n".join(f"{s.id} {s.sha256}" for s in data.samples).encode()).hexdigest()
    return {
        "model": detector.vlm.info.sha256 or detector.vlm.info.name,
        "checkpoint_sha256": _settings_hash(detector),
        "data_sha256": data.sha256,
        "samples_sha256": samples,
    }


def run_file(out: Path) -> Path:
    return out.with_suffix(".run.json")


def _record(detector: LocateThenExamine, data: Samples, config: RunConfig) -> dict[str, Any]:
    return {
        "config": json.loads(json.dumps(asdict(config))),
        "model": asdict(detector.vlm.info),
        "checkpoint_sha256": _settings_hash(detector),
        "data_sha256": data.sha256,
        "samples": len(data.samples),
        "batch_size": detector.vlm.batch_size,
        "commit": commit(),
    }


def _settings_hash(detector: LocateThenExamine) -> str:
    return hashlib.sha256(json.dumps(asdict(detector.checkpoint), sort_keys=True).encode()).hexdigest()


_MUST_AGREE = ("config", "model", "checkpoint_sha256", "data_sha256")


def _resume(out: Path, record: dict[str, Any], batch: int) -> int:
    """How many samples are done: whole lines, in whole batches. What is beyond them is cut off."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = run_file(out)
    if not out.exists() or not out.stat().st_size:
        beside.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        return 0
    _same(out, record)
    with out.open("rb") as lines:
        ends, end = [0], 0
        for line in lines:
            end += len(line)
            if line.endswith(b"\n"):
                ends.append(end)
    done = len(ends) - 1
    whole = done if done == record["samples"] else done - done % batch
    os.truncate(out, ends[whole])
    return whole


def _same(out: Path, record: Mapping[str, Any]) -> None:
    """Raises RunError when a file is not there, or another run's."""
    beside = run_file(out)
    if not out.is_file():
        raise RunError(f"There is no file {out} yet: predict without --again first.")
    try:
        earlier = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise RunError(f"{out} is there, but not {beside}, which says what made it. Name a new file.") from problem
    differing = [name for name in _MUST_AGREE if earlier.get(name) != record[name]]
    if differing:
        raise RunError(f"{out} was begun with another {' and '.join(differing)}. Name a new file, or remove that one.")
