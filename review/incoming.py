"""A sample on its way into the review: its first rows. Opens nothing (`importing.py` reads files)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lte_core.schema import TraceSample, Verdict
from review import desk
from review.records import Origin, State


@dataclass(frozen=True, slots=True)
class Incoming:
    """A sample to be reviewed; its image is kept already. `suffix` is of the image's file, with the dot."""

    sample: TraceSample
    suffix: str
    annotation: Mapping[str, Any]
    origin: Origin = Origin.PURIFIED


def sample_values(item: Incoming, now: datetime, double_share: float) -> dict[str, Any]:
    """The row of a new sample. Its place in a random order, and whether it gets two reviews, follow from its id."""
    sample = item.sample
    place = int.from_bytes(hashlib.sha256(sample.id.encode()).digest()[:4]) / 2**32
    twice = 2 if place < double_share else 1
    return {
        "sample_id": sample.id, "sha256": sample.sha256, "suffix": item.suffix, "width": sample.width,
        "height": sample.height, "source": sample.source, "generator": sample.generator, "split": sample.split,
        "annotation": dict(item.annotation), "imported_at": now, "ease": _ease(sample.label, item.annotation),
        "shuffle": int.from_bytes(hashlib.sha256(f"order/{sample.id}".encode()).digest()[:4]) >> 1,
        "reviews_wanted": twice, "gold": False, "label": sample.label, "state": State.OPEN, "current": 1,
        "reviews_left": twice, "version": 1, "lease_account_id": None, "lease_until": None,
    }  # fmt: skip


def first_revision(sample: int, item: Incoming, now: datetime) -> dict[str, Any]:
    """What the machine made of it, as revision 1."""
    content = item.sample
    return {
        "sample_id": sample, "number": 1, "origin": item.origin, "account_id": None, "at": now,
        "label": content.label, "explanation": content.explanation, "regions": desk.to_json(content.regions),
    }  # fmt: skip


def _ease(label: Verdict, annotation: Mapping[str, Any]) -> float:
    """How easy a sample looks, 0 to 1: the mean of the explanations' similarity, the groundings' IoU and the
    detector's belief in the label, as far as they are known; 0.5 when none is."""
    figures = [annotation.get("similarity"), annotation.get("min_iou")]
    match annotation.get("detector"):
        case {"p_generated": float(p) | int(p)}:
            figures.append(p if label is Verdict.GENERATED else 1 - p)
    known = [min(1.0, max(0.0, f)) for f in figures if isinstance(f, int | float) and f == f]
    return sum(known) / len(known) if known else 0.5
