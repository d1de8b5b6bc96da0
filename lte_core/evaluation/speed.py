"""How long both queries take, three ways side by side: two plain `generate` calls, a shared prefix, a batch.

All ways are given the same pictures, crops and prompts, and write the same number of tokens, in turns within one
process; the ratios mean something on a busy machine, the seconds less so. Measures local models only.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.examine import CropConfig, cut_crops, examine_question, plan_crops
from lte_core.inference.locate import locate_question
from lte_core.schema import Box, Region, Size
from lte_core.vlm.base import Question, Reply, finish
from lte_core.vlm.qwen import QwenVL

# Areas of a size and place that suspicious ones often have, as shares of the image.
AREAS = ((0.1, 0.15, 0.35, 0.4), (0.5, 0.2, 0.75, 0.45), (0.35, 0.6, 0.65, 0.85), (0.05, 0.55, 0.3, 0.9))


@dataclass(frozen=True)
class Way:
    """One way's medians over the images; seconds are per image.

    `examine_prefill_s` is the time until Examine's first token: crops seen, prompt read. The shares are of
    `seconds`; transformers' own `generate` does not tell seeing from reading, so there both are None.
    """

    name: str
    seconds: float
    first_token_s: float | None
    examine_prefill_s: float | None
    vision_share: float | None
    prefill_share: float | None
    decode_share: float | None
    score_share: float | None


@dataclass(frozen=True)
class Speed:
    """The table. `peak_memory_gib` is of the process, or of the GPU's allocator where there is one.

    `decode_over_floor`, on a GPU: time per token of the shared way over the time it takes to read all weights once.
    """

    model: str
    parameters: int
    device: str
    images: int
    side: int
    crops: int
    tokens_per_image: float
    ways: tuple[Way, ...]
    examine_prefill_ratio: float
    peak_memory_gib: float
    decode_over_floor: float | None


def measure(vlm: QwenVL, checkpoint: Checkpoint, images: Sequence[Image.Image], batch: int, crops: int = 2) -> Speed:
    """Time all ways on every image after one warm-up. Raises ValueError without images.

    Examine is shown `crops` areas, at most 4. Two is what a model marks: 1.95 in the paper for 7B (3.58 for 32B).
    """
    if not images:
        raise ValueError("expected at least one image to time")
    asked = [_questions(image, checkpoint, crops) for image in images]
    _shared(vlm, images[0], asked[0])
    plain, plain_first, plain_prefill, shared = [], [], [], []
    for image, questions in zip(images, asked, strict=True):
        seconds, replies = _timed(lambda i=image, q=questions: _shared(vlm, i, q))
        shared.append((seconds, replies))
        counts = [reply.tokens for reply in replies]
        plain.append(_timed(lambda i=image, q=questions, c=counts: _plain(vlm, i, q, c))[0])
        plain_first.append(_timed(lambda i=image, q=questions: _plain(vlm, i, q[:1], [1]))[0])
        plain_prefill.append(_timed(lambda i=image, q=questions: _plain(vlm, i, q[1:], [1]))[0])
    batched = _batched(vlm, images, asked, batch)
    prefill = statistics.median(_until_first(replies[1]) for _, replies in shared)
    tokens = statistics.mean(sum(reply.tokens for reply in replies) for _, replies in shared)
    ways = (
        _plain_way(plain, plain_first, plain_prefill),
        _way("shared prefix", shared, prefill),
        _way(f"batch of {batch}", batched, None),
    )
    device = str(vlm.device)
    decode = statistics.median(sum(r.timings_s["decode"] for r in replies) for _, replies in shared) / tokens
    return Speed(
        vlm.info.name, vlm.model.num_parameters(), device, len(images), max(images[0].size), crops, tokens, ways,
        prefill / statistics.median(plain_prefill), _peak_memory_gib(device), _over_floor(vlm, decode),
    )  # fmt: skip


def _questions(image: Image.Image, checkpoint: Checkpoint, crops: int) -> list[Question]:
    w, h = image.size
    regions = [Region(Box(x1 * w, y1 * h, x2 * w, y2 * h), "area") for x1, y1, x2, y2 in AREAS[:crops]]
    plans = plan_crops(regions, Size(w, h), CropConfig())
    return [locate_question(checkpoint), examine_question(plans, cut_crops(image, plans), checkpoint)]


def _shared(vlm: QwenVL, image: Image.Image, questions: Sequence[Question]) -> list[Reply]:
    session = vlm.open([image])
    return [finish(session.ask([question]))[0] for question in questions]


def _plain(vlm: QwenVL, image: Image.Image, questions: Sequence[Question], counts: Sequence[int]) -> None:
    """Every question from nothing by transformers' `generate`, held to so many tokens."""
    import torch

    for question, count in zip(questions, counts, strict=True):
        views = [vlm.view(image), *(vlm.view(crop, crop=True) for crop in question.crops)]
        pixels = vlm.image_processor(images=views, do_resize=False, return_tensors="pt").to(vlm.device)
        ids, _ = vlm.prompt_ids(question.prompt, pixels["image_grid_thw"])
        row = torch.tensor([ids], device=vlm.device)
        vlm.model.generate(
            input_ids=row, attention_mask=torch.ones_like(row), mm_token_type_ids=(row == vlm.image_token).int(),
            **pixels, do_sample=False, min_new_tokens=count, max_new_tokens=count,
        )  # fmt: skip


