"""A planted-fault benchmark for purification: take TRACE-synth's truth, corrupt it in known ways, see what is found.

Each candidate is what two careful experts would have said of a scene, with their small disagreements; most of them get
one fault. A rule's precision is the share of its drops that were planted for it, its recall the share of planted faults
that it found. Asks no expert; purifies with the very functions of the pipeline.

    python -m lte_core trace audit --count 1000 --json
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lte_core.boxes import clip
from lte_core.dataset.candidates import Account, Candidate, Clue, Grounded, Grounding
from lte_core.dataset.purify import Drop, PurifyConfig, Rule, purify
from lte_core.dataset.similarity import Embedder
from lte_core.dataset.synth import SceneContents, SceneObject, statement
from lte_core.schema import Box, Size, TraceSample

JITTER = 0.05  # of a box's size: how far two careful groundings of one thing lie apart

DEFAULTS = PurifyConfig()

Unit = tuple[Rule, int | None, int | None]
"""What a fault is about: the rule that should find it, and the box (its grounding and place) or the sample (None)."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A candidate with a fault, or without: `faults` are the drops that purification should make, and no others."""

    candidate: Candidate
    faults: frozenset[Unit]


@dataclass(frozen=True, slots=True)
class RuleScore:
    """How well a rule finds what was planted for it. Without a drop (or a fault) there is no precision (or recall)."""

    precision: float | None
    recall: float | None
    n: int


Scene = tuple[TraceSample, SceneContents]


def plant(scenes: Sequence[Scene], seed: int) -> list[Planted]:
    """One candidate a scene with evidence; each kind of fault in turn, and every eighth without one."""
    rng = random.Random(seed)
    usable = [scene for scene in scenes if scene[1].evidence]
    faults = [*FAULTS, None]
    return [
        _faulty(rng, faithful(rng, *scene), faults[number % len(faults)], usable) for number, scene in enumerate(usable)
    ]


def score(planted: Sequence[Planted], embedder: Embedder, config: PurifyConfig = DEFAULTS) -> dict[Rule, RuleScore]:
    """Purify every candidate and compare its drops with what was planted, rule by rule."""
    similarities = embedder.similarities(
        [(p.candidate.accounts[0].text, p.candidate.accounts[1].text) for p in planted]
    )
    found: set[tuple[int, Unit]] = set()
    meant: set[tuple[int, Unit]] = set()
    for number, (item, similarity) in enumerate(zip(planted, similarities, strict=True)):
        found |= {(number, unit) for unit in own_drops(purify(item.candidate, similarity, config).drops)}
        meant |= {(number, unit) for unit in item.faults}
    return {rule: _compared(rule, found, meant) for rule in Rule}


def own_drops(drops: Iterable[Drop]) -> set[Unit]:
    """The drops without the boxes that only went with their sample."""
    drops = list(drops)
    sample = next((drop.rule for drop in drops if drop.box is None), None)
    return {
        (drop.rule, drop.pass_ if drop.box else None, drop.index)
        for drop in drops
        if drop.box is None or drop.rule is not sample
    }


def _compared(rule: Rule, found: set[tuple[int, Unit]], meant: set[tuple[int, Unit]]) -> RuleScore:
    ours, theirs = ({item for item in items if item[1][0] is rule} for items in (found, meant))
    right = len(ours & theirs)
    return RuleScore(right / len(ours) if ours else None, right / len(theirs) if theirs else None, len(theirs))


def faithful(rng: random.Random, sample: TraceSample, contents: SceneContents) -> Candidate:
    """What two careful experts say of the scene: the same evidence in other words, and boxes some pixels apart."""
    shown = [contents.objects[i] for i in contents.evidence]
    groundings = tuple(
        Grounding(
            tuple(Grounded(_near(rng, o.box, sample), _said(rng, o), i) for i, o in enumerate(shown, 1)),
            _near(rng, _around(contents.objects, sample), sample),
        )
        for _ in range(2)
    )
    accounts = (_account(rng, sample, shown), _account(rng, sample, shown))
    bare = replace(sample, explanation="", regions=())
    return Candidate(bare, accounts, (groundings[0], groundings[1]))


def _account(rng: random.Random, sample: TraceSample, shown: Sequence[SceneObject]) -> Account:
    clues = tuple(Clue(_said(rng, o), _place(o.box, sample)) for o in shown)
    things = " and ".join(dict.fromkeys(o.kind.value for o in shown))
    return Account(clues, f"The {things} {rng.choice(('show', 'tell', 'suggest'))} that the image is {sample.label}")


