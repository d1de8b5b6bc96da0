"""`train sft | grpo | lte` as they are typed: what is refused before work starts, plans, several processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lte_core.__main__ import app
from lte_core.commands.train_lte import calibrate
from lte_core.training import plan
from lte_core.training.chain import CONFIGS, read_recipe, recipes
from lte_core.training.config import GrpoConfig, Part, Segment, SftConfig, TrainingError
from lte_core.training.lessons import read_data
from lte_core.training.rewards import RewardConfig
from tests.training.small_runs import NANO_DIR

NANO = ("--model", "lte-nano")
LOCATE, EXAMINE = (("grpo", "--segment", segment, "--data", "{scenes}") for segment in ("locate", "examine"))


def train(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["train", *arguments])


def told(result: Result) -> str:
    return " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("sft", "--data", "nowhere", *NANO), "There is no manifest at nowhere"),
        (("sft", "--data", "{empty}", *NANO), "no sample to train on"),
        (("sft", "--data", "{tests}", *NANO), "no sample to train on"),
        (("sft", "--data", "{gone}", *NANO), "1 of 2 pictures cannot be trained on. The first:"),
        (("sft", "--data", "{broken}", *NANO), "1 lines cannot be used (line 1:"),
        (("sft", "--data", "{small}", *NANO), "and the manifest says 400 x 448"),
        (("sft", "--data", "{mute}", *NANO), "has no explanation to learn"),
        (("sft", "--data", "{words}", *NANO), "lte-nano knows the words of TRACE-synth alone"),
        (("sft", "--data", "{scenes}", *NANO, "--recipe", "{locating}"), "has no stage [sft]"),
        ((*LOCATE, *NANO, "--no-bleu"), "does nothing in segment locate"),
        ((*EXAMINE, *NANO, "--extra-penalty", "1"), "does nothing"),
        (
            (*LOCATE, *NANO, "--batch-size", "400"),
            "A step asks 100 questions",
        ),
        (
            (*LOCATE, *NANO, "--vllm-url", "http://h"),
            "needs the package vllm",
        ),
        (
            ("lte", "--data", "{scenes}", "--model", "{out}", "--recipe", "{locating}"),
            "is what the training starts from",
        ),
        (("sft", "--data", "{scenes}", "--model", "nowhere"), "There is no model at 'nowhere'"),
        (("sft", "--data", "{scenes}", "--model", "{empty}"), "no model"),
        (("sft", "--data", "{scenes}", *NANO, "--freeze", "eyes"), "expected vision, projector, language to freeze"),
        (("sft", "--data", "{scenes}", *NANO, "--report-to", "paper"), "expected trackio, tensorboard or none"),
        (("sft", "--data", "{scenes}", *NANO, "--recipe", "grand"), "There is no recipe 'grand'. Name one of nano"),
        (("sft", "--data", "{scenes}", *NANO, "--learning-rate", "-1"), "learning_rate > 0"),
        (
            ("sft", "--data", "{scenes}", *NANO, "--freeze", "vision", "--freeze", "projector", "--freeze", "language"),
            "not all can be frozen",
        ),
        (("grpo", "--segment", "both", "--data", "{scenes}", *NANO), "expected --segment locate or examine"),
        (
            (*LOCATE, *NANO, "--batch-size", "6"),
            "a multiple of generations",
        ),
        (("lte", "--data", "{scenes}", *NANO, "--recipe", "{odd}"), "batch_sise: Unexpected keyword argument"),
        (("lte", "--data", "{scenes}", *NANO, "--recipe", "{none}"), "The recipe has no stage"),
        (("lte", "--data", "{scenes}", *NANO, "--recipe", "{torn}"), "is no TOML"),
    ],
)
def test_what_cannot_work_is_told_before_work_starts(
    scenes: Path, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    lines = [json.loads(line) for line in (scenes / "manifest.jsonl").read_text().splitlines()[:2]]
    for line in lines:
        line["image"] = str(scenes / line["image"])
        line["split"] = None
    written = {
        "empty": [],
        "tests": [line | {"split": "test"} for line in lines],
        "gone": [lines[0], lines[1] | {"image": "images/gone.jpg"}],
        "broken": [{"schema": "trace/9"}],
        "small": [line | {"width": 400, "regions": []} for line in lines],
        "mute": [line | {"explanation": " "} for line in lines],
        "words": [line | {"explanation": "six fingers grow out of her left sleeve"} for line in lines],
    }
    names = {"scenes": str(scenes)}
    for name, records in written.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        names[name] = str(tmp_path / name)
    for name, text in (
        ("odd", "[sft]\nbatch_sise = 4"),
        ("none", "devices = 2"),
        ("torn", "[sft"),
        ("locating", "[locate]"),
    ):
        (tmp_path / f"{name}.toml").write_text(text)
        names[name] = str(tmp_path / f"{name}.toml")
    out = tmp_path / "out"
    if "{out}" in arguments:
        shutil.copytree(NANO_DIR, out)
        names["out"] = str(out)
    done = train(*(part.format(**names) for part in arguments), "--out", str(out))
    assert done.exit_code == 2, done.output
    assert complaint in told(done)
    assert "Traceback" not in done.output
    assert not (out / "train.json").exists()


def test_too_little_memory_or_disk_is_told_before_work_starts(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("sft", "--data", str(scenes), *NANO, "--out", str(tmp_path / "out"))
    monkeypatch.setattr(plan, "_free_memory", lambda config: 1e6)
    assert "GiB are free. Take an adapter" in told(train(*arguments))
    monkeypatch.undo()
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1e6))
    assert "GiB free. Name another --out" in told(train(*arguments))


@pytest.mark.parametrize("recipe", recipes())
def test_every_recipe_is_read_and_planned(recipe: str) -> None:
    config = read_recipe(recipe)
    assert [name for name, _ in config.stages()] == ["sft", "locate", "examine"]
    done = train("lte", "--recipe", recipe, "--plan", "--data", "x", "--model", "x", "--out", "x")
    assert done.exit_code == 0, done.output
    assert "in all" in done.output


def test_the_recipes_are_for_the_devices_that_they_name() -> None:
    """80 GB cards for the paper's setting, one of 48 GB for the adapter, two CPU cores for nano."""
    for recipe, room in (("qwen2.5-vl-32b", 80), ("qwen2.5-vl-7b", 80), ("qwen2.5-vl-7b-lora", 48), ("nano", 4)):
        config = read_recipe(recipe)
        shape = plan.read_shape("nowhere", config.shape)
        for name, stage in config.stages():
            needed = plan.plan(shape, stage, config.devices, zero3=config.zero3).total
            assert needed < 0.98 * room * 2**30, (recipe, name)
            stated = f"{'SFT' if name == 'sft' else name.title()} {needed / 2**30:.1f} GiB"
            assert stated in (CONFIGS / f"{recipe}.toml").read_text(), "the recipe says what it takes"
            assert f"{needed / 2**30:.1f} GiB" in Path("README.md").read_text()
    paper = read_recipe("qwen2.5-vl-32b")
    assert paper.sft is not None
    assert paper.locate is not None
    assert paper.examine is not None
    assert paper.sft.learning_rate == 2e-5
    assert (paper.locate.learning_rate, paper.locate.generations) == (1e-5, 4)
    assert (paper.examine.learning_rate, paper.examine.generations) == (1e-5, 4)
    assert (CONFIGS / "zero3.yaml").is_file()


