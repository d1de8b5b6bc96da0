"""The TRACE stages with what people see of them: progress, tables, failures by name. Imported when a command runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lte_core.commands.trace_build import INTERRUPTED, SOME_FAILED, STOPPED
from lte_core.dataset.asking import OPENAI, Expert, ExpertConfig, expert_name, load_expert
from lte_core.dataset.build import BuildError, Experts, Source, purify_folder, samples_of
from lte_core.dataset.cost import Price, dollars, estimate, price_of
from lte_core.dataset.manifest import BadLine
from lte_core.dataset.purify import PurifyConfig
from lte_core.dataset.raw import RawError, Recorder, Replies, Stage, files_of, raw_file
from lte_core.dataset.similarity import SimilarityError, load_embedder
from lte_core.dataset.stages import Job, Report, Shard, explanation_jobs, grounding_jobs, run_stage
from lte_core.dataset.summary import Table, collect_table, purify_tables, rich_table, stage_table
from lte_core.dataset.summary_html import page
from lte_core.files import BusyError, locked, write_whole
from lte_core.runs import commit
from lte_core.schema import TraceSample
from lte_core.terminal import printable
from lte_core.vlm.base import VLMError

SHOWN_FAILURES = 5


@dataclass(frozen=True)
class StageOptions:
    """What `trace annotate` and `trace ground` were given."""

    data: Path
    model: str
    base_url: str | None = None
    concurrency: int = 8
    shard: str | None = None
    limit: int | None = None
    dry_run: bool = False
    again: bool = False
    price: str | None = None


def run_annotate(options: StageOptions) -> int:
    """Gives the exit code. Without a URL it is OpenAI's server, or the one in OPENAI_BASE_URL."""
    url = options.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    run = _StageRun("explanations", "annotate", options, "OPENAI_API_KEY")
    return run(lambda name, samples: explanation_jobs(samples, name), None if "#" in options.model else url)


def run_ground(options: StageOptions) -> int:
    """Gives the exit code. Without a URL the model runs in this process."""
    with _told():
        explainer = Experts.load(options.data).explainer
        if not explainer:
            raise BuildError(f"Nobody explained the images in {options.data} yet: run trace annotate first.")
        explanations = Replies(files_of(options.data, "explanations"))
    run = _StageRun("groundings", "ground", options, "GROUNDER_API_KEY")
    return run(lambda name, samples: grounding_jobs(samples, explanations, explainer, name), options.base_url)


Jobs = Callable[[str, Iterator[TraceSample]], Iterator[Job]]


