"""What it costs to ask experts: calls, tokens and dollars, before (an estimate) and after (what the server counted).

Prices are list prices in US dollars for a million tokens; they change, and `--price` states others. Asks nobody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lte_core.dataset.raw import Replies
from lte_core.dataset.stages import Job
from lte_core.schema import Size
from lte_core.vlm.views import Views


class Price(NamedTuple):
    """US dollars for a million tokens that are read, and for a million that are written."""

    read: float
    written: float


PRICES = {"gpt-4o": Price(2.5, 10.0), "gpt-4o-mini": Price(0.15, 0.6)}  # OpenAI's list prices, 2025

CHARS_PER_TOKEN = 4  # of English text, about
REPLY_TOKENS = 260  # of one reply, about: five clues and a summary, or five boxes
_TILE, _BASE_TOKENS, _TILE_TOKENS = 512, 85, 170  # gpt-4o's own count for a picture in high detail


@dataclass(frozen=True, slots=True)
class Estimate:
    """`known` are answered already and cost nothing; `dollars` is None without a known price."""

    calls: int
    known: int
    tokens_in: int
    tokens_out: int
    dollars: float | None


def estimate(jobs: Iterable[Job], replies: Replies, model: str, price: Price | None) -> Estimate:
    """What the jobs without a reply would cost."""
    calls = known = read = 0
    for job in jobs:
        if job.key in replies:
            known += 1
        else:
            calls += 1
            size = Size(job.sample.width, job.sample.height)
            read += len(job.ask.prompt) // CHARS_PER_TOKEN + picture_tokens(size, model)
    written = calls * REPLY_TOKENS
    return Estimate(calls, known, read, written, dollars(read, written, price))


def dollars(read: int, written: int, price: Price | None) -> float | None:
    return None if price is None else (read * price.read + written * price.written) / 1e6


def price_of(model: str, stated: str | None = None) -> Price | None:
    """The stated price ("2.5,10"), or the list price where there is one. Raises ValueError for nonsense."""
    if stated is None:
        return PRICES.get(model)
    try:
        price = Price(*map(float, stated.split(",")))
    except (ValueError, TypeError):
        price = Price(-1, -1)
    if not all(math.isfinite(part) and part >= 0 for part in price):
        raise ValueError(f"expected two prices for a million tokens, as in --price 2.5,10, got {stated!r}")
    return price


def picture_tokens(size: Size, model: str, views: Views = Views()) -> int:  # noqa: B008  (frozen)
    """Tokens of a picture of this size, as it is shown: OpenAI's tiles for its models, else Qwen-VL's 28 px cells."""
    shown = views.size(size)
    if not model.startswith(("gpt-", "o1", "o3", "o4", "chatgpt")):
        return shown.width * shown.height // (28 * 28)
    fitted = min(1.0, 2048 / max(shown))
    scale = fitted * min(1.0, 768 / (fitted * min(shown)))
    tiles = math.prod(math.ceil(side * scale / _TILE) for side in shown)
    return _BASE_TOKENS + _TILE_TOKENS * tiles
