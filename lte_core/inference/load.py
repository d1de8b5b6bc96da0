"""From a model's name to a model that answers: `lte-nano`, a directory, a hub id or `http(s)://host/v1#model`.

Chooses device, dtype and attention, and reads the checkpoint's own settings. Asks the model nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from lte_core.inference.checkpoint import DEFAULT_CHECKPOINT, Checkpoint
from lte_core.schema import ModelInfo
from lte_core.settings import Settings
from lte_core.vlm.base import VLM, Query, VLMError

NANO = "lte-nano"
MODELS = Path(__file__).parent.parent / "models"
FAMILIES = ("qwen2_5_vl", "qwen3_vl")
# Below this a second OpenMP thread costs more than it gives, and on a busy machine far more.
ONE_THREAD_BELOW = 100_000_000
SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")  # accelerate's ways to use every device there is


class LoadedModel(NamedTuple):
    """A model and what must be known about it beyond its weights."""

    vlm: VLM
    checkpoint: Checkpoint


@dataclass(frozen=True)
class LoadConfig:
    """Where and how a local model runs; None chooses.

    `device`: "cpu", "cuda", "cuda:1", "mps", or "auto" to spread it over all GPUs (accelerate). `dtype`: "float32",
    "bfloat16" or "float16". `attention`: transformers' name, such as "sdpa" or "flash_attention_2". `timeout_s` (of
    silence) and `relative_boxes` (None: by the model's name) are a server's.
    """

    device: str | None = None
    dtype: str | None = None
    attention: str | None = None
    threads: int | None = None
    batch_size: int = 8
    constrained: bool = True
    max_pixels: int | None = None
    crop_max_pixels: int | None = None
    timeout_s: float = 120.0
    relative_boxes: bool | None = None

    def budget(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint's settings with the image budget that was asked for, in pixels of a view."""
        crop_most = self.crop_max_pixels or checkpoint.crop_max_pixels
        return replace(
            checkpoint,
            max_pixels=self.max_pixels or checkpoint.max_pixels,
            crop_max_pixels=crop_most,
            crop_min_pixels=min(checkpoint.crop_min_pixels, crop_most),
        )


DEFAULT_LOAD = LoadConfig()


def load_config(settings: Settings, threads: int | None = None) -> LoadConfig:
    """What the environment asks for; `threads` is from a command line, where it was given."""
    return LoadConfig(
        settings.device, settings.dtype, settings.attention, threads or settings.threads,
        max_pixels=settings.max_pixels, crop_max_pixels=settings.crop_max_pixels, timeout_s=settings.timeout_s,
        relative_boxes=settings.relative_boxes,
    )  # fmt: skip


def load_model(name: str, config: LoadConfig = DEFAULT_LOAD) -> LoadedModel:
    """Raises VLMError with what to do when there is no such model or it cannot run here."""
    from lte_core.vlm.openai_chat import ChatVLM
    from lte_core.vlm.server import parse_address

    if address := parse_address(name):
        checkpoint = config.budget(DEFAULT_CHECKPOINT)
        asked = replace(
            address, views=checkpoint.views, timeout_s=config.timeout_s, relative_boxes=config.relative_boxes
        )
        return LoadedModel(ChatVLM(asked), checkpoint)
    directory = find(name)
    loaded = _load_local(name, directory, config)
    if name == NANO or Path(name).expanduser().is_dir() or "://" in (loaded.checkpoint.card or ""):
        return loaded
    return loaded._replace(checkpoint=replace(loaded.checkpoint, card=f"https://huggingface.co/{name}"))


def find(name: str) -> Path:
    """The directory of a model: the one that ships, a local one, or the hub's after downloading it."""
    if name == NANO:
        if not (MODELS / NANO / "config.json").is_file():
            raise VLMError(f"The model that ships with this program is missing from {MODELS / NANO}. Install it again.")
        return MODELS / NANO
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise VLMError(f"There is no model at {name!r}: expected {NANO}, a directory, a hub id such as "
                       "Qwen/Qwen2.5-VL-7B-Instruct, or http://host/v1#model-name.")  # fmt: skip
    return _download(name)


def _download(name: str) -> Path:
    from httpx import InvalidURL
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    # The last three: proxies and certificates of the environment that cannot be used.
    except (
        HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, ImportError, ValueError, InvalidURL
    ) as problem:  # fmt: skip
        raise VLMError(
            f"The model {name!r} could not be fetched from the hub ({type(problem).__name__}). Check the name and the "
            f"network, or give a directory; `--model {NANO}` needs no network."
        ) from problem


def _load_local(name: str, directory: Path, config: LoadConfig) -> LoadedModel:
    import torch
    from transformers import AutoConfig
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.utils import logging

    from lte_core.vlm.frames import convention_of
    from lte_core.vlm.qwen import QwenConfig, QwenVL
    from lte_core.vlm.weights import DAMAGE, first_line, read_tokenizer, read_weights

    logging.disable_progress_bar()
    checkpoint = config.budget(Checkpoint.load(directory))
    try:
        family = AutoConfig.from_pretrained(directory).model_type
        if family not in FAMILIES:
            raise VLMError(f"{name!r} is a {family} model: expected Qwen2.5-VL or Qwen3-VL. Other models can be used "
                           "through an OpenAI-compatible server: http://host/v1#model-name.")  # fmt: skip
        device = _device(torch, config.device)
        model = read_weights(
            directory,
            dtype=getattr(torch, config.dtype or _best_dtype(torch, device)),
            device_map=device,
            attn_implementation=config.attention or "sdpa",
        )
        tokenizer = read_tokenizer(directory)
        images = Qwen2VLImageProcessorPil.from_pretrained(directory)
    except torch.OutOfMemoryError as problem:
        raise VLMError(f"There is not enough memory on {device} for {name!r}: take a smaller model, --model {NANO}, "
                       "or a server.") from problem  # fmt: skip
    # A damaged file, weights of another shape than the configuration says, a kind of attention that is not installed.
    except DAMAGE as problem:
        raise VLMError(f"The model in {directory} cannot be loaded: {first_line(problem)}") from problem
    if config.threads or (model.device.type == "cpu" and model.num_parameters() < ONE_THREAD_BELOW):
        torch.set_num_threads(config.threads or 1)
    qwen = QwenConfig(
        views=checkpoint.views,
        relative_boxes=convention_of(family).relative,
        constrained=config.constrained,
        batch_size=config.batch_size,
        max_new_tokens={
            Query.LOCATE: checkpoint.max_new_tokens_locate,
            Query.EXAMINE: checkpoint.max_new_tokens_examine,
        },
    )
    # A visitor sees this name: of a local directory, only its last part.
    shown = directory.resolve().name if Path(name).expanduser().is_dir() else name
    info = ModelInfo(shown, weights_hash(directory))
    return LoadedModel(QwenVL(model, tokenizer, images, info, qwen), checkpoint)


def _device(torch: Any, asked: str | None) -> str:
    """The device that was asked for, or the best one here."""
    from lte_core.vlm.weights import first_line

    if asked is None:
        if torch.cuda.is_available():
            return "auto" if torch.cuda.device_count() > 1 else "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if asked not in SPREAD:
        try:
            torch.zeros(1, device=asked).cpu()
        # What PyTorch was built without (xpu) is an AssertionError.
        except (RuntimeError, AssertionError) as problem:
            raise VLMError(
                f"The device {asked!r} was asked for, but it cannot be used here ({first_line(problem)}). "
                "Leave LTE_DEVICE unset to let the program choose."
            ) from problem
    return asked


def _best_dtype(torch: Any, device: str) -> str:
    """Half the memory where the hardware computes in it; full precision on a CPU."""
    if device == "mps":
        return "float16"
    if device == "cpu" or not torch.cuda.is_available():  # "auto" is a CPU where there is no GPU
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def weights_hash(directory: Path) -> str | None:
    """sha256 over the weight files in order of name, or None when there are none."""
    files = sorted(directory.glob("*.safetensors"))
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as weights:
            while block := weights.read(1 << 20):
                digest.update(block)
    return digest.hexdigest() if files else None
