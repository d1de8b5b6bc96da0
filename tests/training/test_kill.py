"""SIGKILL in the middle of every stage of a training: the same weights, no step skipped or taken twice."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.small_runs import NANO_DIR, same

STAGE = "log_steps = 1\nsave_steps = 2\nsave_as = 'float32'\nworkers = 0\n"
RECIPE = (
    f"[sft]\nlearning_rate = 1e-3\nsamples = 8\nbatch_size = 4\n{STAGE}"
    f"[locate]\nlearning_rate = 1e-4\nsamples = 8\nbatch_size = 4\nsteps = 4\n{STAGE}"
    f"[examine]\nlearning_rate = 1e-4\nsamples = 8\nbatch_size = 4\nsteps = 4\n{STAGE}"
)
LINE = re.compile(r"(sft|locate|examine) (\d)/4")


def run(scenes: Path, recipe: Path, out: Path, dies_at: tuple[str, str] | None) -> list[tuple[str, str]]:
    """The whole chain in a process of its own, killed when it has told that step; the steps that it told."""
    command = [
        sys.executable, "-u", "-m", "lte_core", "train", "lte", "--recipe", str(recipe), "--data", str(scenes),
        "--model", str(NANO_DIR), "--out", str(out), "--device", "cpu", "--threads", "1",
    ]  # fmt: skip
    steps = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if told := LINE.match(line):
                steps.append((told[1], told[2]))
            if told and told.groups() == dies_at:
                process.kill()
    assert process.returncode == (0 if dies_at is None else -9)
    return steps


@pytest.mark.slow
def test_a_chain_that_is_killed_in_every_stage_comes_to_the_same(scenes: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "few.toml"
    recipe.write_text(RECIPE)
    every = [(stage, str(step)) for stage in ("sft", "locate", "examine") for step in range(1, 5)]
    assert run(scenes, recipe, tmp_path / "whole", None) == every
    told = []
    for dies_at in (("sft", "3"), ("locate", "3"), ("examine", "3"), None):
        told.append(run(scenes, recipe, tmp_path / "killed", dies_at))
    # Each life takes up after the last save, which is of step 2.
    assert told == [every[:3], every[2:7], every[6:11], every[10:]]
    assert same(tmp_path / "whole", tmp_path / "killed")