class _StageRun:
    """One of the two stages that ask experts."""

    def __init__(
        self, stage: Stage, command: Literal["annotate", "ground"], options: StageOptions, key_variable: str
    ) -> None:
        self._stage, self._command, self._options, self._key_variable = stage, command, options, key_variable
        self._console = Console(stderr=True)
        self._bad: list[BadLine] = []

    def __call__(self, jobs: Jobs, url: str | None) -> int:
        options = self._options
        with _told():
            price = price_of(options.model.rpartition("#")[2], options.price)
            shard = _shard(options.shard)
            total = 2 * sum(1 for _ in self._samples(shard))
            self._bad.clear()
            if options.dry_run:
                name = expert_name(options.model, url)
                self._estimate(jobs(name, self._samples(shard)), name, price)
                return 0
            expert = load_expert(options.model, url, ExpertConfig(concurrency=options.concurrency), self._key_variable)
            with self._alone(shard), self._recording(shard) as recorder:
                report = self._ask(jobs(expert.name, self._samples(shard)), expert, recorder, total, price)
                return self._tell(report, expert, recorder.replies, price)

    @contextmanager
    def _alone(self, shard: Shard) -> Iterator[None]:
        """Nobody else asks the same questions: one run of all, or shards of one and the same count."""
        folder, path = self._options.data, self._options.data / "raw" / f".{self._stage}.lock"
        busy = f"Another run is asking for {self._stage} in {folder}. Wait until it has ended."
        with locked(path, shared=shard.count > 1, message=busy), ExitStack() as stack:
            if shard.count > 1:
                counts = path.with_name(f".{self._stage}-of-{shard.count}.lock")
                stack.enter_context(locked(counts, shared=True, message=busy))
                for other in path.parent.glob(f".{self._stage}-of-*.lock"):
                    if other != counts:  # held by nobody, or shards of another count are at work
                        with locked(other, shared=False, message=f"{busy} Shards must be of one count."):
                            pass
            yield

    @contextmanager
    def _recording(self, shard: Shard) -> Iterator[Recorder]:
        replies = Replies(files_of(self._options.data, self._stage))
        recorder = Recorder(replies, raw_file(self._options.data, self._stage, shard.index, shard.count))
        try:
            yield recorder
        finally:
            recorder.close()

    def _samples(self, shard: Shard) -> Iterator[TraceSample]:
        for item in samples_of(self._options.data, shard, self._options.limit):
            if isinstance(item, BadLine):
                self._bad.append(item)
            else:
                yield item

    def _note(self, expert: Expert) -> None:
        which = "explainer" if self._command == "annotate" else "grounder"
        Experts.load(self._options.data).save(self._options.data, **{which: expert.name})

    def _estimate(self, jobs: Iterator[Job], name: str, price: Price | None) -> None:
        listed = list(jobs)
        replies = Replies(files_of(self._options.data, self._stage))
        found = estimate(listed, replies, name, price)
        prompts = {job.ask.prompt: job.sample for job in reversed(listed)}
        for prompt, sample in list(reversed(prompts.items()))[:2]:
            self._console.rule(f"as asked about {sample.id} ({sample.label})")
            self._console.print(prompt, markup=False, highlight=False)
        self._console.rule()
        cost = "unknown without --price" if found.dollars is None else f"about ${found.dollars:,.2f}"
        typer.echo(
            f"{found.calls:,} calls to {name} ({found.known:,} answered already), about "
            f"{found.tokens_in:,} tokens read and {found.tokens_out:,} written: {cost}"
        )

    def _ask(self, jobs: Iterator[Job], expert: Expert, recorder: Recorder, total: int, price: Price | None) -> Report:
        spent = TextColumn("{task.description}")
        noted = False
        with Progress(
            TextColumn(self._command), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), spent,
            console=self._console,
        ) as bar:  # fmt: skip
            task = bar.add_task("", total=total)

            def show(report: Report) -> None:
                nonlocal noted
                if not noted and report.answered + report.known:
                    self._note(expert)  # not before it said anything: the replies of another one may be there
                    noted = True
                cost = dollars(report.tokens_in, report.tokens_out, price)
                words = f"${cost:.2f}" if cost else f"{report.tokens_in + report.tokens_out:,} tokens"
                failed = f", {len(report.failures)} failed" if report.failures else ""
                waiting = ", stopping: waiting for what was asked (Ctrl-C: at once)" if report.interrupted else ""
                bar.update(task, completed=report.jobs, description=words + failed + waiting)

            return run_stage(jobs, self._options.data, expert, recorder, show, again=self._options.again)

    def _tell(self, report: Report, expert: Expert, replies: Replies, price: Price | None) -> int:
        folder, failures, shard = self._options.data, report.failures, self._options.shard
        name = self._command + (f"-{shard.replace('/', '-of-')}" if shard else "")
        record = {
            "expert": expert.name,
            "shard": shard,
            "jobs": report.jobs,
            "known": report.known,
            "answered": report.answered,
            "failures": report.by_kind(),
            "stopped": report.stopped,
            # Of every reply that is kept, whichever run asked for it.
            "tokens_in": replies.tokens_in,
            "tokens_out": replies.tokens_out,
            "dollars": dollars(replies.tokens_in, replies.tokens_out, price),
            "commit": commit(),
        }
        write_whole(folder / f"{name}.json", json.dumps(record, indent=2) + "\n")
        listed = folder / f"{name}-failures.jsonl"
        write_whole(listed, "".join(json.dumps(asdict(failure)) + "\n" for failure in failures))
        self._console.print(rich_table(stage_table(self._command.capitalize(), record)))
        for failure in failures[:SHOWN_FAILURES]:
            words = f"  {failure.sample}, pass {failure.pass_}: {failure.message}"
            self._console.print(printable(words), markup=False, style="red")
        if len(failures) > SHOWN_FAILURES:
            self._console.print(f"  … all of them in {listed}", markup=False)
        _tell_bad_lines(self._console, folder, self._bad)
        if report.interrupted:
            self._console.print("Stopped. Every reply that came is kept; the same command goes on.", style="yellow")
            return INTERRUPTED
        if report.stopped:
            self._console.print(printable(f"Stopped early: {report.stopped}"), markup=False, style="bold red")
            return STOPPED
        return SOME_FAILED if failures or self._bad else 0


