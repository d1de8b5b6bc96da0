"""The whole circle in one test: scenes, experts, purification, review, export, SFT, GRPO twice, prediction, report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest
import torch
from typer.testing import CliRunner

from lte_core.__main__ import app
from lte_core.dataset.manifest import read_manifest
from review.accounts import Accounts
from review.database import open_database
from review.records import Action, Content, Submission
from review.store import ReviewStore
from tests.dataset.expert_server import KEY, Experts, scenes, serving, truth_of

ROOT = Path(__file__).parents[1]
RECIPE = """
[sft]
learning_rate = 4e-4
batch_size = 4
epochs = 3
workers = 0
log_steps = 1
save_as = "float32"

[locate]
learning_rate = 2e-4
batch_size = 16
steps = 14
samples = 4
beta = 0.01
workers = 0
log_steps = 1
save_as = "float32"

[examine]
learning_rate = 3e-5
batch_size = 8
steps = 3
workers = 0
log_steps = 1
"""


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def review(home: Path, *arguments: str) -> None:
    environment = {**os.environ, "LTE_DATA_DIR": str(home), "LTE_DB_URL": f"sqlite:///{home / 'review.db'}"}
    command = [sys.executable, "-m", "review", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def purified(drawn: Path, out: Path) -> Path:
    """What two experts who know the truth say about the scenes, purified."""
    with serving(Experts(truth_of(drawn))) as experts:
        urls = ("--explainer-url", experts.url, "--grounder", "qwen", "--grounder-url", experts.url)
        run("trace", "build", "--from", f"manifest:{drawn}", "--out", str(out), *urls, "--embedder", "tfidf",
            "--min-similarity", "0.1")  # fmt: skip
    return out / "purified.jsonl"


def decide(home: Path, drawn: Path) -> int:
    """One annotator corrects every sample to what the scene holds; gives how many."""
    truth = {line.sample.sha256: line.sample for line in read_manifest(drawn / "manifest.jsonl")}
    engine = open_database(f"sqlite:///{home / 'review.db'}")
    store, ana = ReviewStore(engine), Accounts(engine).add("ana", "correct horse battery")
    count = 0
    while task := store.next(ana):
        known = truth[task.sha256]
        content = Content(known.label, known.explanation, known.regions)
        store.decide(ana, Submission(task.id, task.version, Action.FIX, f"t{task.id}", content))
        count += 1
    engine.dispose()
    return count


@pytest.mark.slow
def test_from_scenes_to_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GROUNDER_API_KEY", KEY)
    torch.set_num_threads(1)
    drawn = scenes(tmp_path / "scenes", 16, seed=11)
    manifest = purified(drawn, tmp_path / "trace")
    home, exported, out = tmp_path / "review", tmp_path / "reviewed", tmp_path / "lte"
    home.mkdir()
    review(home, "import", str(manifest))
    decided = decide(home, drawn)
    assert decided >= 8
    review(home, "export", "--out", str(exported))

    (tmp_path / "few.toml").write_text(RECIPE)
    run("train", "lte", "--data", str(exported), "--model", "lte-nano", "--out", str(out), "--recipe",
        str(tmp_path / "few.toml"), "--threads", "1", "--device", "cpu")  # fmt: skip
    record = json.loads((out / "train.json").read_text())
    logs = {name: stage["history"] for name, stage in record["stages"].items()}
    losses = [line["loss"] for line in logs["sft"] if "loss" in line]
    assert fmean(losses[-3:]) < 0.8 * fmean(losses[:3])
    ious = [line["reward/iou"] for line in logs["locate"] if "reward/iou" in line]
    assert fmean(ious[-4:]) > fmean(ious[:4]) + 0.04, "the same four questions each step"
    assert all(0 <= line["reward/verdict"] <= 1 for line in logs["examine"] if "reward/verdict" in line)

    predictions = tmp_path / "predictions.jsonl"
    run("eval", "predict", "--data", str(exported), "--model", str(out), "--out", str(predictions), "--threads", "1")
    report = json.loads(run("eval", "report", str(predictions), "--json"))
    assert report["n"] == len(list(read_manifest(exported / "manifest.jsonl")))
    assert report["unreadable"] == 0
    assert report["iou"] > 0.3
