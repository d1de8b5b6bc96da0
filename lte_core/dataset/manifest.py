"""TraceSample <-> one line of JSON (schema "trace/1"), and the split of an image by its hash.

Images stay where they are: a sample's path is relative to the folder of its manifest. Unknown keys are ignored, so
that later stages may add theirs.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from lte_core.files import whole
from lte_core.schema import Box, Region, Review, Split, TraceSample, Verdict

SCHEMA = "trace/1"


class ManifestError(ValueError):
    """A line that is no TRACE sample; the message names the file, the line and what was expected."""


class ManifestLine(NamedTuple):
    """A sample and the number of its line, from 1."""

    number: int
    sample: TraceSample


class BadLine(NamedTuple):
    """A line that is no sample: its number, from 1, and why."""

    number: int
    problem: str


def split_of(sha256: str, val: float = 0.05, test: float = 0.05) -> Split:
    """The split of an image by the hash of its bytes, so that copies of one image never straddle two splits."""
    share = int(sha256[:8], 16) / 16**8
    if share < test:
        return "test"
    return "val" if share < test + val else "train"


def to_line(sample: TraceSample) -> str:
    """One line of JSON, without the line break."""
    record = {
        "schema": SCHEMA,
        "id": sample.id,
        "image": sample.image,
        "sha256": sample.sha256,
        "width": sample.width,
        "height": sample.height,
        "label": sample.label.value,
        "generator": sample.generator,
        "source": sample.source,
        "split": sample.split,
        "explanation": sample.explanation,
        "regions": [{"bbox": list(r.box.xyxy), "label": r.label} for r in sample.regions],
    }
    if sample.annotation:
        record["annotation"] = dict(sample.annotation)
    if sample.review:
        record["review"] = asdict(sample.review)
    return json.dumps(record, ensure_ascii=False)


def from_line(line: str) -> TraceSample:
    """Read one line. Raises ManifestError that says what was expected and what was found."""
    record = _parsed(line)
    if not isinstance(record, dict):
        raise ManifestError(f"expected one JSON object, got {type(record).__name__}")
    if record.get("schema") != SCHEMA:
        raise ManifestError(f'expected "schema": "{SCHEMA}", got {record.get("schema")!r}')
    try:
        return TraceSample(
            id=_text(record, "id"),
            image=_text(record, "image"),
            sha256=_hash(record),
            width=_count(record, "width"),
            height=_count(record, "height"),
            label=Verdict(_text(record, "label")),
            explanation=_text(record, "explanation"),
            regions=tuple(map(_region, _list(record, "regions"))),
            source=_text(record, "source"),
            generator=_optional(record, "generator"),
            split=_split(record),
            annotation=_annotation(record),
            review=_review(record),
        )
    except ManifestError:
        raise
    except ValueError as error:
        raise ManifestError(str(error)) from error


def _parsed(line: str) -> Any:
    """What the line says, if it can be written down again: JSON's grammar allows half characters (lone surrogates),
    and Python's reader numbers that are none."""
    try:
        record = json.loads(line)
        json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ManifestError(f"expected Unicode text, got half a character ({error.object[error.start]!r})") from error
    except RecursionError as error:
        raise ManifestError("expected one JSON object, got one that is nested too deeply") from error
    except ValueError as error:
        raise ManifestError(f"expected one JSON object, got {line.strip()[:80]!r} ({error})") from error
    return record


def read_manifest(path: Path) -> Iterator[ManifestLine]:
    """The samples of a manifest in order, with their line numbers; blank lines are skipped.

    Raises ManifestError at the first bad line.
    """
    for line in read_lines(path):
        if isinstance(line, BadLine):
            raise ManifestError(f"{path}, line {line.number}: {line.problem}")
        yield line


def read_lines(path: Path) -> Iterator[ManifestLine | BadLine]:
    """Like `read_manifest`, but a bad line is told and the rest goes on."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            try:
                yield ManifestLine(number, from_line(line.decode("utf-8")))
            except UnicodeDecodeError as error:
                yield BadLine(number, f"expected UTF-8 text ({error.reason} at byte {error.start})")
            except ManifestError as error:
                yield BadLine(number, str(error))


def write_manifest(path: Path, samples: Iterable[TraceSample]) -> None:
    """Write the samples, one a line, replacing the file."""
    with whole(path, "w") as out:
        out.writelines(to_line(sample) + "\n" for sample in samples)


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise ManifestError(f'expected a string at "{key}", got {value!r}')
    return value


def _hash(record: Mapping[str, Any]) -> str:
    value = _text(record, "sha256")
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ManifestError(f'expected 64 hex digits at "sha256", got {value[:80]!r}')
    return value


def _optional(record: Mapping[str, Any], key: str) -> str | None:
    return None if record.get(key) is None else _text(record, key)


def _count(record: Mapping[str, Any], key: str) -> int:
    value = record.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
        raise ManifestError(f'expected a positive whole number at "{key}", got {str(value)[:40]}')
    return value


def _list(record: Mapping[str, Any], key: str) -> list[Any]:
    value = record.get(key)
    if not isinstance(value, list):
        raise ManifestError(f'expected a list at "{key}", got {value!r}')
    return value


def _split(record: Mapping[str, Any]) -> Split | None:
    value = _optional(record, "split")
    for split in get_args(Split):
        if value == split:
            return cast(Split, split)
    if value is None:
        return None
    raise ManifestError(f'expected "train", "val", "test" or null at "split", got {value!r}')


def _annotation(record: Mapping[str, Any]) -> Mapping[str, Any]:
    value = record.get("annotation")
    if value is not None and not isinstance(value, dict):
        raise ManifestError(f'expected an object at "annotation", got {value!r}')
    return value or {}


def _review(record: Mapping[str, Any]) -> Review | None:
    match record.get("review"):
        case None:
            return None
        case {"decision": "accept" | "fix" as decision, "annotator": str(who), "at": str(at), "revision": int(number)}:
            return Review(decision, who, at, number)
        case other:
            raise ManifestError(
                'expected {"decision": "accept" or "fix", "annotator": "…", "at": "…", "revision": 1} at "review", '
                f"got {other!r}"
            )


def _region(value: Any) -> Region:
    if not isinstance(value, dict):
        raise ManifestError(f'expected {{"bbox": [x1, y1, x2, y2], "label": "…"}} in "regions", got {value!r}')
    corners = value.get("bbox")
    if not (isinstance(corners, list) and len(corners) == 4 and all(_is_number(c) for c in corners)):
        raise ManifestError(f'expected four numbers at "bbox", got {corners!r}')
    return Region(Box(*corners), _text(value, "label"))


def _is_number(value: object) -> bool:
    """Any number that a place in a picture may be; JSON's whole numbers have no bound."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
