"""From kept replies to a purified manifest: no model is asked but a sentence embedder, and that once a pair.

    manifest.jsonl          what `collect` took
    raw/                    what the experts said (`raw.py`), and how alike their explanations are
    purified.jsonl          the samples that stay: import it into the review, or train on it
    dropped.jsonl           the samples that go, each with its reason and its boxes
    purified.json           thresholds, models, hashes and counts

The same replies give the same bytes. Purification itself is `purify.py`; the experts are asked in `stages.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from lte_core.dataset.candidates import Candidate
from lte_core.dataset.ground import parse_grounding
from lte_core.dataset.manifest import BadLine, read_lines, to_line
from lte_core.dataset.purify import Purified, PurifyConfig, purify
from lte_core.dataset.raw import Replies, files_of, prompt_hash, whole_length
from lte_core.dataset.similarity import TFIDF, Embedder
from lte_core.dataset.stages import PASSES, WHOLE, Missing, Shard, accounts_of, grounding_key, grounding_reader
from lte_core.files import whole, write_whole
from lte_core.runs import commit
from lte_core.schema import Size, TraceSample
from lte_core.vlm.replies import ReplyError

BATCH = 256  # pairs that are embedded together; fixed, since what shares a batch moves a cosine's last digits


class BuildError(Exception):
    """There is nothing to build from; the message says which command comes first."""


@dataclass(frozen=True)
class Experts:
    """Whose replies are meant, by the names in their keys."""

    explainer: str
    grounder: str

    def save(self, folder: Path, **changed: str) -> None:
        write_whole(folder / "raw" / "experts.json", json.dumps(asdict(replace(self, **changed)), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Experts:
        """Those that were asked last in this folder; "" for one that was not asked yet."""
        path = folder / "raw" / "experts.json"
        if not path.exists():
            return cls("", "")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(record["explainer"]), str(record["grounder"]))
        except (ValueError, KeyError, TypeError) as problem:
            raise BuildError(
                f'{path} cannot be read. Write {{"explainer": "…", "grounder": "…"}} into it, or ask again.'
            ) from problem


@dataclass
class Counts:
    """What went in and what stayed. `dropped` counts samples by reason, `boxes_dropped` boxes by rule."""

    samples_in: int = 0
    kept: int = 0
    boxes_in: int = 0
    boxes_kept: int = 0
    with_box: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    boxes_dropped: Counter[str] = field(default_factory=Counter)
    bad_lines: list[BadLine] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As it stands in `purified.json`; boxes are those of both groundings, a kept one stands for a pair."""
        return {
            "samples": {"in": self.samples_in, "kept": self.kept, "dropped": dict(sorted(self.dropped.items()))},
            "boxes": {
                "in": self.boxes_in,
                "kept": self.boxes_kept,
                "dropped": dict(sorted(self.boxes_dropped.items())),
                "per_sample": round(self.boxes_kept / self.kept, 4) if self.kept else None,
                "share_of_samples_with_one": round(self.with_box / self.kept, 4) if self.kept else None,
            },
            "bad_lines": [line._asdict() for line in self.bad_lines],
        }

    def take(self, candidate: Candidate, purified: Purified) -> None:
        self.boxes_in += sum(len(grounding.boxes) for grounding in candidate.groundings)
        self.boxes_dropped.update(drop.rule.value for drop in purified.drops if drop.box is not None)
        if purified.sample is not None:
            self.kept += 1
            self.boxes_kept += len(purified.sample.regions)
            self.with_box += bool(purified.sample.regions)
        elif purified.sample_drop is not None:
            self.dropped[purified.sample_drop.rule.value] += 1


def samples_of(folder: Path, shard: Shard = WHOLE, limit: int | None = None) -> Iterator[TraceSample | BadLine]:
    """The samples of the folder's manifest that are this shard's, and its bad lines. Raises BuildError without one."""
    path = folder / "manifest.jsonl"
    if not path.is_file():
        raise BuildError(f"There is no {path}. Collect labelled images first: trace collect --from KIND:DIR --out DIR.")
    taken = 0
    for line in read_lines(path):
        if isinstance(line, BadLine):
            yield line
        elif shard.has(line.sample.sha256):
            if limit is not None and taken >= limit:
                return
            taken += 1
            yield line.sample


class Source:
    """A folder's samples with what the experts said about each."""

    def __init__(self, folder: Path, experts: Experts) -> None:
        if not (experts.explainer and experts.grounder):
            missing = "annotate" if not experts.explainer else "ground"
            raise BuildError(f"Nobody was asked in {folder} yet: run trace {missing} first.")
        self.folder, self.experts = folder, experts
        self._explanations = Replies(files_of(folder, "explanations"))
        self._groundings = Replies(files_of(folder, "groundings"))

    def check(self) -> None:
        """Raises BuildError when these experts said nothing at all: their names are then not those that are meant."""
        for kind, wanted, replies in (
            ("explainer", self.experts.explainer, self._explanations),
            ("grounder", self.experts.grounder, self._groundings),
        ):
            if wanted not in replies.experts():
                others = ", ".join(sorted(replies.experts())) or "nobody"
                raise BuildError(
                    f"{wanted}, the {kind} that was asked last in {self.folder}, has not answered yet; there are "
                    f"replies of {others}. Ask again, or write the one that is meant into "
                    f"{self.folder / 'raw/experts.json'}."
                )

    def candidates(self) -> Iterator[tuple[TraceSample, Candidate | Missing] | BadLine]:
        """Each sample with its candidate, or with what is missing of it."""
        for item in samples_of(self.folder):
            yield item if isinstance(item, BadLine) else (item, self._candidate(item))

    def _candidate(self, sample: TraceSample) -> Candidate | Missing:
        accounts = accounts_of(sample, self._explanations, self.experts.explainer)
        if isinstance(accounts, Missing):
            return accounts
        size, found = Size(sample.width, sample.height), []
        for pass_ in PASSES:
            key = grounding_key(sample, accounts[0], self.experts.grounder, pass_)
            said = self._groundings.get(key, grounding_reader(sample, accounts[0]))
            if said is None:
                return Missing("grounding", pass_, "not asked")
            try:
                found.append(parse_grounding(said, size, len(accounts[0].clues)))
            except ReplyError as problem:
                return Missing("grounding", pass_, problem.reason)
        return Candidate(_bare(sample, self.experts), accounts, (found[0], found[1]))


