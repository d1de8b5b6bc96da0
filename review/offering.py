"""A detection that somebody sends to the review: the model's boxes and explanation become the first revision."""

from __future__ import annotations

from dataclasses import replace

from lte_core.images import ImageError
from lte_core.schema import Detection, TraceSample
from review.incoming import Incoming
from review.media import Media
from review.records import MIN_SIDE_PX, Content, ContentError, Origin, Person, checked
from review.store import ReviewStore

SOURCE = "detection"


def offer(picture: bytes, found: Detection, person: Person, store: ReviewStore, media: Media) -> str:
    """Put the picture under review as the model saw it; gives what to tell the person.

    Boxes too small to be reviewed stay out. A picture is taken once: another detection of it changes nothing.
    """
    if found.verdict is None:
        return "This result has no verdict, so there is nothing to review."
    try:
        kept = media.keep(picture)
        proposed = Content(
            found.verdict,
            found.examine.explanation or found.locate.explanation,
            tuple(r for r in found.locate.regions if min(r.box.width, r.box.height) >= MIN_SIDE_PX),
        )
        content = checked(proposed, kept.measured.size)
    except (ContentError, ImageError) as problem:
        return f"This result cannot be reviewed: {problem}"
    except OSError as problem:
        return f"The picture could not be kept ({problem.strerror}). Tell whoever runs this server."
    sample = TraceSample(
        f"{SOURCE}-{kept.measured.sha256[:24]}", kept.suffix, kept.measured.sha256, *kept.measured.size, content.label,
        content.explanation, content.regions, SOURCE,
    )  # fmt: skip
    annotation = {
        "explainer": found.model.name, "grounder": found.model.name, "sent_by": person.name,
        "detector": {"model": found.model.name, "model_sha256": found.model.sha256, "p_generated": found.p_generated},
    }  # fmt: skip
    added = store.add([replace(Incoming(sample, kept.suffix, annotation), origin=Origin.DETECTION)])
    return "It is in the review queue now." if added.new else "This picture is under review already."
