"""The benchmark runs all three ways on the same work. Its seconds are not asserted: they are for people to read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lte_core.commands.bench import app
from lte_core.evaluation.speed import measure
from lte_core.inference.checkpoint import DEFAULT_CHECKPOINT
from lte_core.schema import ModelInfo, Size
from lte_core.training import nano
from lte_core.vlm.base import Query
from lte_core.vlm.qwen import QwenConfig, QwenVL
from lte_core.vlm.views import Views

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def vlm() -> QwenVL:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer = nano.make_tokenizer(("the", "weave"), ("weave",))
    views = Views(image_wh=Size(224, 224), crop_wh=Size(112, 112))
    config = QwenConfig(views=views, max_new_tokens=dict.fromkeys(Query, 6))
    return QwenVL(nano.make_model(tokenizer), tokenizer, Qwen2VLImageProcessorPil(), ModelInfo("tiny"), config)


def test_three_ways_do_the_same_work(vlm: QwenVL) -> None:
    images = [Image.new("RGB", (300, 200), color) for color in ("teal", "olive", "plum")]
    speed = measure(vlm, DEFAULT_CHECKPOINT, images, batch=2)
    assert [way.name for way in speed.ways] == ["plain", "shared prefix", "batch of 2"]
    assert (speed.images, speed.tokens_per_image) == (3, 12)
    assert speed.decode_over_floor is None or speed.device.startswith("cuda")
    for way in speed.ways[1:]:
        shares = (way.vision_share, way.prefill_share, way.decode_share, way.score_share)
        assert sum(share for share in shares if share is not None) == pytest.approx(1)
    assert speed.parameters == vlm.model.num_parameters()


def test_no_images_is_an_error(vlm: QwenVL) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        measure(vlm, DEFAULT_CHECKPOINT, [], 1)


def test_the_model_that_ships_as_json() -> None:
    done = CliRunner().invoke(app, ["detect", "--images", "2", "--batch", "2", "--json"])
    record = json.loads(done.stdout)
    published = json.loads((ROOT / "docs/numbers/bench.json").read_text())
    assert record.keys() == published.keys()
    assert [way["name"] for way in record["ways"]] == ["plain", "shared prefix", "batch of 2"]
    assert (record["model"], record["parameters"]) == ("lte-nano", published["parameters"])


def test_random_weights_of_a_stated_size_as_a_table() -> None:
    arguments = ["detect", "--shape", "0.1b", "--tokens", "8", "--side", "56", "--images", "1", "--batch", "1"]
    table = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}).stdout
    said = ("random weights, 0.1b", "plain", "shared prefix", "batch of 1", "1 images of 56 px", "Peak memory")
    assert [words for words in said if words not in table] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--shape", "9b"], "expected one of 0.1b, 3b, 7b", id="unknown shape"),
        pytest.param(["--model", "./nowhere"], "There is no model at", id="unknown model"),
        pytest.param(["--model", "http://127.0.0.1:1/v1#m"], "expected a local model", id="a server"),
    ],
)
def test_what_cannot_be_timed_is_said(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, ["detect", *arguments], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in json.dumps(result.output)
