"""A detection as JSON (schema `lte-detection/1`), there and back. `report_html.py` makes the page for people.

One object a result; a Failure becomes one with `error` and the image's path alone. Provenance stands beside the
verdict and has no part in it. Public: fields may be added, a changed meaning needs a new schema name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lte_core.inference.detector import Failure
from lte_core.provenance import Provenance
from lte_core.schema import (
    Box,
    Crop,
    Detection,
    ExamineResult,
    ImageInfo,
    LocateResult,
    ModelInfo,
    Region,
    Verdict,
)

SCHEMA = "lte-detection/1"


def to_json(result: Detection | Failure, provenance: Provenance | None = None) -> dict[str, Any]:
    """The result as plain values for `json.dumps`. Boxes are xyxy in pixels of the upright original image."""
    if isinstance(result, Failure):
        return {"schema": SCHEMA, "image": {"path": result.path}, "error": result.error}
    locate = result.locate
    return {
        "schema": SCHEMA,
        "image": asdict(result.image),
        "model": asdict(result.model),
        "locate": {
            "explanation": locate.explanation,
            "regions": [{"bbox": [*region.box.xyxy], "label": region.label} for region in locate.regions],
            "verdict": locate.verdict,
            "p_generated": locate.p_generated,
            "reply": locate.reply,
            "problem": locate.problem,
        },
        "crops": [{"bbox": [*crop.box.xyxy], "label": crop.label, "regions": [*crop.regions]} for crop in result.crops],
        "examine": asdict(result.examine),
        "verdict": result.verdict,
        "p_generated": result.p_generated,
        "flipped": result.flipped,
        "timings_s": dict(result.timings_s),
        "provenance": None if provenance is None else _origin(provenance),
        "error": None,
    }


def from_json(record: Mapping[str, Any]) -> Detection | Failure:
    """What `to_json` was given, without the provenance.

    Raises ValueError for another schema, and for a record that lacks fields or holds wrong ones.
    """
    if (schema := record.get("schema")) != SCHEMA:
        raise ValueError(f"expected a record of schema {SCHEMA!r}, got {schema!r}")
    try:
        if record["error"] is not None:
            return Failure(record["image"]["path"], record["error"])
        return Detection(
            ImageInfo(**record["image"]),
            ModelInfo(**record["model"]),
            LocateResult(**_answer(record["locate"]) | {"regions": _regions(record["locate"]["regions"])}),
            tuple(Crop(Box(*crop["bbox"]), crop["label"], tuple(crop["regions"])) for crop in record["crops"]),
            ExamineResult(**_answer(record["examine"])),
            dict(record["timings_s"]),
        )
    except (KeyError, TypeError) as problem:
        raise ValueError(f"expected a complete {SCHEMA} record, got one that is not: {problem}") from problem


def _origin(provenance: Provenance) -> dict[str, Any]:
    return {"credentials": asdict(provenance.credentials), "metadata": [asdict(tag) for tag in provenance.metadata]}


def _answer(fields: Mapping[str, Any]) -> dict[str, Any]:
    verdict = fields["verdict"]
    return {**fields, "verdict": None if verdict is None else Verdict(verdict)}


def _regions(regions: Sequence[Mapping[str, Any]]) -> tuple[Region, ...]:
    return tuple(Region(Box(*region["bbox"]), region["label"]) for region in regions)