def test_a_plan_counts_what_is_trained() -> None:
    shape = plan.read_shape("nowhere", "3b")
    assert shape.parameters == pytest.approx(3.75e9, rel=0.02)
    whole = plan.plan(shape, SftConfig())
    frozen = plan.plan(shape, SftConfig(freeze=(Part.VISION,)))
    adapter = plan.plan(shape, SftConfig(lora_rank=16))
    spread = plan.plan(shape, SftConfig(), 8, zero3=True)
    kept = plan.plan(shape, SftConfig(gradient_checkpointing=True))
    assert whole.optimizer == 8 * shape.parameters
    assert frozen.optimizer == 8 * (shape.parameters - shape.by_part[Part.VISION])
    assert adapter.optimizer < whole.optimizer / 20
    assert spread.certain == whole.certain / 8
    assert kept.activations < whole.activations / 5
    grpo = plan.plan(shape, GrpoConfig(segment=Segment.LOCATE))
    assert grpo.reference == 4 * shape.parameters
    assert plan.plan(shape, GrpoConfig(beta=0.0)).reference == 0
    assert plan.plan(shape, GrpoConfig(vllm_url="http://h")).rollouts == 0 < grpo.rollouts
    with pytest.raises(TrainingError, match="no shape"):
        plan.read_shape("nowhere", None)


