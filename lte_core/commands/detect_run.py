"""Judge pictures, and write what was found for people, programs or a report: `detect` without its typing.

Exit codes: 0; 1 the model, a setting or an output cannot be used; 2 some input was bad, and the others are done;
130 interrupted, and what was done is kept; 141 the reader of our output has gone.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lte_core.commands.inputs import IMAGE_SUFFIXES, STDIN, find_images
from lte_core.commands.outputs import Judged, open_outputs
from lte_core.images import ImageError
from lte_core.inference.checkpoint import CheckpointError
from lte_core.inference.detector import Failure, Item, LocateThenExamine
from lte_core.intake import Intake
from lte_core.terminal import printable
from lte_core.vlm.base import VLMError

if TYPE_CHECKING:
    from rich.progress import Progress

BAD_SET_UP, BAD_INPUT, INTERRUPTED, READER_GONE = 1, 2, 130, 141


@dataclass(frozen=True)
class DetectOptions:
    """What to judge, and where the results go: always to the terminal, for people or as JSON lines."""

    paths: Sequence[str]
    as_json: bool = False
    out: Path | None = None
    report: Path | None = None
    crops_dir: Path | None = None
    intake: Callable[[], Intake] = Intake

    def error(self, inputs: Sequence[str | Failure]) -> str | None:
        """Why these options cannot be meant for these inputs, in a sentence."""
        for name, path in (("--out", self.out), ("--report", self.report)):
            if path and (path.suffix.lower() in IMAGE_SUFFIXES or _is_among(path, inputs)):
                return f"{name} would overwrite the picture {path}. Name the file to write right after {name}."
        if self.out and self.report and self.out.resolve() == self.report.resolve():
            return f"--out and --report are both {self.out}. Name two files."
        return None


def run_detect(load: Callable[[], LocateThenExamine], options: DetectOptions) -> int:
    """Judge what the options name, and return the exit code. The model is loaded once there is work for it."""
    from lte_core.settings import SettingsError

    tally = _Tally()
    try:
        inputs = list(find_images(options.paths, sys.stdin.buffer if STDIN in options.paths else ()))
        if error := options.error(inputs):
            _say(error)
            return BAD_SET_UP
        if not inputs:
            _say("The list on standard input names no picture.")
        _run(load, options, inputs, tally)
    except KeyboardInterrupt:
        _say(f"Stopped. {tally.done} of {tally.total} inputs are done, and their results are kept.")
        return INTERRUPTED
    except BrokenPipeError:
        return READER_GONE
    except (VLMError, CheckpointError, SettingsError) as problem:
        _say(str(problem))
        return BAD_SET_UP
    except OSError as problem:
        _say(f"{problem.filename or 'A file'} cannot be read or written ({problem.strerror}).")
        return BAD_SET_UP
    return BAD_INPUT if tally.bad else 0


@dataclass
class _Tally:
    total: int = 0
    done: int = 0
    bad: int = 0


def _is_among(path: Path, inputs: Sequence[str | Failure]) -> bool:
    """Whether the file is one of the inputs, under whatever name."""
    if not path.exists():
        return False
    names = [given for given in inputs if isinstance(given, str) and Path(given).exists()]
    return any(path.samefile(name) for name in names)


def _run(
    load: Callable[[], LocateThenExamine], options: DetectOptions, inputs: Sequence[str | Failure], tally: _Tally
) -> None:
    tally.total = len(inputs)
    with (
        open_outputs(
            as_json=options.as_json, out=options.out, report=options.report, crops_dir=options.crops_dir
        ) as outputs,
        _progress(tally.total) as progress,
    ):
        task = progress.add_task("Loading the model", total=tally.total)

        def load_and_tell() -> LocateThenExamine:
            detector = load()
            progress.update(task, description="Judging")
            return detector

        for result in _results(load_and_tell, inputs, options.intake()):
            progress.stop()  # so that no output is written into the bar
            for output in outputs:
                output.write(result)
            tally.done += 1
            tally.bad += isinstance(result, Failure)
            progress.start()
            progress.update(task, completed=tally.done)


def _results(
    load: Callable[[], LocateThenExamine], inputs: Sequence[str | Failure], intake: Intake
) -> Iterator[Judged | Failure]:
    """One result an input, in order."""
    if all(isinstance(given, Failure) for given in inputs):
        yield from (given for given in inputs if isinstance(given, Failure))
        return
    detector, held = load(), deque[Item | Failure]()

    def items() -> Iterator[Item | Failure]:
        for given in inputs:
            item = given if isinstance(given, Failure) else _read(given, intake)
            held.append(item)
            yield item

    with closing(detector.detect_many(items())) as results:
        for result in results:
            item = held.popleft()
            if isinstance(result, Failure):
                yield result
            else:
                assert not isinstance(item, Failure), "expected detect_many to keep the order"
                source = item[1]
                yield Judged(result, source, intake.provenance(source), detector.checkpoint)


def _read(path: str, intake: Intake) -> Item | Failure:
    try:
        return path, intake.read(Path(path))
    except ImageError as problem:
        return Failure(path, str(problem))


def _progress(total: int) -> Progress:
    """A bar on stderr, where a person is watching and there is more than one input."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=total < 2 or not console.is_terminal)


def _say(sentence: str) -> None:
    typer.echo(printable(sentence), err=True)