def _said(rng: random.Random, shown: SceneObject) -> str:
    return statement(shown, np.random.default_rng(rng.getrandbits(32)))


def _place(box: Box, sample: TraceSample) -> str:
    x, y = (box.x1 + box.x2) / 2 / sample.width, (box.y1 + box.y2) / 2 / sample.height
    return f"{'upper' if y < 0.5 else 'lower'} {'left' if x < 0.5 else 'right'}"


def _around(objects: Sequence[SceneObject], sample: TraceSample) -> Box:
    """All objects and a little more: what the scene is about."""
    corners = list(zip(*(o.box.xyxy for o in objects), strict=True))
    box = Box(min(corners[0]) - 20, min(corners[1]) - 20, max(corners[2]) + 20, max(corners[3]) + 20)
    return clip(box, Size(sample.width, sample.height)) or box


def _near(rng: random.Random, box: Box, sample: TraceSample, sigma: float = JITTER) -> Box:
    dx1, dx2 = (rng.gauss(0, sigma) * box.width for _ in range(2))
    dy1, dy2 = (rng.gauss(0, sigma) * box.height for _ in range(2))
    moved = Box(box.x1 + dx1, box.y1 + dy1, max(box.x2 + dx2, box.x1 + dx1 + 4), max(box.y2 + dy2, box.y1 + dy1 + 4))
    return clip(moved, Size(sample.width, sample.height)) or box


# -- faults: each takes a careful candidate and gives a worse one

Fault = Callable[[random.Random, Candidate, Sequence[Scene]], Planted]


def _faulty(rng: random.Random, careful: Candidate, fault: Fault | None, scenes: Sequence[Scene]) -> Planted:
    return Planted(careful, frozenset()) if fault is None else fault(rng, careful, scenes)


def _contradicting(rng: random.Random, careful: Candidate, scenes: Sequence[Scene]) -> Planted:
    """The second explanation sees other evidence, and comes to the other conclusion."""
    mine = set(careful.accounts[0].text.lower().split())
    strangers = rng.sample(scenes, min(40, len(scenes)))
    other = min((faithful(rng, *scene).accounts[1] for scene in strangers),
                key=lambda account: len(mine & set(account.text.lower().split())))  # fmt: skip
    changed = replace(careful, accounts=(careful.accounts[0], other))
    return Planted(changed, frozenset({(Rule.SIMILARITY, None, None)}))


def _one_sided(rng: random.Random, careful: Candidate, scenes: Sequence[Scene]) -> Planted:
    """A further box of a clue that only one of the groundings has."""
    side, box = rng.randint(1, 2), _elsewhere(rng, careful)
    changed = _with_extra(careful, *((box, None) if side == 1 else (None, box)))
    return Planted(changed, frozenset({(Rule.ONE_SIDED, side, len(careful.groundings[side - 1].boxes))}))


def _shifted(rng: random.Random, careful: Candidate, scenes: Sequence[Scene]) -> Planted:
    """A box lies elsewhere in the second grounding: both are alone then, and their clue is shown by none."""
    first, second = (list(grounding.boxes) for grounding in careful.groundings)
    at = rng.randrange(len(second))
    box, sample = second[at].box, careful.sample
    dx = box.width * rng.uniform(0.6, 1.2) * (-1 if box.x1 > sample.width / 2 else 1)
    moved = clip(Box(box.x1 + dx, box.y1, box.x2 + dx, box.y2), Size(sample.width, sample.height))
    second[at] = replace(second[at], box=moved or box)
    faults = {(Rule.ONE_SIDED, 1, at), (Rule.ONE_SIDED, 2, at), (Rule.UNCOVERED, None, None)}
    return Planted(careful.with_boxes(first, second), frozenset(faults))


def _huge(rng: random.Random, careful: Candidate, scenes: Sequence[Scene]) -> Planted:
    """A further box in both groundings that takes more than half the picture, but is not the subject's."""
    sample = careful.sample
    height = rng.uniform(0.55, 0.75) * sample.height
    top = rng.choice((0.0, sample.height - height))
    thing = _elsewhere(rng, careful)
    whole = Box(0, top, sample.width, top + height)
    boxes = [replace(thing, box=_near(rng, whole, sample, 0.02)) for _ in range(2)]
    bare = tuple(replace(grounding, subject=None) for grounding in careful.groundings)
    changed = _with_extra(replace(careful, groundings=(bare[0], bare[1])), *boxes)
    return Planted(changed, _both(careful, Rule.AREA))