def test_the_split_test_is_never_read(scenes: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (scenes / "manifest.jsonl").read_text().splitlines()]
    for n, line in enumerate(lines):
        line["image"], line["split"] = str(scenes / line["image"]), ("train", "val", "test", None)[n % 4]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = read_data(tmp_path / "manifest.jsonl")
    assert [len(data.train), len(data.val)] == [12, 6]
    assert {lesson.sample.split for lesson in data.train} == {"train", None}
    assert data.nothing == (), "only a folder of TRACE-synth knows what else is in its scenes"
    assert read_data(scenes).nothing


def launched(arguments: list[str], processes: int, out: Path) -> dict[int, float]:
    """Losses by step of `train sft` in so many processes on the CPU."""
    # The launcher calls several processes of any kind "multi_gpu"; on the CPU they speak through gloo.
    several = ["--multi_gpu"] if processes > 1 else ["--cpu"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *several, "--num_machines", "1",
               "--mixed_precision", "no", "--dynamo_backend", "no", "--num_processes", str(processes),
               "-m", "lte_core", "train", "sft", *arguments, "--out", str(out)]  # fmt: skip
    environment: dict[str, Any] = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("the model is in") == 1, "one of the processes speaks"
    assert f"{processes} processes" in json.loads((out / "train.json").read_text())["device"]
    history = json.loads((out / "train.json").read_text())["history"]
    return {line["step"]: line["loss"] for line in history if "loss" in line}


@pytest.mark.slow
def test_two_processes_learn_like_one_with_twice_the_batch(scenes: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "few.toml"
    recipe.write_text("[sft]\nlearning_rate = 1e-3\nsamples = 10\nworkers = 0\nlog_steps = 1\nsave_steps = 50\n")
    common = ["--data", str(scenes), *NANO, "--recipe", str(recipe), "--device", "cpu", "--threads", "1"]
    one = launched([*common, "--batch-size", "4"], 1, tmp_path / "one")
    two = launched([*common, "--batch-size", "2"], 2, tmp_path / "two")
    assert len(one) == 5
    assert two == pytest.approx(one, abs=1e-4)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ('[examine]\nvllm_url = "http://h"\n', "needs the package vllm"),
        ("[locate]\nbatch_size = 400\n", "A step asks 100 questions at once"),
    ],
)
def test_what_a_later_stage_lacks_is_told_before_the_first_one(
    scenes: Path, tmp_path: Path, later: str, expected: str
) -> None:
    recipe, out = tmp_path / "r.toml", tmp_path / "out"
    recipe.write_text(f"[sft]\nsamples = 4\n{later}")
    done = train("lte", "--data", str(scenes), *NANO, "--recipe", str(recipe), "--out", str(out))
    assert done.exit_code == 2
    assert expected in told(done)
    assert not (out / "stages").exists()


def test_what_is_calibrated_stays_so(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a finished training nothing is done again: the model is not even loaded."""
    (tmp_path / "train.json").write_text('{"done": true, "calibration": {"acc": 0.9}}')
    data = read_data(scenes)
    calibrate(tmp_path, replace(data, val=data.train), None, "cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.json"]


def test_a_recipe_weighs_the_rewards(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[locate]\nrewards = { format = 0.5, extra_penalty = 0.2 }\n[examine.rewards]\nbleu = 0.25\n")
    read = read_recipe(str(recipe))
    assert read.locate is not None
    assert read.examine is not None
    assert read.locate.rewards == RewardConfig(format=0.5, extra_penalty=0.2)
    assert read.examine.rewards == RewardConfig(bleu=0.25)
    recipe.write_text("[locate.rewards]\nbeauty = 1\n")
    with pytest.raises(TrainingError, match="beauty"):
        read_recipe(str(recipe))
