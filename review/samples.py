"""A few samples that ship with the program, so that a first start has something to review.

Scenes of TRACE-synth, known to be right or flawed, with the boxes and explanations that lte-nano gave: real proposals
of a small model, with its mistakes. Run as a program, makes them anew: python -m review.samples
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from review.importing import Imported, import_samples
from review.media import Media
from review.store import ReviewStore

FOLDER = Path(__file__).with_name("first_samples")
MANIFEST = FOLDER / "manifest.jsonl"
COUNT, SEED = 24, 77


def load_samples(store: ReviewStore, media: Media) -> Imported:
    """Put them under review."""
    return import_samples(MANIFEST, store, media)


def write_samples(folder: Path = FOLDER, model: str = "lte-nano") -> None:
    """Draw the scenes, and let the shipped model propose."""
    from lte_core.dataset.manifest import read_manifest, to_line
    from lte_core.dataset.synth import write_dataset
    from lte_core.evaluation.predict import predict
    from lte_core.inference.detector import LocateThenExamine
    from lte_core.inference.load import load_model
    from lte_core.schema import Detection

    manifest = write_dataset(folder, COUNT, SEED, plain_share=0.0)
    samples = [line.sample for line in read_manifest(manifest)]
    detector = LocateThenExamine(*load_model(model))
    lines = []
    for prediction in predict(detector, samples, folder):
        found, sample = prediction.result, prediction.sample
        if not isinstance(found, Detection) or not found.examine.explanation:
            continue
        name = found.model.name
        annotation = {"explainer": name, "grounder": name,
                      "detector": {"model_sha256": found.model.sha256, "p_generated": found.p_generated}}  # fmt: skip
        lines.append(
            replace(
                sample, explanation=found.examine.explanation, regions=found.locate.regions, annotation=annotation,
                source="trace-synth",
            )
        )  # fmt: skip
    manifest.write_text("".join(f"{to_line(sample)}\n" for sample in lines), encoding="utf-8")
    for path in folder.glob("*.json*"):
        if path != manifest:
            path.unlink()  # what only training needs


if __name__ == "__main__":
    write_samples()