def run_purify(folder: Path, embedder: str, config: PurifyConfig) -> int:
    """Gives the exit code."""
    console = Console(stderr=True)
    with _told():
        source = Source(folder, Experts.load(folder))
        judge = load_embedder(embedder)
        with _counting("purify", console) as show:
            counts = purify_folder(source, judge, config, show)
        record = counts.record()
        tables = [*_earlier(folder), *purify_tables(record)]
        write_whole(folder / "summary.html", page("TRACE: what was made", tables))
    for table in purify_tables(record):
        console.print(rich_table(table))
    typer.echo(f"{counts.kept} samples in {folder / 'purified.jsonl'}; the drops in {folder / 'dropped.jsonl'}")
    _tell_bad_lines(console, folder, counts.bad_lines)
    missing = sum(n for reason, n in counts.dropped.items() if reason.startswith(("explanation ", "grounding ")))
    if missing:
        typer.echo(f"{missing} samples lack a usable reply: trace annotate and trace ground say why.", err=True)
    return SOME_FAILED if missing or counts.bad_lines else 0


def run_sweep(folder: Path, embedder: str, config: PurifyConfig) -> int:
    """Gives the exit code."""
    from lte_core.dataset.build import Similarities, only_candidates
    from lte_core.dataset.sweep import sweep

    console = Console(stderr=True)
    with _told():
        candidates = list(only_candidates(Source(folder, Experts.load(folder))))
        cosines = Similarities(folder, load_embedder(embedder)).of(candidates)
        with _counting("thresholds", console) as show:
            curves = sweep(candidates, cosines, config, show)
        record = {"candidates": len(candidates), "config": asdict(config), "curves": [asdict(c) for c in curves]}
        write_whole(folder / "sweep.json", json.dumps(record, indent=2) + "\n")
        write_whole(folder / "sweep.html", page("TRACE: what survives at which threshold", [], curves))
    for curve in curves:
        typer.echo(f"\n{curve.name} (in use: {curve.chosen:g})\n  threshold   samples     boxes")
        for threshold, samples, boxes in zip(curve.thresholds, curve.samples, curve.boxes, strict=True):
            typer.echo(f"{'>' if threshold == curve.chosen else ' '} {threshold:9g} {samples:9,} {boxes:9,}")
    return 0


def _earlier(folder: Path) -> Iterator[Table]:
    """The tables of the stages before, as their records in the folder have them; a damaged record has none."""
    for name in ("collect", "annotate", "ground"):
        for path in sorted((*folder.glob(f"{name}.json"), *folder.glob(f"{name}-*-of-*.json"))):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                shard = f" {record['shard']}" if record.get("shard") else ""
                yield (
                    collect_table(record["counts"])
                    if name == "collect"
                    else stage_table(name.capitalize() + shard, record)
                )
            except (ValueError, KeyError, TypeError, AttributeError, OSError):
                continue


def _shard(text: str | None) -> Shard:
    if text is None:
        return Shard()
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise BuildError(f"expected --shard i/n with i from 1 to n, got {text!r}")
    return Shard(int(found[1]), int(found[2]))


def _tell_bad_lines(console: Console, folder: Path, lines: list[BadLine]) -> None:
    for line in lines[:SHOWN_FAILURES]:
        words = printable(f"  {folder / 'manifest.jsonl'}, line {line.number}: {line.problem}")
        console.print(words, markup=False, style="red")
    if len(lines) > SHOWN_FAILURES:
        console.print(f"  … and {len(lines) - SHOWN_FAILURES} more bad lines")


@contextmanager
def _counting(what: str, console: Console) -> Iterator[Callable[[int], None]]:
    with Progress(TextColumn(what), MofNCompleteColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def at_work(folder: Path, *, alone: bool = False, writes: bool = True) -> Iterator[None]:
    """Collecting and building have a folder to themselves; other commands share it."""
    if folder.is_file():
        raise typer.BadParameter(f"{folder} is a file: name a folder.")
    if not alone and not folder.is_dir():
        raise typer.BadParameter(f"There is no folder {folder}. Collect labelled images first: trace collect.")
    if not writes:
        yield
        return
    message = f"Another run is at work in {folder}. Wait until it has ended."
    with _told(), locked(folder / ".lock", shared=not alone, message=message):
        yield


@contextmanager
def _told() -> Iterator[None]:
    """What can go wrong before or during the work, in a sentence instead of a traceback."""
    try:
        yield
    except (BuildError, RawError, BusyError, SimilarityError, VLMError, ValueError) as problem:
        raise typer.BadParameter(str(problem)) from problem
    except KeyboardInterrupt:
        typer.echo("Stopped. Every reply that came is kept; the same command goes on.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as problem:
        place = f" ({problem.filename})" if problem.filename else ""
        typer.echo(
            f"{problem.strerror or problem}{place}. Once that is mended the same command goes on: what was kept so far "
            "is whole.",
            err=True,
        )
        raise typer.Exit(SOME_FAILED) from problem
