"""The model that ships does what its card says: readable replies, two looks, verdicts about its own scenes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lte_core.dataset.synth import compose, encode
from lte_core.evaluation.ablation import LTE
from lte_core.evaluation.metrics import Outcome, score
from lte_core.images import read_image
from lte_core.inference.detector import LocateThenExamine
from lte_core.inference.load import MODELS, NANO, load_model
from lte_core.schema import Detection, Verdict

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def detector() -> LocateThenExamine:
    return LocateThenExamine(*load_model(NANO))


def test_it_judges_its_own_scenes_and_every_reply_is_readable(detector: LocateThenExamine) -> None:
    rngs = [np.random.default_rng([2718, i]) for i in range(32)]
    scenes = [compose(rng) for rng in rngs]
    items = [(str(i), read_image(encode(s, rng))) for i, (s, rng) in enumerate(zip(scenes, rngs, strict=True))]
    results = [result for result in detector.detect_many(items) if isinstance(result, Detection)]
    outcomes = [Outcome(s.label, r.locate.verdict, r.verdict) for s, r in zip(scenes, results, strict=True)]
    scores = score(outcomes)
    assert scores.unreadable == 0
    assert scores.acc >= 0.7, "far below its card, which says 0.93"
    assert all(r.p_generated is not None and (r.p_generated > 0.5) == (r.verdict == "generated") for r in results)
    assert {o.final for o in outcomes} == set(Verdict)


def test_the_card_has_the_numbers_that_were_measured() -> None:
    card = (MODELS / NANO / "README.md").read_text(encoding="utf-8")
    for row in measured()["files"]:
        low, high = row["intervals"]["acc"]
        assert f"{row['acc']:.3f} ({low:.3f}–{high:.3f})" in card, row["name"]
        for key in ("i_acc", "c_acc", "iou", "bleu2"):
            assert row[key] is None or f" {row[key]:.3f} " in card, f"{row['name']} {key}"


def test_the_numbers_are_of_the_weights_that_ship(detector: LocateThenExamine) -> None:
    [lte] = [row for row in measured()["files"] if row["name"] == LTE]
    assert detector.vlm.info.sha256 in {seed["run"]["model"]["sha256"] for seed in lte["seeds"]}
    assert f"sha256 `{detector.vlm.info.sha256}`" in (MODELS / NANO / "README.md").read_text(encoding="utf-8")


def measured() -> dict[str, Any]:
    """The report of `eval ablate` that the card and the README are written from."""
    report: dict[str, Any] = json.loads((ROOT / "docs/numbers/ablate.json").read_text(encoding="utf-8"))
    return report


def test_the_command_judges_the_examples() -> None:
    command = [sys.executable, "-m", "lte_core", "detect", "demo/examples", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    records = [json.loads(line) for line in run.stdout.splitlines()]
    assert [Path(record["image"]["path"]).suffix for record in records] == [".jpg"] * 6
    assert {record["model"]["name"] for record in records} == {NANO}
    assert all(record["verdict"] in ("real", "generated") and record["error"] is None for record in records)
