"""The TRACE stages with what people see of them: progress, tables, failures by name. Imported when a command runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lte_core.commands.trace_build import INTERRUPTED, SOME_FAILED, STOPPED
from lte_core.dataset.asking import OPENAI, Expert, ExpertConfig, load_expert
from lte_core.dataset.build import BuildError, Experts, Source, purify_folder, samples_of
from lte_core.dataset.cost import Price, dollars, estimate, price_of
from lte_core.dataset.manifest import BadLine
from lte_core.dataset.purify import PurifyConfig
from lte_core.dataset.raw import RawError, Recorder, Replies, Stage, files_of, raw_file
from lte_core.dataset.similarity import SimilarityError, load_embedder
from lte_core.dataset.stages import Job, Report, Shard, explanation_jobs, grounding_jobs, run_stage
from lte_core.dataset.summary import Table, collect_table, purify_tables, rich_table, stage_table
from lte_core.dataset.summary_html import page
from lte_core.runs import commit
from lte_core.schema import TraceSample
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
    run = _StageRun("explanations", "annotate", options)
    return run(lambda name, samples: explanation_jobs(samples, name), None if "#" in options.model else url)


def run_ground(options: StageOptions) -> int:
    """Gives the exit code. Without a URL the model runs in this process."""
    with _told():
        explainer = Experts.load(options.data).explainer
        if not explainer:
            raise BuildError(f"Nobody explained the images in {options.data} yet: run trace annotate first.")
        explanations = Replies(files_of(options.data, "explanations"))
    run = _StageRun("groundings", "ground", options)
    return run(lambda name, samples: grounding_jobs(samples, explanations, explainer, name), options.base_url)


Jobs = Callable[[str, Iterator[TraceSample]], Iterator[Job]]


class _StageRun:
    """One of the two stages that ask experts."""

    def __init__(self, stage: Stage, command: Literal["annotate", "ground"], options: StageOptions) -> None:
        self._stage, self._command, self._options = stage, command, options
        self._console = Console(stderr=True)
        self._bad: list[BadLine] = []

    def __call__(self, jobs: Jobs, url: str | None) -> int:
        options = self._options
        with _told():
            price = price_of(options.model, options.price)
            shard = _shard(options.shard)
            total = 2 * sum(1 for _ in self._samples(shard))
            self._bad.clear()
            if options.dry_run:
                self._estimate(jobs(options.model, self._samples(shard)), price)
                return 0
            expert = load_expert(options.model, url, ExpertConfig(concurrency=options.concurrency))
            path = raw_file(options.data, self._stage, shard.index, shard.count)
            recorder = Recorder(Replies(files_of(options.data, self._stage)), path)
            self._note(expert)
            try:
                report = self._ask(jobs(expert.name, self._samples(shard)), expert, recorder, total, price)
            finally:
                recorder.close()
        if report is None:
            self._console.print("Stopped. Every reply that came is kept; the same command goes on.", style="yellow")
            return INTERRUPTED
        return self._tell(report, expert, price)

    def _samples(self, shard: Shard) -> Iterator[TraceSample]:
        for item in samples_of(self._options.data, shard, self._options.limit):
            if isinstance(item, BadLine):
                self._bad.append(item)
            else:
                yield item

    def _note(self, expert: Expert) -> None:
        which = "explainer" if self._command == "annotate" else "grounder"
        Experts.load(self._options.data).save(self._options.data, **{which: expert.name})

    def _estimate(self, jobs: Iterator[Job], price: Price | None) -> None:
        listed = list(jobs)
        replies = Replies(files_of(self._options.data, self._stage))
        found = estimate(listed, replies, self._options.model, price)
        prompts = {job.ask.prompt: job.sample for job in reversed(listed)}
        for prompt, sample in list(reversed(prompts.items()))[:2]:
            self._console.rule(f"as asked about {sample.id} ({sample.label})")
            self._console.print(prompt, markup=False, highlight=False)
        self._console.rule()
        cost = "unknown without --price" if found.dollars is None else f"about ${found.dollars:,.2f}"
        typer.echo(
            f"{found.calls:,} calls to {self._options.model} ({found.known:,} answered already), about "
            f"{found.tokens_in:,} tokens read and {found.tokens_out:,} written: {cost}"
        )

    def _ask(
        self, jobs: Iterator[Job], expert: Expert, recorder: Recorder, total: int, price: Price | None
    ) -> Report | None:
        """None when it was interrupted."""
        spent = TextColumn("{task.description}")
        with Progress(
            TextColumn(self._command), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), spent,
            console=self._console,
        ) as bar:  # fmt: skip
            task = bar.add_task("", total=total)

            def show(report: Report) -> None:
                cost = dollars(report.tokens_in, report.tokens_out, price)
                words = f"${cost:.2f}" if cost else f"{report.tokens_in + report.tokens_out:,} tokens"
                failed = f", {len(report.failures)} failed" if report.failures else ""
                bar.update(task, completed=report.jobs, description=words + failed)

            try:
                return run_stage(jobs, self._options.data, expert, recorder, show, again=self._options.again)
            except KeyboardInterrupt:
                return None

    def _tell(self, report: Report, expert: Expert, price: Price | None) -> int:
        folder, failures = self._options.data, report.failures
        record = {
            "expert": expert.name,
            "shard": self._options.shard,
            "jobs": report.jobs,
            "known": report.known,
            "answered": report.answered,
            "failures": report.by_kind(),
            "stopped": report.stopped,
            "tokens_in": report.tokens_in,
            "tokens_out": report.tokens_out,
            "dollars": dollars(report.tokens_in, report.tokens_out, price),
            "commit": commit(),
        }
        (folder / f"{self._command}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        listed = folder / f"{self._command}-failures.jsonl"
        with listed.open("w", encoding="utf-8", newline="\n") as lines:
            lines.writelines(json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in failures)
        self._console.print(rich_table(stage_table(self._command.capitalize(), record)))
        for failure in failures[:SHOWN_FAILURES]:
            self._console.print(
                f"  {failure.sample}, pass {failure.pass_}: {failure.message}", markup=False, style="red"
            )
        if len(failures) > SHOWN_FAILURES:
            self._console.print(f"  … all of them in {listed}", markup=False)
        _tell_bad_lines(self._console, folder, self._bad)
        if report.stopped:
            self._console.print(f"Stopped early: {report.stopped}", markup=False, style="bold red")
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
    (folder / "summary.html").write_text(page("TRACE: what was made", tables), encoding="utf-8")
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
    for curve in curves:
        typer.echo(f"\n{curve.name} (in use: {curve.chosen:g})\n  threshold   samples     boxes")
        for threshold, samples, boxes in zip(curve.thresholds, curve.samples, curve.boxes, strict=True):
            typer.echo(f"{'>' if threshold == curve.chosen else ' '} {threshold:9g} {samples:9,} {boxes:9,}")
    record = {"candidates": len(candidates), "config": asdict(config), "curves": [asdict(curve) for curve in curves]}
    (folder / "sweep.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (folder / "sweep.html").write_text(page("TRACE: what survives at which threshold", [], curves), encoding="utf-8")
    return 0


def _earlier(folder: Path) -> Iterator[Table]:
    """The tables of the stages before, as their records in the folder have them."""
    for name in ("collect", "annotate", "ground"):
        path = folder / f"{name}.json"
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            yield collect_table(record["counts"]) if name == "collect" else stage_table(name.capitalize(), record)


def _shard(text: str | None) -> Shard:
    if text is None:
        return Shard()
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise BuildError(f"expected --shard i/n with i from 1 to n, got {text!r}")
    return Shard(int(found[1]), int(found[2]))


def _tell_bad_lines(console: Console, folder: Path, lines: list[BadLine]) -> None:
    for line in lines[:SHOWN_FAILURES]:
        console.print(f"  {folder / 'manifest.jsonl'}, line {line.number}: {line.problem}", markup=False, style="red")
    if len(lines) > SHOWN_FAILURES:
        console.print(f"  … and {len(lines) - SHOWN_FAILURES} more bad lines")


@contextmanager
def _counting(what: str, console: Console) -> Iterator[Callable[[int], None]]:
    with Progress(TextColumn(what), MofNCompleteColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def _told() -> Iterator[None]:
    """What can go wrong before or during the work, in a sentence instead of a traceback."""
    try:
        yield
    except (BuildError, RawError, SimilarityError, VLMError, ValueError) as problem:
        raise typer.BadParameter(str(problem)) from problem
    except OSError as problem:
        place = f" ({problem.filename})" if problem.filename else ""
        typer.echo(
            f"{problem.strerror or problem}{place}. What was kept so far is whole; the same command goes on.", err=True
        )
        raise typer.Exit(SOME_FAILED) from problem
