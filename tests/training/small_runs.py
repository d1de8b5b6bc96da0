"""What the tests of training share: the checkpoint that ships, and a log that can kill the run that it logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from lte_core.inference.load import MODELS, NANO
from lte_core.training.trainer import Progress

NANO_DIR = MODELS / NANO


class Killed(KeyboardInterrupt):
    """Ends a training between two steps, as a kill would: nothing but the disk remembers it."""


@dataclass
class Log:
    """What a run reports; with `dies_at` it is killed when it reports that step."""

    dies_at: int | None = None
    lines: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        self.lines.append(progress)
        if progress.step == self.dies_at:
            raise Killed

    def of(self, name: str) -> dict[int, float]:
        return {line.step: line.figures[name] for line in self.lines if name in line.figures}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """By the names that the parameters have in the model, in float32."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    found: dict[str, torch.Tensor] = model.state_dict()
    return found


def same(a: Path, b: Path) -> bool:
    ours, theirs = weights(a), weights(b)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