def _bare(sample: TraceSample, experts: Experts) -> TraceSample:
    """Without the explanation and boxes that its release carries, which stay beside as `annotation.reference`."""
    about: dict[str, Any] = {**sample.annotation, "explainer": experts.explainer, "grounder": experts.grounder}
    if sample.explanation or sample.regions:
        boxes = [{"bbox": list(region.box.xyxy), "label": region.label} for region in sample.regions]
        about["reference"] = {"explanation": sample.explanation, "regions": boxes}
    return replace(sample, explanation="", regions=(), annotation=about)


class Similarities:
    """Cosines of pairs of explanations, kept on disk, so that only new pairs are embedded.

    TF-IDF's are not kept: they depend on what else is in the run.
    """

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self._path, self._embedder = folder / "raw" / "similarities.jsonl", embedder
        self._known: dict[str, float] = {}
        if embedder.name != TFIDF and self._path.exists():
            os.truncate(self._path, whole_length(self._path))
            for line in self._path.read_bytes().splitlines():
                match _record(line):
                    case {"embedder": embedder.name, "pair": str(pair), "cosine": float(cosine)}:
                        self._known[pair] = cosine

    def of(self, candidates: Iterable[Candidate], progress: Callable[[int], None] = lambda done: None) -> list[float]:
        """One cosine a candidate, rounded to four digits."""
        pairs = ((c.accounts[0].text, c.accounts[1].text) for c in candidates)
        if self._embedder.name == TFIDF:
            return [round(value, 4) for value in self._embedder.similarities(list(pairs))]
        found: list[float] = []
        while batch := list(islice(pairs, BATCH)):
            names = [prompt_hash(*pair) for pair in batch]
            if any(name not in self._known for name in names):
                self._add(dict(zip(names, self._embedder.similarities(batch), strict=True)))
            found += [self._known[name] for name in names]
            progress(len(found))
        return found

    def _add(self, cosines: dict[str, float]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = {name: round(value, 4) for name, value in cosines.items() if name not in self._known}
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            for name, value in fresh.items():
                file.write(json.dumps({"pair": name, "embedder": self._embedder.name, "cosine": value}) + "\n")
        self._known |= fresh


def _record(line: bytes) -> object:
    """What the line says; None for one that says nothing: its pair is embedded again."""
    try:
        return json.loads(line)
    except ValueError:
        return None


class Outcome(NamedTuple):
    """What became of one sample: purified, or never a candidate."""

    sample: TraceSample
    result: Purified | Missing


def outcomes(source: Source, cosines: Iterable[float], config: PurifyConfig, counts: Counts) -> Iterator[Outcome]:
    """Purify every candidate of a source, and count."""
    of = iter(cosines)
    for item in source.candidates():
        if isinstance(item, BadLine):
            counts.bad_lines.append(item)
            continue
        sample, candidate = item
        counts.samples_in += 1
        if isinstance(candidate, Missing):
            counts.dropped[f"{candidate.stage} {candidate.kind}"] += 1
            yield Outcome(sample, candidate)
        else:
            purified = purify(candidate, next(of), config)
            counts.take(candidate, purified)
            yield Outcome(sample, purified)


def only_candidates(source: Source) -> Iterator[Candidate]:
    for item in source.candidates():
        if not isinstance(item, BadLine) and isinstance(item[1], Candidate):
            yield item[1]


def purify_folder(
    source: Source, embedder: Embedder, config: PurifyConfig, progress: Callable[[int], None] = lambda done: None
) -> Counts:
    """Write `purified.jsonl`, `dropped.jsonl` and `purified.json`; each appears whole or not at all."""
    folder, counts = source.folder, Counts()
    source.check()
    cosines = Similarities(folder, embedder).of(only_candidates(source), progress)
    with whole(folder / "purified.jsonl", "w") as good, whole(folder / "dropped.jsonl", "w") as bad:
        for done, outcome in enumerate(outcomes(source, cosines, config, counts), 1):
            _write(outcome, good, bad)
            progress(done)
    record = {
        "config": asdict(config),
        "embedder": embedder.name,
        **asdict(source.experts),
        "manifest_sha256": file_hash(folder / "manifest.jsonl"),
        "purified_sha256": file_hash(folder / "purified.jsonl"),
        "counts": counts.record(),
        "commit": commit(),
    }
    write_whole(folder / "purified.json", json.dumps(record, indent=2) + "\n")
    return counts


def _write(outcome: Outcome, good: IO[str], bad: IO[str]) -> None:
    sample, result = outcome
    if isinstance(result, Missing):
        gone: dict[str, Any] = {"reason": f"{result.stage} {result.kind}", "pass": result.pass_}
    elif result.sample is not None:
        good.write(to_line(result.sample) + "\n")
        return
    else:
        why = result.sample_drop
        assert why is not None
        gone = why.record() | {"boxes": [drop.record() for drop in result.drops if drop.box is not None]}
    bad.write(json.dumps({"id": sample.id, **gone}, ensure_ascii=False) + "\n")


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
