"""Make lte-nano's base: a tiny Qwen2.5-VL that sees, grounds objects and knows its few words, from nothing.

Like a Qwen-VL before LTE, it names and boxes what is in a scene and says what an enlarged crop shows; it has
never heard of a verdict, nor of choosing what is suspicious (`sft.py` teaches both). A plain PyTorch loop:
TRL has no place for dense heads that are thrown away, packed two-branch sequences or a vision-only stage,
and without them a model of this size does not learn to ground in any affordable time.

    python -m lte_core train base --data runs/synth --out runs/base
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader, Sampler

from lte_core.schema import Size
from lte_core.training import nano, record
from lte_core.training.config import TrainingError
from lte_core.training.dense import DenseNano
from lte_core.training.packing import CLASSES, Batch, Example, Packer, SceneData

Stage = Literal["see", "speak"]


@dataclass(frozen=True)
class PretrainConfig:
    """Two stages: `see` trains the vision heads alone, `speak` everything. All values are ours."""

    see_samples: int = 10_000
    speak_samples: int = 26_000
    see_batch: int = 16
    speak_batch: int = 8
    learning_rate: float = 1.5e-3
    see_warmup: int = 60
    speak_warmup: int = 150
    final_share: float = 0.04
    seed: int = 0
    threads: int = 2
    workers: int = 1
    save_every: int = 400
    device: str = "cpu"
    start: str | None = None  # a directory with an earlier nano: training goes on from its weights
    image_wh: Size = nano.IMAGE_WH


@dataclass(frozen=True)
class Progress:
    """One line of the log: `seen` samples of `of` in this stage, and the means since the last line."""

    stage: Stage
    seen: int
    of: int
    rate: float
    means: dict[str, float]


class KeySampler(Sampler[int]):
    """Sample keys from `start` to `end`; every epoch is a fresh shuffle, and any point can be resumed at."""

    def __init__(self, size: int, start: int, end: int, seed: int) -> None:
        self._size, self._start, self._end, self._seed = size, start, end, seed

    def __len__(self) -> int:
        return self._end - self._start

    def __iter__(self) -> Iterator[int]:
        for epoch in range(self._start // self._size, math.ceil(self._end / self._size)):
            order = list(range(self._size))
            random.Random(f"{self._seed}/{epoch}").shuffle(order)
            for place, index in enumerate(order):
                if self._start <= epoch * self._size + place < self._end:
                    yield epoch * self._size + index


class Optimizers:
    """Muon for the matrices of blocks and layers, AdamW for the rest: what made a model this small learn in time."""

    def __init__(self, net: DenseNano, rate: float) -> None:
        inner = (".blocks.", ".layers.", "merger.mlp")
        named = [(n, p) for n, p in net.named_parameters() if p.requires_grad]
        matrices = [p for n, p in named if p.ndim == 2 and any(part in n for part in inner)]
        rest = [p for n, p in named if not (p.ndim == 2 and any(part in n for part in inner))]
        self._all: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices, lr=rate, weight_decay=0.03, momentum=0.95, adjust_lr_fn="match_rms_adamw", ns_steps=4
            ),
            torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.97), weight_decay=0.01),
        ]

    def step(self, rate: float) -> None:
        for optimizer in self._all:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        return [optimizer.state_dict() for optimizer in self._all]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        for optimizer, state in zip(self._all, states, strict=True):
            optimizer.load_state_dict(state)


def learning_rate(config: PretrainConfig, stage: Stage, step: int, share_done: float) -> float:
    """Linear warm-up, then a cosine down to `final_share` of the peak."""
    warmup = config.see_warmup if stage == "see" else config.speak_warmup
    cosine = 0.5 * (1 + math.cos(math.pi * share_done))
    return (
        config.learning_rate * min(1.0, (step + 1) / warmup) * (config.final_share + (1 - config.final_share) * cosine)
    )


class Pretraining:
    """A run that can be killed anywhere: `run()` goes on from the last saved step, with the same samples to come."""

    def __init__(
        self, examples: Sequence[Example], tokenizer: Any, out: Path, config: PretrainConfig = PretrainConfig()
    ) -> None:
        if not examples:
            raise TrainingError("expected at least one scene to learn from, found none: `trace synth` makes some")
        if config.start and not Path(config.start).is_dir():
            raise TrainingError(f"There is no base in {config.start}. Name the folder of an earlier one.")
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.out, self.tokenizer = config, out, tokenizer
        self.packer = Packer(tokenizer, config.image_wh)
        self.data = SceneData(examples, self.packer, config.seed)
        data = hashlib.sha256("\n".join(example.image.name for example in examples).encode()).hexdigest()
        earlier = Path(config.start) if config.start else None
        self.about = record.about("base", config, None, earlier, data, len(examples))
        start, seed = config.start, config.seed
        model = nano.load_model(start, tokenizer) if start else nano.make_model(tokenizer, seed=seed)
        self.net = DenseNano(model, CLASSES).to(config.device)

    def run(self, report: Callable[[Progress], None]) -> None:
        """Train both stages, save the base (without the heads) in `out`; a finished one is left as it is. Raises
        TrainingError when `out` holds another run."""
        if record.finished(self.out, self.about):
            return
        record.write_record(self.out, self.about)
        if not self.config.start and not (self.out / "resume.pt").exists():
            sample = [self.data[i] for i in range(min(200, len(self.data)))]
            pixels = [torch.tensor(item.image)[None] for item in sample]
            self.net.whiten_patches(pixels + [torch.from_numpy(item.crops) for item in sample])
        stages: tuple[tuple[Stage, int], ...] = (("see", self.config.see_samples), ("speak", self.config.speak_samples))
        offset = 0
        for stage, count in stages:
            self._stage(stage, offset, count, report)
            offset += count
        nano.save(self.net.model, self.tokenizer, self.out, self.config.image_wh)
        record.write_record(self.out, self.about | {"done": True})
        (self.out / "resume.pt").unlink()

    def _stage(self, stage: Stage, offset: int, count: int, report: Callable[[Progress], None]) -> None:
        config = self.config
        optimizers = Optimizers(self.net, config.learning_rate)
        done = self._resume(optimizers, offset, count)
        batch_size = config.see_batch if stage == "see" else config.speak_batch
        step, started, first = done // batch_size, time.perf_counter(), done
        sums: dict[str, float] = {}
        for batch in self._batches(offset + done, offset + count, batch_size):
            batch = batch.to(config.device)
            with torch.autocast(config.device, dtype=torch.bfloat16):
                losses = self.net.seeing(batch)[0] if stage == "see" else self.net(batch)
            losses.total.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            optimizers.step(learning_rate(config, stage, step, done / count))
            step, done = step + 1, done + len(batch.images)
            for name, value in losses.parts.items():
                sums[name] = sums.get(name, 0.0) + value / 50
            if step % 50 == 0:
                rate = (done - first) / (time.perf_counter() - started)
                report(Progress(stage, done, count, rate, sums))
                sums = {}
            if step % config.save_every == 0 or done == count:
                self._save(offset + done, optimizers)

    def _batches(self, start: int, end: int, batch_size: int) -> Iterator[Batch]:
        sampler = KeySampler(len(self.data), start, end, self.config.seed)
        loader: DataLoader[Any] = DataLoader(
            self.data,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.config.workers,
            collate_fn=self.packer.collate,
            prefetch_factor=4 if self.config.workers else None,
        )
        return iter(loader)

    def _save(self, done: int, optimizers: Optimizers) -> None:
        """`done` counts the samples of all stages."""
        state = {"done": done, "net": self.net.state_dict(), "optimizers": optimizers.state_dict()}
        torch.save(state, self.out / "resume.tmp")
        (self.out / "resume.tmp").replace(self.out / "resume.pt")

    def _resume(self, optimizers: Optimizers, offset: int, count: int) -> int:
        """How many of this stage's `count` samples are done; loads what was saved."""
        path = self.out / "resume.pt"
        if not path.exists():
            return 0
        state = torch.load(path, map_location=self.config.device, weights_only=True)
        self.net.load_state_dict(state["net"])
        done: int = min(max(state["done"] - offset, 0), count)
        if 0 < done < count:
            optimizers.load_state_dict(state["optimizers"])
        return done
