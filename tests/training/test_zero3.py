"""DeepSpeed ZeRO-3 by the configuration that ships: two processes share all weights, on a CPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from safetensors import safe_open

from lte_core.inference.checkpoint import Checkpoint
from lte_core.training.chain import CONFIGS
from lte_core.training.config import SftConfig
from lte_core.training.lessons import TrainingData
from lte_core.training.sft import train_sft
from tests.training.small_runs import NANO_DIR, Log

HEADER = Path(sysconfig.get_path("include")) / "Python.h"
BIN = Path(sys.executable).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("g++") is None or not HEADER.is_file(),
        reason="DeepSpeed compiles a part of itself for a CPU, with g++ and Python's headers",
    ),
]
FEW = """
[sft]
learning_rate = 1e-3
samples = 8
batch_size = 2
workers = 0
log_steps = 1
[examine]
batch_size = 8
steps = 1
log_steps = 1
"""


def launch(scenes: Path, folder: Path) -> Path:
    """SFT of two rows a process, then segment Examine, which locates its crops with the model of the first stage."""
    config, recipe, out = folder / "zero3.yaml", folder / "few.toml", folder / "out"
    text = (CONFIGS / "zero3.yaml").read_text()
    config.write_text(text.replace("num_processes: 8", "num_processes: 2").replace("bf16", '"no"') + "use_cpu: true\n")
    recipe.write_text(FEW)
    done = subprocess.run(
        [
            str(BIN / "accelerate"), "launch", "--config_file", str(config), "-m", "lte_core",
            "train", "lte", "--recipe", str(recipe), "--data", str(scenes), "--model", str(NANO_DIR),
            "--out", str(out), "--device", "cpu", "--threads", "1",
        ],
        # ninja, which the compiler is driven by, lies beside Python.
        env=os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    return out


def losses(stage: Path) -> dict[int, float]:
    history = json.loads((stage / "train.json").read_text())["history"]
    return {line["step"]: line["loss"] for line in history if "loss" in line}


def names(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", "pt") as weights:
        return set(weights.keys())


def test_shared_out_weights_learn_like_whole_ones(
    scenes: Path, taught: TrainingData, settings: Checkpoint, tmp_path: Path
) -> None:
    out = launch(scenes, tmp_path)
    alone = Log()
    config = SftConfig(
        learning_rate=1e-3, samples=8, batch_size=4, workers=0, log_steps=1, threads=1, device="cpu"
    )  # fmt: skip
    train_sft(taught, NANO_DIR, tmp_path / "alone", settings, config, alone)
    assert losses(out / "stages" / "1-sft") == pytest.approx(alone.of("loss"), abs=1e-4)
    assert len(losses(out / "stages" / "2-examine")) == 1
    for stage in ("1-sft", "2-examine"):
        assert names(out / "stages" / stage) == names(NANO_DIR), "as they are called everywhere else"
    assert not list(out.rglob("*.bin")), "nothing pickled"
