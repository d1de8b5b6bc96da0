"""What a detector must know about a model beyond its weights: `lte.json`, a file beside them.

Its prompts, how large it sees things, how its confidence is calibrated and what a page has to say about it.
A model without the file is used with the defaults. Loads no weights.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from lte_core.files import write_whole
from lte_core.inference.prompts import Prompts
from lte_core.schema import Size
from lte_core.vlm.views import Views

FILE_NAME = "lte.json"
UNCALIBRATED = "This model's confidence has not been calibrated: it is a tendency, not a rate of being right."


class CheckpointError(ValueError):
    """An `lte.json` that cannot be used: where it is, what is wrong in it and what was expected."""


@dataclass(frozen=True)
class Checkpoint:
    """Raises ValueError for values out of range. All defaults are ours.

    Calibration: p' = sigmoid(logit(p) / temperature), a temperature for each query. Inside `uncertain_band`
    P(generated) is not to be relied upon. `crop_pad` None leaves the crops' context to `CropConfig`. The model was
    taught to write coordinates in multiples of `coordinate_step`.
    `note` is the sentence about this model that is shown beside its verdicts, `card` where to read more.
    """

    # Read by pydantic: an unknown key is a typing mistake, and "1" is no number.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    prompts: Prompts = field(default_factory=Prompts)
    temperature_locate: float = 1.0
    temperature_examine: float = 1.0
    uncertain_band: tuple[float, float] = (0.35, 0.65)
    image_wh: Size | None = Views.image_wh
    crop_wh: Size | None = Views.crop_wh
    max_pixels: int = Views.max_pixels
    crop_min_pixels: int = Views.crop_min_pixels
    crop_max_pixels: int = Views.crop_max_pixels
    max_new_tokens_locate: int = 1024
    max_new_tokens_examine: int = 768
    crop_pad: float | None = None
    coordinate_step: int = 1
    note: str = ""
    card: str | None = None

    def __post_init__(self) -> None:
        low, high = self.uncertain_band
        for holds, expected in (
            (0 <= low <= high <= 1, f"0 <= low <= high <= 1 in uncertain_band, got {self.uncertain_band}"),
            (0 < self.temperature_locate < math.inf, f"temperature_locate > 0, got {self.temperature_locate}"),
            (0 < self.temperature_examine < math.inf, f"temperature_examine > 0, got {self.temperature_examine}"),
            (self.max_pixels > 0, f"max_pixels > 0, got {self.max_pixels}"),
            (
                0 < self.crop_min_pixels <= self.crop_max_pixels,
                f"0 < crop_min_pixels <= crop_max_pixels, got {self.crop_min_pixels} and {self.crop_max_pixels}",
            ),
            (min(self.max_new_tokens_locate, self.max_new_tokens_examine) > 0, "max_new_tokens_* > 0"),
            (self.coordinate_step > 0, f"coordinate_step > 0, got {self.coordinate_step}"),
            (self.crop_pad is None or 0 <= self.crop_pad <= 1, f"0 <= crop_pad <= 1, got {self.crop_pad}"),
            (all(min(wh) > 0 for wh in (self.image_wh, self.crop_wh) if wh), "positive sides in image_wh and crop_wh"),
        ):
            if not holds:
                raise ValueError(f"expected {expected}")

    @property
    def views(self) -> Views:
        """How large the model sees the image and the crops."""
        return Views(
            max_pixels=self.max_pixels,
            crop_max_pixels=self.crop_max_pixels,
            crop_min_pixels=self.crop_min_pixels,
            image_wh=self.image_wh,
            crop_wh=self.crop_wh,
        )

    @property
    def calibrated(self) -> bool:
        """Whether the final confidence was fitted to how often this model is right."""
        return self.temperature_examine != 1.0

    def is_uncertain(self, p_generated: float | None) -> bool:
        """True strictly inside the band; False where the model gives no confidence."""
        low, high = self.uncertain_band
        return p_generated is not None and low < p_generated < high

    def for_other_weights(self) -> Checkpoint:
        """The same for weights of which nobody knows yet how sure they may be, and that this card is not about."""
        plain = Checkpoint()
        return replace(
            self,
            temperature_locate=plain.temperature_locate,
            temperature_examine=plain.temperature_examine,
            uncertain_band=plain.uncertain_band,
            note=plain.note,
            card=plain.card,
        )

    @staticmethod
    def load(directory: Path) -> Checkpoint:
        """The checkpoint's own settings, or the defaults where it has none. Raises CheckpointError."""
        from pydantic import TypeAdapter, ValidationError

        path = directory / FILE_NAME
        try:
            return TypeAdapter(Checkpoint).validate_json(path.read_bytes())
        except FileNotFoundError:
            return Checkpoint()
        except OSError as problem:
            raise CheckpointError(f"{path} cannot be read ({problem.strerror}).") from problem
        except ValidationError as problem:
            wrong = "; ".join(
                f"{'.'.join(map(str, error['loc'])) or 'the file'}: {error['msg']}" for error in problem.errors()
            )
            raise CheckpointError(
                f"{path} cannot be used: {wrong}. Correct it, or take the checkpoint's original file."
            ) from problem

    def save(self, directory: Path) -> None:
        """Write the file that `load` reads."""
        write_whole(directory / FILE_NAME, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


DEFAULT_CHECKPOINT = Checkpoint()


def calibrate(p_generated: float | None, temperature: float) -> float | None:
    """sigmoid(logit(p) / temperature), in [0, 1]; None stays None. Never crosses 0.5, so no verdict changes."""
    if p_generated is None or p_generated in (0.0, 1.0) or temperature == 1.0:
        return p_generated
    scaled = math.log(p_generated / (1 - p_generated)) / temperature
    return 1 / (1 + math.exp(-scaled)) if scaled > -700 else 0.0
