"""A model's name leads to a model that answers, or to a sentence that says what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.load import LoadConfig, load_model, weights_hash
from lte_core.schema import Size
from lte_core.training import nano
from lte_core.vlm.base import Query, Question, VLMError, finish
from lte_core.vlm.qwen import QwenVL


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = nano.make_tokenizer(("the", "weave"), ("weave",))
    nano.save(nano.make_model(tokenizer), tokenizer, path)
    Checkpoint(image_wh=Size(224, 224), crop_wh=Size(112, 112), max_new_tokens_locate=7, note="A test.").save(path)
    return path


def test_a_directory_loads_with_its_settings_and_answers(directory: Path) -> None:
    vlm, checkpoint = load_model(str(directory), LoadConfig(device="cpu", dtype="bfloat16"))
    assert isinstance(vlm, QwenVL)
    assert checkpoint.note == "A test."
    assert (vlm.info.name, vlm.info.sha256) == ("tiny", weights_hash(directory))
    assert str(vlm.model.dtype) == "torch.bfloat16"
    session = vlm.open([Image.new("RGB", (300, 200), "teal")])
    assert session.frames_wh == [Size(224, 224)]
    [reply] = finish(session.ask([Question(Query.LOCATE, "Locate")]))
    assert (reply.tokens, reply.finish) == (7, "length")
    assert reply.text.startswith("<explanation>")


def test_a_gpu_that_is_not_there(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(VLMError, match="PyTorch sees no GPU here"):
        load_model(str(directory), LoadConfig(device="cuda"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("no/such/model/here", "expected lte-nano, a directory, a hub id", id="no directory"),
        pytest.param("./missing", "There is no model at './missing'", id="missing directory"),
        pytest.param("nobody/no-such-model", "could not be fetched from the hub", id="not on the hub"),
    ],
)
def test_a_name_that_leads_nowhere(name: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(VLMError, match=says):
        load_model(name)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        pytest.param({"model_type": "llama"}, "is a llama model: expected Qwen2.5-VL or Qwen3-VL", id="not a Qwen-VL"),
        pytest.param({"model_type": "qwen2_5_vl"}, "cannot be loaded", id="no weights"),
        pytest.param(None, "cannot be loaded", id="empty directory"),
        pytest.param("{", "cannot be loaded", id="broken config"),
    ],
)
def test_a_directory_without_a_usable_model(tmp_path: Path, config: object, says: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(VLMError, match=says):
        load_model(str(tmp_path))


@pytest.mark.parametrize("damage", ["cut", "another shape", "attention"])
def test_a_damaged_model_is_told_in_a_sentence(directory: Path, tmp_path: Path, damage: str) -> None:
    model = tmp_path / "damaged"
    shutil.copytree(directory, model)
    config = LoadConfig(device="cpu")
    if damage == "cut":
        weights = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(weights[:5_000])
    elif damage == "another shape":
        record = json.loads((model / "config.json").read_text())
        record["text_config"]["intermediate_size"] += 8
        (model / "config.json").write_text(json.dumps(record))
    else:
        config = LoadConfig(device="cpu", attention="flash_attention_2")
    with pytest.raises(VLMError, match="cannot be loaded"):
        load_model(str(model), config)


def test_automatic_placement_without_a_gpu_is_a_cpu_in_full_precision(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    vlm, _ = load_model(str(directory), LoadConfig(device="auto"))
    assert isinstance(vlm, QwenVL)
    assert str(vlm.model.dtype) == "torch.float32"
