"""How the review goes, in figures: by state, by person, agreement and audit. Reads the store, draws nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from review.agreement import Estimate, GoldScore, Judgement, box_agreement, gold_scores, krippendorff_alpha
from review.audit import Changes, DropRule, Reviewed, ThresholdPoint, changes, drop_rules, threshold_curve
from review.desk import Exported
from review.records import Action, State
from review.standing import VOTES
from review.store import ReviewStore

FIGURES = ("similarity", "min_iou")


@dataclass(frozen=True, slots=True)
class PersonStats:
    """What one person decided (without what they took back), and their median seconds a decision."""

    person: str
    decisions: int
    by_action: Mapping[Action, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Stats:
    """The whole picture. `alpha` and `boxes` are None until two people have judged the same samples."""

    by_state: Mapping[State, int]
    people: tuple[PersonStats, ...]
    alpha: Estimate | None
    boxes: Estimate | None
    gold: tuple[GoldScore, ...]
    thresholds: Mapping[str, list[ThresholdPoint]]
    rules: tuple[DropRule, ...]
    changes: Changes | None


def gather(store: ReviewStore) -> Stats:
    """Read everything once."""
    by_state: Counter[State] = Counter()
    seconds: dict[str, list[float]] = defaultdict(list)
    actions: dict[str, Counter[Action]] = defaultdict(Counter)
    judgements: list[Judgement] = []
    on_gold: list[Judgement] = []
    references: dict[str, Judgement] = {}
    reviewed: list[Reviewed] = []
    for row in store.rows():
        by_state[row.state] += 1
        for decision in row.decisions:
            if decision.action in VOTES and not decision.undone:
                seconds[decision.person].append(decision.seconds)
                actions[decision.person][decision.action] += 1
        judgements += _judgements(row, on_gold=False)
        if row.gold:
            on_gold += _judgements(row, on_gold=True)
            references[row.sample_id] = _reference(row)
        if row.state in (State.ACCEPTED, State.FIXED, State.REJECTED):
            reviewed.append(Reviewed(row.sample_id, row.annotation, row.proposed, row.current.content, row.state))
    people = tuple(
        PersonStats(name, len(spent), dict(actions[name]), sorted(spent)[len(spent) // 2])
        for name, spent in sorted(seconds.items())
    )
    return Stats(
        by_state=dict(by_state),
        people=people,
        alpha=krippendorff_alpha(judgements),
        boxes=box_agreement(judgements),
        gold=tuple(gold_scores(on_gold, references)),
        thresholds={figure: threshold_curve(reviewed, figure) for figure in FIGURES},
        rules=tuple(drop_rules(reviewed)),
        changes=changes(reviewed),
    )


def sentences(found: Stats) -> list[str]:
    """Agreement, audit and changes in words, for the terminal and the page."""
    said = []
    for name, estimate in (("Krippendorff's alpha", found.alpha), ("Box agreement (matched IoU)", found.boxes)):
        if estimate is not None:
            said.append(f"{name}: {estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f}, n={estimate.n})")
    for rule in found.rules:
        kept = rule.precision
        said.append(
            f"Boxes dropped by {rule.rule}: {kept.value:.0%} of {kept.n} stood ({kept.low:.0%} to {kept.high:.0%})"
        )
    if found.changes is not None:
        c = found.changes
        said.append(
            f"Kept samples: {c.samples}, unchanged {c.unchanged}, box IoU {c.iou:.2f}, {c.words_changed:.1f} words "
            f"changed each, label changed {c.label_changed}."
        )
    return said


def _judgements(row: Exported, on_gold: bool) -> Iterable[Judgement]:
    """Each person's latest vote that stands, with the content that it is about."""
    latest = {d.person: d for d in row.decisions if d.action in VOTES and not d.undone and d.on_gold is on_gold}
    for decision in latest.values():
        content = row.contents[decision.revision]
        yield Judgement(row.sample_id, decision.person, decision.action, content.label, content.regions)


def _reference(row: Exported) -> Judgement:
    action = Action.REJECT if row.state is State.REJECTED else Action.ACCEPT
    content = row.current.content
    return Judgement(row.sample_id, row.current.person or "", action, content.label, content.regions)