def _subject(rng: random.Random, careful: Candidate, scenes: Sequence[Scene]) -> Planted:
    """A further box in both groundings that frames the whole subject, a thing of less than half the picture."""
    thing = _elsewhere(rng, careful)
    subjects = [_near(rng, thing.box, careful.sample, 0.02) for _ in range(2)]
    framed = [replace(thing, box=_near(rng, thing.box, careful.sample, 0.02)) for _ in range(2)]
    pairs = zip(careful.groundings, subjects, strict=True)
    one, two = (replace(grounding, subject=subject) for grounding, subject in pairs)
    return Planted(_with_extra(replace(careful, groundings=(one, two)), *framed), _both(careful, Rule.SUBJECT))


def _uncovered(rng: random.Random, careful: Candidate, scenes: Sequence[Scene]) -> Planted:
    """The explanation mentions something that no grounding shows."""
    clue = Clue(rng.choice(("the shadows fall in two directions", "a face melts into the wall")), "in the middle")
    accounts = tuple(replace(account, clues=(*account.clues, clue)) for account in careful.accounts)
    changed = replace(careful, accounts=(accounts[0], accounts[1]))
    return Planted(changed, frozenset({(Rule.UNCOVERED, None, None)}))


def _named_thing(rng: random.Random, careful: Candidate, scenes: Sequence[Scene]) -> Planted:
    """A further box in both groundings whose label only names a thing."""
    box = replace(_elsewhere(rng, careful), label=rng.choice(_THINGS), clue=rng.choice((None, 1)))
    boxes = [replace(box, box=_near(rng, box.box, careful.sample)) for _ in range(2)]
    return Planted(_with_extra(careful, *boxes), _both(careful, Rule.OBJECT))


def _detection(rng: random.Random, careful: Candidate, scenes: Sequence[Scene]) -> Planted:
    """One grounding lists the things in the picture instead of the evidence."""
    listed = tuple(
        replace(_elsewhere(rng, careful), label=rng.choice(_THINGS), clue=rng.choice((None, 1)))
        for _ in range(rng.randint(2, 5))
    )
    side = rng.randrange(2)
    groundings = list(careful.groundings)
    groundings[side] = replace(groundings[side], boxes=listed)
    changed = replace(careful, groundings=(groundings[0], groundings[1]))
    return Planted(changed, frozenset({(Rule.DETECTION, None, None)}))


FAULTS: tuple[Fault, ...] = (
    _contradicting, _one_sided, _shifted, _huge, _subject, _uncovered, _named_thing, _detection,
)  # fmt: skip
_THINGS = ("person", "table", "cup", "two books", "the window", "chair on the left", "potted plant", "wall", "dog")


def _elsewhere(rng: random.Random, careful: Candidate) -> Grounded:
    """A box for one of the clues, away from the boxes that are there as far as there is room."""
    sample, taken = careful.sample, [g.box for grounding in careful.groundings for g in grounding.boxes]
    clue = rng.randint(1, len(careful.clues))
    spots = []
    for _ in range(20):
        width, height = rng.uniform(0.15, 0.3) * sample.width, rng.uniform(0.15, 0.3) * sample.height
        x, y = rng.uniform(0, sample.width - width), rng.uniform(0, sample.height - height)
        spots.append(Box(x, y, x + width, y + height))

    def shared(box: Box) -> float:
        return sum(_shared(box, other) for other in taken)

    label = careful.groundings[0].boxes[clue - 1].label if clue <= len(careful.groundings[0].boxes) else "area"
    return Grounded(min(spots, key=shared), label, clue)


def _shared(a: Box, b: Box) -> float:
    return max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))


def _with_extra(careful: Candidate, first: Grounded | None, second: Grounded | None) -> Candidate:
    one, two = (grounding.boxes for grounding in careful.groundings)
    return careful.with_boxes([*one, *([first] if first else [])], [*two, *([second] if second else [])])


def _both(careful: Candidate, rule: Rule) -> frozenset[Unit]:
    """The last box of either grounding, once one more is there."""
    return frozenset((rule, side, len(grounding.boxes)) for side, grounding in enumerate(careful.groundings, 1))


def as_record(scores: Mapping[Rule, RuleScore]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """What `trace audit --json` prints."""
    return {"rules": {r.value: {"precision": s.precision, "recall": s.recall, "n": s.n} for r, s in scores.items()}}
