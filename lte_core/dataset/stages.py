"""The two stages that ask experts: explanations of every image, groundings of every explanation.

A stage works out which questions have no reply yet and asks those, so many at once; replies are kept the moment they
come, and what fails is told while the rest goes on. What the questions are is elsewhere (`annotate.py`, `ground.py`).
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from lte_core.dataset.annotate import SCHEMA, explanation_hash, explanation_prompt, parse_account
from lte_core.dataset.asking import Ask, Expert, ExpertError
from lte_core.dataset.candidates import Account
from lte_core.dataset.ground import grounding_hash, grounding_prompt, parse_grounding
from lte_core.dataset.raw import Key, Read, Recorder, Replies, Said
from lte_core.images import ImageError, read_image
from lte_core.schema import Size, TraceSample
from lte_core.vlm.replies import ReplyError

PASSES = (1, 2)
GIVE_UP_AFTER = 8  # failures in a row, at least: then the server is down, and the rest would only wait for it
NONE_TAKEN_AFTER = 50  # questions refused one by one, before any was ever answered: then it is not about the images


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` equal parts of the work, by the hash of the image; `index` counts from 1."""

    index: int = 1
    count: int = 1

    def has(self, sha256: str) -> bool:
        return int(sha256[8:16], 16) % self.count == self.index - 1


WHOLE = Shard()


class Job(NamedTuple):
    """One question about one image. `read` raises ReplyError for a reply that is of no use."""

    sample: TraceSample
    key: Key
    ask: Ask
    read: Read


@dataclass(frozen=True, slots=True)
class Failure:
    """A question without a usable reply: "image", "server", or what is wrong with the reply."""

    sample: str
    pass_: int
    kind: str
    message: str


@dataclass
class Report:
    """What came of a stage. `known` were answered before; `stopped` says why it ended early, if it did."""

    jobs: int = 0
    known: int = 0
    answered: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    failures: list[Failure] = field(default_factory=list)
    stopped: str | None = None
    interrupted: bool = False

    def by_kind(self) -> dict[str, int]:
        return dict(sorted(Counter(failure.kind for failure in self.failures).items()))


def explanation_jobs(samples: Iterable[TraceSample], explainer: str) -> Iterator[Job]:
    """Two independent explanations of every image."""
    for sample in samples:
        prompt, hashed = explanation_prompt(sample.label), explanation_hash(sample.label)
        for pass_ in PASSES:
            yield Job(sample, Key(sample.sha256, explainer, hashed, pass_), Ask(prompt, SCHEMA, pass_), parse_account)


def grounding_jobs(
    samples: Iterable[TraceSample], explanations: Replies, explainer: str, grounder: str
) -> Iterator[Job]:
    """Two groundings of the first explanation of every image of which both explanations can be read."""
    for sample in samples:
        accounts = accounts_of(sample, explanations, explainer)
        if isinstance(accounts, Missing):
            continue
        for pass_ in PASSES:
            key = grounding_key(sample, accounts[0], grounder, pass_)
            ask = Ask(grounding_prompt(accounts[0], pass_), None, pass_)
            yield Job(sample, key, ask, grounding_reader(sample, accounts[0]))


class Missing(NamedTuple):
    """Why there is nothing to go on with: the stage, the pass, and the kind of the failure ("not asked" for none)."""

    stage: str
    pass_: int
    kind: str


def accounts_of(sample: TraceSample, explanations: Replies, explainer: str) -> tuple[Account, Account] | Missing:
    """Both explanations of an image, or what is missing."""
    found = []
    for pass_ in PASSES:
        key = Key(sample.sha256, explainer, explanation_hash(sample.label), pass_)
        said = explanations.get(key, parse_account)
        if said is None:
            return Missing("explanation", pass_, "not asked")
        try:
            found.append(parse_account(said))
        except ReplyError as problem:
            return Missing("explanation", pass_, problem.reason)
    return found[0], found[1]


def grounding_key(sample: TraceSample, account: Account, grounder: str, pass_: int) -> Key:
    return Key(sample.sha256, grounder, grounding_hash(account, pass_), pass_)


