"""A model's name leads to a model that answers, or to a sentence that says what to do."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.load import LoadConfig, load_model, weights_hash
from lte_core.schema import Size
from lte_core.training import nano
from lte_core.training.config import SftConfig, TrainingError
from lte_core.training.plan import read_shape
from lte_core.training.trainer import load_trainable
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


def test_a_model_of_the_hub_has_its_card_there(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lte_core.inference.load._download", lambda name: directory)
    vlm, checkpoint = load_model("somebody/model", LoadConfig(device="cpu"))
    assert (vlm.info.name, checkpoint.card) == ("somebody/model", "https://huggingface.co/somebody/model")


@pytest.mark.parametrize("device", ["cuda:97", "mps:9", "xpu", "meta", "disk", "0"])
def test_a_device_that_is_not_there(directory: Path, device: str) -> None:
    with pytest.raises(VLMError, match=f"The device '{device}' was asked for, but it cannot be used here"):
        load_model(str(directory), LoadConfig(device=device))


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


def cut(model: Path) -> None:
    (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:5_000])


def written(name: str, text: str) -> Callable[[Path], object]:
    return lambda model: (model / name).write_text(text)


def said(**text_config: object) -> Callable[[Path], None]:
    """The configuration with other figures."""

    def change(model: Path) -> None:
        record = json.loads((model / "config.json").read_text())
        record["text_config"] |= text_config
        (model / "config.json").write_text(json.dumps(record))

    return change


def without_layer(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layers.0" not in name}
    save_file(kept, model / "model.safetensors", metadata={"format": "pt"})


def renamed(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    other = {f"other.{name}": tensor for name, tensor in tensors.items()}
    save_file(other, model / "model.safetensors", metadata={"format": "pt"})


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "another shape": said(intermediate_size=712),
    "no heads": said(num_attention_heads=0),
    "a word for a number": said(hidden_size="wide"),
    "a list for a configuration": written("config.json", "[]"),
    "a number for a part": written("config.json", '{"model_type": "qwen2_5_vl", "text_config": 5}'),
    "a tokenizer that is none": written("tokenizer.json", "[]"),
    "no chat template": lambda model: (model / "chat_template.jinja").unlink(),
    "no tensors of a layer": without_layer,
    "tensors of other names": renamed,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_told_in_a_sentence(directory: Path, tmp_path: Path, damage: str) -> None:
    model = tmp_path / "damaged"
    shutil.copytree(directory, model)
    DAMAGES[damage](model)
    with pytest.raises(VLMError, match=r"^The model in .* cannot be loaded: [^\n]+$"):
        load_model(str(model), LoadConfig(device="cpu"))
    with pytest.raises(TrainingError, match=rf"There is no model to train in {model}: [^\n]+$"):
        load_trainable(model, SftConfig())
    with contextlib.suppress(TrainingError):  # the configuration may be sound
        read_shape(str(model), None)


def test_a_kind_of_attention_that_is_not_installed_is_told(directory: Path) -> None:
    with pytest.raises(VLMError, match="cannot be loaded"):
        load_model(str(directory), LoadConfig(device="cpu", attention="flash_attention_2"))


def test_automatic_placement_without_a_gpu_is_a_cpu_in_full_precision(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    vlm, _ = load_model(str(directory), LoadConfig(device="auto"))
    assert isinstance(vlm, QwenVL)
    assert str(vlm.model.dtype) == "torch.float32"
