"""Other detectors in the same tables: any program that reads paths and prints `path,score`.

The shortcut floor (`floor.py`) comes in by the same file.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lte_core.evaluation.modes import BASELINE
from lte_core.evaluation.predict import Prediction
from lte_core.evaluation.run import Samples, run_file
from lte_core.files import whole, write_whole
from lte_core.inference.detector import Failure
from lte_core.runs import commit
from lte_core.schema import Detection, ExamineResult, ImageInfo, LocateResult, ModelInfo, TraceSample, Verdict


class BaselineError(Exception):
    """The program or the floor cannot be used; the message says why."""


def run_program(
    command: Sequence[str], data: Samples, timeout_s: float | None = None, *, score_of_real: bool = False
) -> dict[str, float | str]:
    """P(generated) of each sample by its id, or why there is none.

    The program gets the paths on its standard input, one a line, and prints `path,score` lines with scores in [0, 1] in
    any order. What it printed before it crashed or ran out of time counts. Raises BaselineError when it cannot start.
    """
    paths: dict[str, list[str]] = defaultdict(list)
    for sample in data.samples:
        paths[str((data.root / sample.image).resolve())].append(sample.id)
    if not command:
        raise BaselineError("There is no program to run: name one by --command.")
    printed, why = _run("\n".join(paths) + "\n", command, timeout_s)
    found: dict[str, float | str] = {sample.id: why for sample in data.samples}
    for line in printed.splitlines():
        path, comma, text = line.rpartition(",")
        if comma and path.strip() in paths:
            found |= dict.fromkeys(paths[path.strip()], _score(text, score_of_real))
    return found


def _run(told: str, command: Sequence[str], timeout_s: float | None) -> tuple[str, str]:
    """What the program printed, and why an image may be missing in it. It gets a process group of its own, so that
    nothing that it started outlives it, whether it is late or we are stopped."""
    pipe = subprocess.PIPE
    try:
        running = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
        )
    except OSError as problem:
        raise BaselineError(f"{command[0]} cannot be started ({problem.strerror}).") from problem
    try:
        printed, complaint = running.communicate(told, timeout_s)
    except subprocess.TimeoutExpired:
        _end(running)
        printed, _ = running.communicate()
        return printed, f"the program took longer than {timeout_s:g} s"
    finally:
        _end(running)
    if not running.returncode:
        return printed, "the program printed no line for this image"
    last = (complaint.strip().splitlines() or ["no message"])[-1][:200]
    return printed, f"the program ended with code {running.returncode} ({last})"


def _end(running: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group that is gone
        os.killpg(running.pid, signal.SIGKILL)


def _score(text: str, score_of_real: bool) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return f"expected a score in [0, 1], got {text.strip()[:40]!r}"
    if not math.isfinite(value) or not 0 <= value <= 1:
        return f"expected a score in [0, 1], got {text.strip()[:40]}"
    return 1 - value if score_of_real else value


def write(out: Path, name: str, data: Samples, scores: Mapping[str, float | str], about: Mapping[str, Any]) -> int:
    """The scores as a predictions file; gives how many images have none. A score of 0.5 and above is "generated"."""
    if out.exists():
        raise BaselineError(f"{out} is there already. Name a new file.")
    failed = 0
    with whole(out, "w") as lines:
        for prediction in predictions(name, data.samples, scores):
            failed += isinstance(prediction.result, Failure)
            lines.write(json.dumps(prediction.record(), ensure_ascii=False) + "\n")
    record = {
        "config": {"mode": BASELINE, "crops": "none", **about},
        "model": {"name": name, "sha256": None},
        "data_sha256": data.sha256,
        "samples": len(data.samples),
        "commit": commit(),
    }
    write_whole(run_file(out), json.dumps(record, indent=2) + "\n")
    return failed


def predictions(name: str, samples: Iterable[TraceSample], scores: Mapping[str, float | str]) -> Iterable[Prediction]:
    """Both verdicts are the one that the score gives; there are no boxes and no words."""
    for sample in samples:
        score = scores[sample.id]
        if isinstance(score, str):
            yield Prediction(sample, Failure(sample.id, score))
            continue
        verdict = Verdict.GENERATED if score >= 0.5 else Verdict.REAL
        image = ImageInfo(sample.id, sample.sha256, sample.width, sample.height)
        first, final = LocateResult("", (), verdict, score, ""), ExamineResult("", verdict, score, "")
        yield Prediction(sample, Detection(image, ModelInfo(name), first, (), final))
