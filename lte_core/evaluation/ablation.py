"""What is run for the paper's ablations: steps of the method, what Examine is shown, and models trained otherwise.

Decides names, models and files; predicts nothing. Models under one name are the same training with other seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lte_core.evaluation.modes import Mode
from lte_core.evaluation.run import RunConfig
from lte_core.inference.crop_sources import CropSource

LTE = f"model: {Mode.LTE}"
"""The row that the others are compared with."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One predictions file: the row that it belongs to, the model that makes it, and how."""

    row: str
    model: str
    config: RunConfig
    file: str


def plan(
    models: Sequence[str], base: str | None = None, extras: Sequence[str] = (), singles: Sequence[str] = ()
) -> list[Planned]:
    """Row after row, in the paper's order. `models` are seeds of the one in question, of which the earlier stages of
    its training are rows, too, where they lie beside it (`train lte`). `extras` and `singles` are NAME=MODEL: asked
    twice, and asked once. Raises ValueError for one without a name or a model."""
    rows = [("base", base, RunConfig(Mode.BASE))] if base is not None else []
    steps = [(f"model: {mode}", RunConfig(mode)) for mode in (Mode.EXPLAIN, Mode.SINGLE, Mode.LTE)]
    shown = (CropSource.RANDOM, CropSource.LARGEST3, CropSource.ANNOTATED, CropSource.NONE)
    steps += [(f"model: {crops} crops", RunConfig(crops=crops)) for crops in shown]
    rows += [(name, model, config) for name, config in steps for model in models]
    earlier = [found for model in models for found in _earlier_stages(Path(model))]
    rows += [(name, model, RunConfig()) for name, model in sorted(earlier, key=lambda found: found[0])]
    rows += [(f"extra: {name}", model, RunConfig()) for name, model in map(_named, extras)]
    rows += [(f"one look: {name}", model, RunConfig(Mode.SINGLE)) for name, model in map(_named, singles)]
    return list(_with_files(rows))


def _named(text: str) -> tuple[str, str]:
    name, _, model = (part.strip() for part in text.partition("="))
    if not name or not model:
        raise ValueError(f"expected NAME=MODEL, got {text!r}")
    return name, model


def _earlier_stages(model: Path) -> list[tuple[str, str]]:
    """The stages of a `train lte` before its last one, as rows: after 1-sft, after 2-locate."""
    folders = sorted(folder for folder in model.glob("stages/*") if (folder / "model.safetensors").is_file())
    return [(f"after {folder.name}", str(folder)) for folder in folders[:-1]]


def _with_files(rows: Sequence[tuple[str, str, RunConfig]]) -> Iterator[Planned]:
    seen: dict[str, int] = {}
    for row, model, config in rows:
        slug = "-".join("".join(c if c.isalnum() else " " for c in row.lower()).split())
        seen[slug] = seen.get(slug, 0) + 1
        yield Planned(row, model, config, slug if seen[slug] == 1 else f"{slug}-seed{seen[slug]}")
