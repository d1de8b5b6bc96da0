"""How much memory a training takes, before it begins. An estimate: `tests/training/test_plan.py` measures.

Weights, gradients and AdamW's two moments follow from the number of parameters. What is kept for the backward pass is
counted per token and layer: with gradient checkpointing its input, without it what the layer's parts save (queries,
keys, values, both norms, attention's output, the MLP's three products). Under ZeRO-3 the first three are shared out.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.examine import CropConfig
from lte_core.training.config import GrpoConfig, Part, Segment, SftConfig, TrainConfig, TrainingError

CROPS = CropConfig.max_crops  # the most that an Examine question shows: the worst batch has to fit
PATCHES = 4  # of the vision encoder, a token of the language model
OWN = 0.6e9  # bytes that PyTorch and its libraries take by themselves, on a CPU or a GPU


@dataclass(frozen=True)
class ModelShape:
    """What a plan needs to know of a model; `checkpoint` for how many tokens it sees."""

    name: str
    by_part: dict[Part, int]
    width: int
    depth: int
    mlp: int
    kv_width: int
    vocabulary: int
    vision_width: int
    vision_depth: int
    vision_mlp: int
    checkpoint: Checkpoint

    @property
    def parameters(self) -> int:
        return sum(self.by_part.values())


@dataclass(frozen=True)
class Memory:
    """Bytes on each device."""

    weights: float
    gradients: float
    optimizer: float
    reference: float
    activations: float
    logits: float
    rollouts: float
    written: float
    own: float

    def parts(self) -> dict[str, float]:
        return asdict(self)

    @property
    def certain(self) -> float:
        """What there is no way around."""
        return self.weights + self.gradients + self.optimizer + self.reference

    @property
    def total(self) -> float:
        return sum(self.parts().values())


def read_shape(base: str, shape: str | None) -> ModelShape:
    """Of the model in a directory; of one that is not here, by the name of its shape. Raises TrainingError."""
    from lte_core.vlm.weights import DAMAGE, first_line

    try:
        return _shape(base, shape)
    except TrainingError:
        raise
    except DAMAGE as problem:  # transformers finds no configuration, or one that it does not know
        raise TrainingError(f"There is no model to train in {base}: {first_line(problem)}") from problem


def _shape(base: str, shape: str | None) -> ModelShape:
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from lte_core.inference.load import MODELS, NANO
    from lte_core.training import nano
    from lte_core.training.shapes import SHAPES, shape_config

    directory = MODELS / NANO if base == NANO or (shape == "nano" and not Path(base).is_dir()) else Path(base)
    if directory.is_dir():
        config, checkpoint, name = AutoConfig.from_pretrained(directory), Checkpoint.load(directory), directory.name
    elif shape in SHAPES:
        name = f"Qwen2.5-VL of {shape}"
        config, checkpoint = shape_config(shape, nano.make_tokenizer(("the",), ("area",))), Checkpoint()
    else:
        raise TrainingError(f"There is no model in {base}, and the recipe names no shape to plan with.")
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return shape_of(model, checkpoint, name)


def shape_of(model: Any, checkpoint: Checkpoint, name: str) -> ModelShape:
    from lte_core.training.trainer import part_of

    by_part: Counter[Part] = Counter()
    for parameter, tensor in model.named_parameters():
        by_part[part_of(parameter)] += tensor.numel()
    text, vision = model.config.text_config, model.config.vision_config
    kv_width = text.hidden_size // text.num_attention_heads * text.num_key_value_heads
    return ModelShape(
        name, dict(by_part), text.hidden_size, text.num_hidden_layers, text.intermediate_size, kv_width,
        text.vocab_size, vision.hidden_size, vision.depth, vision.intermediate_size, checkpoint,
    )  # fmt: skip


def plan(shape: ModelShape, config: SftConfig | GrpoConfig, devices: int = 1, *, zero3: bool = False) -> Memory:
    """What this stage takes on each device."""
    share = devices if zero3 else 1
    wide = 4 if config.weights == "float32" else 2
    trained = _trained(shape, config)
    # DeepSpeed's and LoRA's trained weights have a float32 master each when the model is held in bfloat16.
    master = 4 if wide == 2 and (zero3 or config.lora_rank) else 0
    calculated = 2 if config.bf16 else 4
    image, crop = _tokens(shape)
    written = _written(shape, config)
    examine = not (isinstance(config, GrpoConfig) and config.segment == Segment.LOCATE)
    seen = image + (CROPS * crop if examine else 0)
    rows = config.batch_size
    text = _kept(shape.width, shape.kv_width, shape.mlp, shape.depth, config, calculated) * (seen + written)
    vision = _kept(shape.vision_width, shape.vision_width, shape.vision_mlp, shape.vision_depth, config, calculated)
    reference = rollouts = 0.0
    if isinstance(config, GrpoConfig):
        reference = wide * shape.parameters / share if config.beta and not config.lora_rank else 0.0
        cached = 2 * shape.depth * shape.kv_width * calculated * (seen + written)
        rollouts = cached * rows * config.accumulate  # all replies of a step are written at once
        if zero3:
            rollouts += wide * shape.parameters  # to write, each device gathers the whole model
        if config.vllm_url:
            rollouts = 0.0  # another machine's
    return Memory(
        weights=(wide * shape.parameters + master * trained) / share,
        gradients=wide * trained / share,
        optimizer=8 * trained / share,
        reference=reference,
        activations=rows * (text + vision * PATCHES * seen),
        logits=rows * written * shape.vocabulary * 4 * 2,
        rollouts=rollouts,
        # On a CPU what is being written to disk lies in the same memory.
        written=0.0 if config.bf16 or _on_gpu(config) else wide * shape.parameters,
        own=OWN,
    )


def check(base: Path, out: Path, config: SftConfig | GrpoConfig) -> None:
    """Raises TrainingError when a package is missing, or memory or disk cannot suffice: found out now, and not after
    hours."""
    if config.report_to != "none":
        need(config.report_to, f"--report-to {config.report_to}")
    if config.lora_rank:
        need("peft", "LoRA")
    if isinstance(config, GrpoConfig) and config.vllm_url:
        need("vllm", "TRL's client of a vLLM server (it pins its own torch: the README says how to install it)")
    gc.collect()  # an earlier stage's model may still be there
    zero3 = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    if zero3 and config.lora_rank:
        raise TrainingError("An adapter under DeepSpeed ZeRO-3 is not supported: take lora_rank = 0, or no DeepSpeed.")
    if config.weights == "bfloat16" and not (zero3 or config.lora_rank):
        raise TrainingError(
            'weights = "bfloat16" needs DeepSpeed or an adapter (lora_rank): bare weights of that width lose most '
            'small steps to rounding. Take weights = "float32".'
        )
    shape = read_shape(str(base), None)
    needed = plan(shape, config, int(os.environ.get("WORLD_SIZE", "1")), zero3=zero3).certain
    free = _free_memory(config)
    if needed > free:
        raise TrainingError(
            f"Training {base} this way takes at least {needed / 2**30:.1f} GiB for weights, gradients and optimizer, "
            f"and {free / 2**30:.1f} GiB are free. Take an adapter (lora_rank), freeze parts, or use several GPUs with "
            "DeepSpeed; --plan tells what each takes."
        )
    saved = _saved(shape, config, zero3)
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    kept = sum(file.stat().st_size for file in (out / "checkpoints").rglob("*") if file.is_file())
    room = shutil.disk_usage(there).free + kept
    if saved > room:
        raise TrainingError(
            f"The checkpoints of this training take up to {saved / 2**30:.1f} GiB, and {there} has {room / 2**30:.1f} "
            "GiB free. Name another --out, or make room."
        )


def need(package: str, what: str) -> None:
    """Raises TrainingError where an optional package is missing."""
    if find_spec(package) is None:
        raise TrainingError(f"{what} needs the package {package}: pip install {package}")


def _saved(shape: ModelShape, config: TrainConfig, zero3: bool) -> float:
    """Bytes on disk: two checkpoints and one that is being written (weights, or the adapter; AdamW's two moments;
    under ZeRO-3 the float32 master, too), and the result."""
    wide, result = (4 if kind == "float32" else 2 for kind in (config.weights, config.save_as))
    trained = _trained(shape, config)
    weights = 4 * trained if config.lora_rank else wide * shape.parameters
    return 3 * (weights + 8 * trained + (4 * trained if zero3 else 0)) + result * shape.parameters


def _trained(shape: ModelShape, config: TrainConfig) -> int:
    parts = {part: count for part, count in shape.by_part.items() if part not in config.freeze}
    if not config.lora_rank:
        return sum(parts.values())
    # An adapter of rank r on a linear layer from a to b holds r (a + b); a layer has 4 of w x w and 3 of w x mlp.
    text = shape.depth * (11 * shape.width + 3 * shape.mlp) * config.lora_rank
    vision = shape.vision_depth * (11 * shape.vision_width + 3 * shape.vision_mlp) * config.lora_rank
    return (text if Part.LANGUAGE in parts else 0) + (vision if Part.VISION in parts else 0)


def _tokens(shape: ModelShape) -> tuple[int, int]:
    """Of the image, and of a crop."""
    known = shape.checkpoint
    cell = 28 * 28
    image = known.image_wh.width * known.image_wh.height if known.image_wh else known.max_pixels
    crop = known.crop_wh.width * known.crop_wh.height if known.crop_wh else known.crop_max_pixels
    return image // cell, crop // cell


def _written(shape: ModelShape, config: SftConfig | GrpoConfig) -> int:
    if isinstance(config, GrpoConfig) and config.segment == Segment.LOCATE:
        return shape.checkpoint.max_new_tokens_locate
    return shape.checkpoint.max_new_tokens_examine


def _kept(width: int, kv_width: int, mlp: int, depth: int, config: TrainConfig, calculated: int) -> float:
    """Bytes kept for the backward pass, a token, over all layers."""
    layer = calculated * (6 * width + 2 * kv_width + 4 * mlp) + 4 * 4 * width  # norms and residuals in float32
    return depth * calculated * width + layer if config.gradient_checkpointing else depth * layer


def _on_gpu(config: TrainConfig) -> bool:
    import torch

    return torch.cuda.is_available() and config.device != "cpu"


def _free_memory(config: TrainConfig) -> float:
    import torch

    if _on_gpu(config):
        torch.cuda.empty_cache()
        return float(torch.cuda.mem_get_info(int(os.environ.get("LOCAL_RANK", "0")))[0])
    lines = Path("/proc/meminfo")
    if not lines.is_file():
        return float("inf")
    found = dict(line.split(":", 1) for line in lines.read_text().splitlines())
    return float(found["MemAvailable"].split()[0]) * 1024
