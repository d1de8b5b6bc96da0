"""Other detectors in the same tables: any program that reads paths and prints `path,score`, and the shortcut floor.

The floor is a classifier that never looks at the content: image size, bytes and format, and the radial power spectrum.
What it reaches can be had without understanding anything, and in this field that is often much: generated images come
in other sizes, formats and qualities than photos. Every table should show it beside the models.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lte_core.evaluation.predict import Prediction
from lte_core.evaluation.run import Samples, run_file
from lte_core.files import whole, write_whole
from lte_core.images import ImageError, SourceImage, read_image
from lte_core.inference.detector import Failure
from lte_core.runs import commit
from lte_core.schema import Detection, ExamineResult, ImageInfo, LocateResult, ModelInfo, TraceSample, Verdict

Features = Literal["size", "spectrum", "both"]
Array = np.ndarray[Any, Any]
_SIDE, _RINGS = 256, 32
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF")


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
    why = "the program printed no line for this image"
    try:
        done = subprocess.run(
            command, input="\n".join(paths) + "\n", capture_output=True, text=True, errors="replace",
            timeout=timeout_s, check=False,
        )  # fmt: skip
        printed = done.stdout
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
            why = f"the program ended with code {done.returncode} ({last})"
    except subprocess.TimeoutExpired as late:
        printed = late.stdout.decode("utf-8", "replace") if isinstance(late.stdout, bytes) else (late.stdout or "")
        why = f"the program took longer than {timeout_s:g} s"
    except OSError as problem:
        raise BaselineError(f"{command[0]} cannot be started ({problem.strerror}).") from problem
    found: dict[str, float | str] = {sample.id: why for sample in data.samples}
    for line in printed.splitlines():
        path, comma, text = line.rpartition(",")
        if comma and path.strip() in paths:
            found |= dict.fromkeys(paths[path.strip()], _score(text, score_of_real))
    return found


def _score(text: str, score_of_real: bool) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return f"expected a score in [0, 1], got {text.strip()[:40]!r}"
    if not math.isfinite(value) or not 0 <= value <= 1:
        return f"expected a score in [0, 1], got {text.strip()[:40]}"
    return 1 - value if score_of_real else value


def floor(train: Samples, data: Samples, features: Features, seed: int = 0) -> dict[str, float | str]:
    """P(generated) of each sample of `data` by a classifier that saw `train`, or why there is none.

    Raises BaselineError when `train` lacks a class.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    if len({sample.label for sample in train.samples}) < 2:
        raise BaselineError("The floor needs real and generated images to learn from; the training data lacks one.")
    shared = {sample.sha256 for sample in train.samples} & {sample.sha256 for sample in data.samples}
    if shared:
        raise BaselineError(
            f"{len(shared):,} images are in both sets, and the floor would know them. Give other images of the same "
            "sources."
        )
    seen, labels = [], []
    for sample in train.samples:
        described = describe(train.root, sample, features)
        if not isinstance(described, str):
            seen.append(described)
            labels.append(sample.label is Verdict.GENERATED)
    if len(set(labels)) < 2:
        raise BaselineError("The images of one class cannot be read: the floor needs both to learn from.")
    model = HistGradientBoostingClassifier(
        random_state=seed, max_iter=150, min_samples_leaf=min(20, len(seen) // 4 or 1)
    )
    model.fit(np.stack(seen), labels)
    found: dict[str, float | str] = {}
    for sample in data.samples:
        described = describe(data.root, sample, features)
        found[sample.id] = (
            described if isinstance(described, str) else float(model.predict_proba(described[None])[0, 1])
        )
    return found


def describe(root: Path, sample: TraceSample, features: Features) -> Array | str:
    """An image as numbers that say nothing about its content, or why it cannot be read."""
    try:
        source = read_image(root / sample.image)
    except ImageError as problem:
        return str(problem)
    parts = [_size(source)] if features != "spectrum" else []
    if features != "size":
        parts.append(_spectrum(source))
    return np.concatenate(parts)


def _size(source: SourceImage) -> Array:
    """Sides, aspect, bytes, bytes a pixel, format."""
    width, height = source.pixels.size
    count = len(source.data)
    numbers = [width, height, width / height, math.log(count), count / (width * height)]
    return np.array([*numbers, *(float(source.format == name) for name in _FORMATS)])


def _spectrum(source: SourceImage) -> Array:
    """Mean log power in 32 rings of the middle 256 x 256 pixels' spectrum; smaller images are mirrored to that size."""
    grey = np.asarray(source.pixels.convert("L"), dtype=np.float64)
    grow = [(0, max(0, _SIDE - side)) for side in grey.shape]
    grey = np.pad(grey, grow, mode="symmetric") if any(after for _, after in grow) else grey
    top, left = ((side - _SIDE) // 2 for side in grey.shape)
    part = grey[top : top + _SIDE, left : left + _SIDE]
    power = np.log1p(np.abs(np.fft.fftshift(np.fft.fft2(part - part.mean()))) ** 2)
    y, x = np.indices(power.shape) - _SIDE // 2
    ring = np.minimum(np.hypot(y, x) / (_SIDE / 2) * _RINGS, _RINGS - 1).astype(int)
    return np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())


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
        "config": {"mode": "baseline", "crops": "none", **about},
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
