"""How a model is trained: the settings of SFT and of GRPO's two segments. Values that are the paper's say so."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from lte_core.inference.crop_sources import CropSource
from lte_core.training.conversations import CropShares
from lte_core.training.rewards import RewardConfig


class TrainingError(ValueError):
    """Training cannot start or go on; the message says what was found and what to do."""


class Part(StrEnum):
    """The parts of a Qwen-VL that can be kept as they are."""

    VISION = "vision"
    PROJECTOR = "projector"
    LANGUAGE = "language"


class Segment(StrEnum):
    """The two segments of GRPO: each teaches one query."""

    LOCATE = "locate"
    EXAMINE = "examine"


Float = Literal["float32", "bfloat16"]
Reporter = Literal["none", "tensorboard", "trackio"]


@dataclass(frozen=True)
class TrainConfig:
    """What SFT and GRPO have in common.

    `batch_size` counts rows a device and pass, `accumulate` passes a step. `warmup_share` is a share of all steps.
    `freeze`: parts that are not trained. `lora_rank` 0 trains the weights themselves, more an adapter of that rank on
    every linear layer, which is merged at the end. `weights`: in which the model is held while it is trained;
    `bf16` computes in bfloat16 (None: where there is a GPU). `save_as`: in which the result is written (under
    DeepSpeed and FSDP as it is trained: they gather and write it themselves).
    """

    learning_rate: float = 2e-5
    batch_size: int = 8
    accumulate: int = 1
    warmup_share: float = 0.03
    weight_decay: float = 0.01
    seed: int = 0
    samples: int | None = None
    save_steps: int = 500
    log_steps: int = 25
    device: str | None = None
    bf16: bool | None = None
    weights: Float = "float32"
    save_as: Float = "bfloat16"
    workers: int = 1
    threads: int | None = None
    freeze: tuple[Part, ...] = ()
    lora_rank: int = 0
    gradient_checkpointing: bool = False
    report_to: Reporter = "none"

    def __post_init__(self) -> None:
        for holds, expected in (
            (self.learning_rate > 0, f"learning_rate > 0, got {self.learning_rate}"),
            (min(self.batch_size, self.accumulate, self.save_steps, self.log_steps) > 0, "positive sizes and steps"),
            (0 <= self.warmup_share < 1, f"0 <= warmup_share < 1, got {self.warmup_share}"),
            (self.lora_rank >= 0, f"lora_rank >= 0, got {self.lora_rank}"),
            (len(set(self.freeze)) < len(Part), "a part that is trained: not all can be frozen"),
            (self.samples is None or self.samples > 0, f"samples > 0, got {self.samples}"),
        ):
            if not holds:
                raise TrainingError(f"expected {expected}")


@dataclass(frozen=True)
class SftConfig(TrainConfig):
    """`learning_rate` is the paper's; the rest is ours.

    `patience`: training ends after so many evaluations (one every `eval_steps`) on the validation split without a
    lower loss, and the best weights are kept; None trains to the end.
    """

    epochs: int = 1
    examine: bool = True  # False: Locate alone, the single round that the paper compares with
    crops: CropShares = field(default_factory=CropShares)
    patience: int | None = None
    eval_steps: int = 500


@dataclass(frozen=True)
class GrpoConfig(TrainConfig):
    """`generations` (G) and `learning_rate` are the paper's; the rest is ours.

    `batch_size` counts replies, so a step sees batch_size x accumulate / generations questions. `steps` None is one
    pass over the samples. `beta` weighs the KL divergence from the model that the segment started with. `crops`: whose
    regions Examine is shown; own ones are located once by the model with which the segment starts. `vllm_url`: a
    server of `trl vllm-serve` that writes the replies.
    """

    segment: Segment = Segment.LOCATE
    learning_rate: float = 1e-5
    generations: int = 4
    steps: int | None = None
    beta: float = 0.04
    temperature: float = 1.0
    rewards: RewardConfig = field(default_factory=RewardConfig)
    crops: CropSource = CropSource.OWN
    vllm_url: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.generations < 2:
            raise TrainingError(
                f"expected generations >= 2, since a reply is judged among others, got {self.generations}"
            )
        if self.batch_size * self.accumulate % self.generations:
            raise TrainingError(
                f"expected batch_size x accumulate to be a multiple of generations, got {self.batch_size} x "
                f"{self.accumulate} and {self.generations}"
            )
        if self.temperature <= 0 or self.beta < 0:
            raise TrainingError(f"expected temperature > 0 and beta >= 0, got {self.temperature} and {self.beta}")
