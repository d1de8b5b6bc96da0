"""What there is to say about an object: short, true statements of a small vocabulary.

Sees only kinds and defects, never pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from lte_core.dataset.synth.objects import Kind, SceneObject
from lte_core.dataset.synth.textures import Rng, pick

_STATEMENTS: dict[tuple[Kind, bool], tuple[str, ...]] = {
    (Kind.LETTERING, False): ("the lettering is legible", "clear letters form real words", "the text reads clearly"),
    (Kind.LETTERING, True): ("the lettering is garbled", "the letters are malformed", "the text forms no real words"),
    (Kind.WEAVE, False): ("the weave varies naturally", "the fine texture is irregular", "natural grain in the weave"),
    (Kind.WEAVE, True): ("the weave repeats exactly", "the fine texture is a grid", "an exact grid in the weave"),
    (Kind.PICTURE, False): ("the picture is continuous", "one picture without a seam", "the picture runs on unbroken"),
    (Kind.PICTURE, True): ("a hard seam cuts the picture", "the picture is spliced", "the picture breaks at a seam"),
    (Kind.GLOSS, False): ("one highlight matches the light", "the highlight is consistent", "the shine fits the light"),
    (Kind.GLOSS, True): (
        "two highlights contradict each other",
        "the highlights are inconsistent",
        "a second highlight contradicts the light",
    ),
    (Kind.HAND, False): ("the digits are right", "the number of digits is right", "every digit is in place"),
    (Kind.HAND, True): ("the digits are wrong", "the number of digits is wrong", "the digits do not add up"),
    (Kind.CROWD, False): ("the crowd is varied", "every one in the crowd differs", "no two figures are the same"),
    (Kind.CROWD, True): ("the crowd is cloned", "the same figure is repeated", "all the figures are copies"),
}
NOTHING = ("nothing suspicious here", "nothing stands out here", "this area looks ordinary")

VOCABULARY: tuple[str, ...] = tuple(
    sorted({word for texts in (*_STATEMENTS.values(), NOTHING) for text in texts for word in text.split()})
)


def statement(item: SceneObject | None, rng: Rng) -> str:
    """One lower-case sentence of 3 to 6 words without a period; None stands for an area with no object."""
    return pick(rng, NOTHING if item is None else _STATEMENTS[item.kind, item.defective])


def explain(items: Sequence[SceneObject | None], rng: Rng) -> str:
    """Statements about boxes 1, 2, … in order: "[1] the crowd is cloned; [2] the digits are right".

    Without boxes it is a bare "nothing suspicious here" or the like.
    """
    if not items:
        return statement(None, rng)
    return "; ".join(f"[{number}] {statement(item, rng)}" for number, item in enumerate(items, 1))