def grounding_reader(sample: TraceSample, account: Account) -> Read:
    """Reads a grounding of this explanation."""
    return lambda said: parse_grounding(said, Size(sample.width, sample.height), len(account.clues))


def run_stage(
    jobs: Iterable[Job],
    folder: Path,
    expert: Expert,
    recorder: Recorder,
    progress: Callable[[Report], None] = lambda report: None,
    *,
    again: bool = False,
) -> Report:
    """Ask what has no reply yet; with `again` also what has one that cannot be read.

    Images lie below `folder`. A first Ctrl-C asks nothing more and waits for what was asked, since it is paid for; a
    second one does not wait. Raises OSError where a reply cannot be kept.
    """
    stage = _Stage(folder, expert, recorder, progress, again)
    asyncio.run(stage.run(iter(jobs)))
    return stage.report


class _Stage:
    def __init__(
        self, folder: Path, expert: Expert, recorder: Recorder, progress: Callable[[Report], None], again: bool
    ) -> None:
        self.report = Report()
        self._folder, self._expert, self._recorder = folder, expert, recorder
        self._progress, self._again = progress, again
        self._asked: set[Key] = set()
        self._in_a_row = self._refused = 0
        self._broken: OSError | None = None

    async def run(self, jobs: Iterator[Job]) -> None:
        try:
            with self._interruptible():
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._expert.concurrency):
                        group.create_task(self._work(jobs))
        finally:
            await self._expert.close()
        if self._broken is not None:
            raise self._broken

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C once: no further question. Twice: as without this."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            if self.report.interrupted:
                raise KeyboardInterrupt
            self.report.interrupted = True
            self._progress(self.report)

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    async def _work(self, jobs: Iterator[Job]) -> None:
        """One of the workers: the next job, until there is none or the stage has to stop.

        A stage that stops lets the others finish what they have asked: it was paid for.
        """
        for job in jobs:
            if self.report.stopped or self.report.interrupted or self._broken:
                return
            self.report.jobs += 1
            said = self._recorder.replies.get(job.key, job.read)
            if job.key in self._asked:
                self.report.known += 1  # the same image under another id
            elif said is not None and not (self._again and self._unreadable(job, said)):
                self.report.known += 1
                self._check(job, said)
            else:
                self._asked.add(job.key)
                await self._ask(job)
            self._progress(self.report)

    async def _ask(self, job: Job) -> None:
        try:
            source = await asyncio.to_thread(read_image, self._folder / job.sample.image)
            if source.sha256 != job.sample.sha256:
                raise ImageError("The image was changed after it was collected.")
            said = await self._expert.ask(source.pixels, job.ask)
        except ImageError as problem:
            self._fail(job, "image", str(problem))
            return
        except ExpertError as problem:
            self._fail(job, "server", str(problem))
            self._despair(problem)
            return
        self._in_a_row = 0
        try:
            self._recorder.add(job.key, said)
        except OSError as problem:
            self._broken = problem
            return
        self.report.answered += 1
        self.report.tokens_in += said.tokens_in
        self.report.tokens_out += said.tokens_out
        self._check(job, said)

    def _despair(self, problem: ExpertError) -> None:
        """Stop where there is no use in going on: a wrong key, a server that is down, or one that takes nothing."""
        if problem.about_one:
            self._refused += 1
        else:
            self._in_a_row += 1
        nothing_yet = not len(self._recorder.replies)
        if (
            problem.fatal
            or self._in_a_row >= max(GIVE_UP_AFTER, 2 * self._expert.concurrency)
            or (nothing_yet and self._refused >= NONE_TAKEN_AFTER)
        ):
            self.report.stopped = self.report.stopped or str(problem)

    def _check(self, job: Job, said: Said) -> None:
        try:
            job.read(said)
        except ReplyError as problem:
            self._fail(job, problem.reason, str(problem))

    def _unreadable(self, job: Job, said: Said) -> bool:
        try:
            job.read(said)
        except ReplyError:
            return True
        return False

    def _fail(self, job: Job, kind: str, message: str) -> None:
        self.report.failures.append(Failure(job.sample.id, job.key.pass_, kind, message))