def _batched(
    vlm: QwenVL, images: Sequence[Image.Image], asked: Sequence[Sequence[Question]], batch: int
) -> list[tuple[float, list[Reply]]]:
    """Seconds an image and the replies of one row, for each batch."""
    timed = []
    for start in range(0, len(images), batch):
        rows = slice(start, start + batch)

        def run(rows: slice = rows) -> list[Reply]:
            session = vlm.open(images[rows])
            return [finish(session.ask([q[query] for q in asked[rows]]))[0] for query in (0, 1)]

        seconds, replies = _timed(run)
        timed.append((seconds / len(images[rows]), replies))
    return timed


def _timed(work: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _until_first(reply: Reply) -> float:
    return reply.timings_s["vision"] + reply.timings_s["prefill"]


def _plain_way(whole: Sequence[float], first: Sequence[float], second: Sequence[float]) -> Way:
    """What is not spent until either first token is spent on the tokens after it."""
    waits, seconds = statistics.median(first), statistics.median(whole)
    prefill = statistics.median(second)
    return Way("plain", seconds, waits, prefill, None, None, max(0.0, 1 - (waits + prefill) / seconds), None)


def _way(name: str, timed: Sequence[tuple[float, list[Reply]]], prefill: float | None) -> Way:
    """Shares are of what the session accounts for: seeing, reading the prompt, writing, scoring the verdict."""
    laps = {key: sum(r.timings_s[key] for _, replies in timed for r in replies) for key in _PARTS}
    whole = sum(laps.values())
    first = statistics.median(_until_first(replies[0]) for _, replies in timed)
    seconds = statistics.median(seconds for seconds, _ in timed)
    return Way(name, seconds, first, prefill, *(laps[key] / whole for key in _PARTS))


_PARTS = ("vision", "prefill", "decode", "score")


def _peak_memory_gib(device: str) -> float:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated() / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)  # macOS counts bytes, Linux KiB


def _over_floor(vlm: QwenVL, seconds_per_token: float) -> float | None:
    """How far decoding is from reading the language model's weights once a token, at the bandwidth of a copy."""
    if vlm.device.type != "cuda":
        return None
    import torch

    block = torch.empty(2**31, dtype=torch.uint8, device=vlm.device)
    target = torch.empty_like(block)
    target.copy_(block)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        target.copy_(block)
    torch.cuda.synchronize()
    bandwidth = 20 * 2 * block.numel() / (time.perf_counter() - started)  # bytes read and written
    weights: int = sum(p.numel() * p.element_size() for p in vlm.model.model.language_model.parameters())
    return seconds_per_token / (weights / bandwidth)
