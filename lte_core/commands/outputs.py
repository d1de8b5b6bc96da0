"""Where results go: the terminal, JSON lines, an HTML report, a folder of crops.

Each output takes one result at a time, as it comes, so that an interrupted run keeps what was done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from lte_core.images import SourceImage
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.detector import Failure
from lte_core.inference.examine import cut_crops
from lte_core.inference.report import to_json
from lte_core.inference.report_html import PAGE_END, PAGE_START, failure_section, section
from lte_core.provenance import CredentialState, Provenance
from lte_core.schema import Detection, Verdict
from lte_core.terminal import printable

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class Judged:
    """A detection with the picture that it is about, and the settings of the model that made it."""

    detection: Detection
    source: SourceImage
    provenance: Provenance
    checkpoint: Checkpoint


class Output(Protocol):
    def write(self, result: Judged | Failure) -> None: ...


@contextmanager
def open_outputs(
    *, as_json: bool, out: Path | None, report: Path | None, crops_dir: Path | None
) -> Iterator[list[Output]]:
    """The outputs that were asked for; folders are made as needed. Raises OSError where one cannot be written."""
    with ExitStack() as stack:
        outputs: list[Output] = [JsonLines(sys.stdout) if as_json else Terminal(sys.stdout)]
        if out:
            outputs.append(JsonLines(stack.enter_context(_open(out))))
        if report:
            outputs.append(stack.enter_context(_html(report)))
        if crops_dir:
            crops_dir.mkdir(parents=True, exist_ok=True)
            outputs.append(CropFolder(crops_dir))
        yield outputs


class JsonLines:
    """One JSON object a line. ASCII, since a file name may hold bytes that no encoding knows."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, result: Judged | Failure) -> None:
        record = to_json(result) if isinstance(result, Failure) else to_json(result.detection, result.provenance)
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


class HtmlReport:
    """One page, a section an input."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, result: Judged | Failure) -> None:
        if isinstance(result, Failure):
            self._file.write(failure_section(result))
        else:
            self._file.write(section(result.detection, result.source, result.provenance, result.checkpoint))
        self._file.flush()


class CropFolder:
    """The crops as PNG files, named after the picture, the start of its hash and the crop's number."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, result: Judged | Failure) -> None:
        if isinstance(result, Failure):
            return
        image = result.detection.image
        stem = f"{Path(image.path).stem[:50]}-{image.sha256[:12]}"
        for number, crop in enumerate(cut_crops(result.source.pixels, result.detection.crops), 1):
            crop.save(self._directory / f"{stem}-{number}.png")


class Terminal:
    """For people: colours where the terminal has them."""

    def __init__(self, file: TextIO) -> None:
        from rich.console import Console

        self._file = file
        self._console = Console(file=file, highlight=False, markup=False, emoji=False)

    def write(self, result: Judged | Failure) -> None:
        # Written here and not by rich, which ends the process itself when the reader has gone.
        with self._console.capture() as capture:
            heading, *details = _describe(result)
            self._console.print(heading)
            for detail in details:
                for line in detail.wrap(self._console, max(1, self._console.width - 2)):
                    self._console.print("  ", line, sep="")
            self._console.print()
        self._file.write(capture.get())
        self._file.flush()


def _describe(result: Judged | Failure) -> Iterator[Text]:
    """A result for the terminal: what it is about, then the details."""
    from rich.text import Text

    if isinstance(result, Failure):
        yield Text.assemble((printable(result.path), "bold"), ("  no result: ", "red"), printable(result.error))
        return
    detection = result.detection
    image, locate, examine = detection.image, detection.locate, detection.examine
    yield Text.assemble((printable(image.path), "bold"), (f"  {image.width} × {image.height}", "dim"))
    yield _verdict(result)
    for number, crop in enumerate(detection.crops, 1):
        corners = " ".join(f"{value:.0f}" for value in crop.box.xyxy)
        yield Text.assemble((f"[{number}] ", "cyan"), printable(crop.label) or "unnamed", (f"  {corners}", "dim"))
    yield Text(printable(examine.problem or examine.explanation))
    for fact in _origin(result.provenance):
        yield Text(f"Not part of the verdict: {printable(fact)}", "dim")
    first = f"First impression: {locate.verdict or 'unreadable'}{_chance(locate.p_generated)}"
    seconds = f" · {detection.timings_s.get('total', 0.0):.1f} s"
    yield Text(f"{first} · model {printable(detection.model.name)}{seconds}", "dim")


def _origin(provenance: Provenance) -> Iterator[str]:
    """What the file says about its origin, where it says anything of weight."""
    if provenance.credentials.state not in (CredentialState.ABSENT, CredentialState.UNCHECKED):
        yield provenance.credentials.summary
    for tag in provenance.metadata:
        if tag.names_generator:
            yield f"{tag.source} {tag.key}: {tag.value}"


_SEEMS = {Verdict.REAL: ("Looks real", "bold green"), Verdict.GENERATED: ("Looks AI-generated", "bold red")}


def _verdict(result: Judged) -> Text:
    from rich.text import Text

    verdict, p_generated = result.detection.verdict, result.detection.p_generated
    words, style = _SEEMS[verdict] if verdict else ("No verdict: the second reply is unreadable", "bold yellow")
    if verdict and result.checkpoint.is_uncertain(p_generated):
        words, style = f"Uncertain, leans towards {verdict}", "bold yellow"
    flip = " · changed after examination" if result.detection.flipped else ""
    return Text.assemble((words, style), _chance(p_generated), (flip, "magenta"))


def _chance(p_generated: float | None) -> str:
    return "" if p_generated is None else f" · P(generated) {p_generated:.2f}"


@contextmanager
def _html(path: Path) -> Iterator[HtmlReport]:
    with _open(path) as file:
        file.write(PAGE_START)
        try:
            yield HtmlReport(file)
        finally:
            file.write(PAGE_END)


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        yield file
