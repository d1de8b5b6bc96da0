"""Both segments of GRPO on the checkpoint that ships, a few steps long."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.crop_sources import CropSource
from lte_core.inference.load import load_model
from lte_core.schema import Box, Region
from lte_core.training import plan
from lte_core.training.config import GrpoConfig, Segment, TrainingError
from lte_core.training.grpo import Questions, arguments, asked, judge, reward_function, train_grpo
from lte_core.training.lessons import TrainingData
from lte_core.training.located import described, shown_areas
from lte_core.training.plan import check
from lte_core.training.rewards import RewardConfig
from lte_core.vlm.frames import QWEN2_5
from tests.training.small_runs import NANO_DIR, Log, same

FEW = GrpoConfig(
    learning_rate=1e-4, batch_size=4, steps=4, samples=8, workers=0, threads=1, device="cpu", save_steps=2, log_steps=1,
    save_as="float32",
)  # fmt: skip
SEGMENTS = [FEW, replace(FEW, segment=Segment.EXAMINE)]


@pytest.mark.slow
@pytest.mark.parametrize("config", SEGMENTS, ids=lambda c: c.segment.value)
def test_a_segment_tells_every_part_of_its_rewards(
    taught: TrainingData, settings: Checkpoint, tmp_path: Path, config: GrpoConfig
) -> None:
    log = Log()
    train_grpo(taught, NANO_DIR, tmp_path, settings, config, log)
    record = json.loads((tmp_path / "train.json").read_text())
    assert record["stage"] == f"grpo {config.segment}"
    parts = {"locate": ("format", "iou"), "examine": ("verdict", "bleu")}[config.segment]
    for part in (*parts, "unreadable"):
        assert set(log.of(f"reward/{part}")) == {1, 2, 3, 4}
    assert set(log.of("kl")) == {1, 2, 3, 4}
    assert (tmp_path / "curves.png").is_file()
    load_model(str(tmp_path))


def test_a_question_is_the_one_of_inference_and_its_reference_speaks_of_what_is_shown(
    taught: TrainingData, settings: Checkpoint, tmp_path: Path
) -> None:
    lessons = taught.train[:6]
    questions = Questions(lessons, None, settings, QWEN2_5)
    assert len(questions) == 6
    assert [len(questions[n]["images"]) for n in range(6)] == [1] * 6
    assert questions[2]["prompt"][0]["content"][-1]["text"] == settings.prompts.locate_prompt()
    for crops in CropSource:
        shown = shown_areas(lessons, taught.nothing, NANO_DIR, tmp_path, replace(FEW, crops=crops))
        rows = Questions(lessons, shown, settings, QWEN2_5)
        for n, areas in enumerate(shown):
            made = rows[n]
            assert len(made["images"]) - 1 <= len(areas)
            if areas:
                assert made["reference"].count("[") == len(made["images"]) - 1, "a statement for each crop"
        if crops is CropSource.ANNOTATED:
            assert [[area.region for area in areas] for areas in shown] == [[*x.sample.regions] for x in lessons]


def test_only_what_the_steps_have_room_for_is_asked(taught: TrainingData) -> None:
    few = asked(taught.train, replace(FEW, steps=3, batch_size=8))
    assert len(few) == 6
    assert {lesson.sample.id for lesson in few} <= {lesson.sample.id for lesson in taught.train}
    assert [x.sample.id for x in few] == [x.sample.id for x in asked(taught.train, replace(FEW, steps=3, batch_size=8))]
    assert few != asked(taught.train, replace(FEW, steps=3, batch_size=8, seed=1))
    for steps in (None, 1000):
        assert asked(taught.train, replace(FEW, steps=steps)) == taught.train


def test_an_area_shows_what_it_mostly_covers(taught: TrainingData) -> None:
    lesson = next(x for x in taught.train if x.sample.regions and x.others)
    evidence, other = lesson.sample.regions[0], lesson.others[0]
    near = Region(Box(evidence.box.x1 + 2, *evidence.box.xyxy[1:]), "x")
    assert (described(lesson, near, ["nothing"]).clause or "?") in lesson.sample.explanation
    assert described(lesson, other.region, ["nothing"]).clause == other.clause
    assert described(lesson, Region(Box(0, 0, 3, 3), "x"), ["nothing"]).clause == "nothing"
    assert described(lesson, Region(Box(0, 0, 3, 3), "x"), []).clause is None


def logged(config: GrpoConfig, taught: TrainingData, settings: Checkpoint, texts: list[str]) -> Any:
    figures: dict[str, float] = {}
    given = reward_function(judge(taught.train, settings, QWEN2_5, config))(
        completions=[[{"role": "assistant", "content": text}] for text in texts],
        row=[0] * len(texts),
        reference=[taught.train[0].sample.explanation] * len(texts),
        trainer_state=SimpleNamespace(global_step=5, max_steps=10),
        log_metric=figures.__setitem__,
        prompts=None,
    )
    return given, figures


def test_unreadable_replies_get_nothing_and_are_counted_by_kind(taught: TrainingData, settings: Checkpoint) -> None:
    label, told = taught.train[0].sample.label, taught.train[0].sample.explanation
    right = f"<explanation>{told}</explanation><verdict>{label}</verdict>"
    config = replace(FEW, segment=Segment.EXAMINE)
    given, figures = logged(config, taught, settings, [right, "well", "<explanation>a</explanation>", ""])
    assert given == pytest.approx([2.0, 0, 0, 0])
    assert figures["reward/unreadable"] == 0.75
    assert sum(value for name, value in figures.items() if name.startswith("unreadable/")) == 0.75
    given, figures = logged(replace(config, rewards=RewardConfig(bleu=0)), taught, settings, [right])
    assert given == [1.0]
    dual = replace(FEW, rewards=RewardConfig(locate_verdict=1.0, iou_start=0.0, iou_end=0.0))
    given, figures = logged(
        dual, taught, settings, [f"<explanation>a</explanation><boxes>[]</boxes><verdict>{label}</verdict>"]
    )
    assert given == [2.0]
    assert figures["reward/verdict"] == 1.0


def test_an_adapter_learns_too(taught: TrainingData, settings: Checkpoint, tmp_path: Path) -> None:
    train_grpo(taught, NANO_DIR, tmp_path, settings, replace(FEW, steps=3, lora_rank=4))
    load_model(str(tmp_path))
    assert not same(NANO_DIR, tmp_path)


def test_a_server_writes_the_replies_when_one_is_named(
    settings: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, served = (arguments(tmp_path, settings, replace(FEW, vllm_url=url)) for url in (None, "http://h:8000"))
    assert "use_vllm" not in plain
    assert served["use_vllm"]
    assert (served["vllm_mode"], served["vllm_server_base_url"]) == ("server", "http://h:8000")
    monkeypatch.setattr(plan, "find_spec", lambda package: None)
    for wanting in (replace(FEW, vllm_url="http://h:8000"), replace(FEW, report_to="trackio")):
        with pytest.raises(TrainingError, match="needs the package"):
            check(NANO_DIR, tmp_path, wanting)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"generations": 1}, "generations >= 2"),
        ({"batch_size": 6}, "multiple of generations"),
        ({"temperature": 0.0}, "temperature > 0"),
        ({"beta": -1.0}, "beta >= 0"),
        ({"learning_rate": 0.0}, "learning_rate > 0"),
        ({"accumulate": 0}, "positive sizes"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TrainingError, match=complaint):
        replace(FEW, **changes)
