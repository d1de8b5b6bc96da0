"""The tables of a build, one a stage, for the terminal and for `summary_html.py`.

A table is a list of rows, each a name, a figure and, where it is a part of something, its share. Counts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lte_core.terminal import printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Row:
    """`share` is in [0, 1]; None for a figure that is no part of a whole."""

    name: str
    value: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """How much survives at each threshold; `chosen` is the one in use."""

    name: str
    thresholds: tuple[float, ...]
    samples: tuple[int, ...]
    boxes: tuple[int, ...]
    chosen: float


PAPER = {"boxes_per_sample": 3.24, "share_with_a_box": 0.995}  # LTE, section 4: what TRACE came to


def collect_table(counts: Mapping[str, int]) -> Table:
    """Of `collect.json`: what was taken, and what was left out for which reason."""
    whole = sum(counts.values())
    rows = [Row("in", f"{whole:,}"), Row("kept", f"{counts['kept']:,}", _share(counts["kept"], whole))]
    rows += [Row(f"left out: {why}", f"{n:,}", _share(n, whole)) for why, n in counts.items() if why != "kept"]
    return Table("Collect", tuple(rows))


def stage_table(title: str, record: Mapping[str, Any]) -> Table:
    """Of a stage that asked experts: `annotate.json`, `ground.json`."""
    jobs = record["jobs"]
    rows = [
        Row("questions", f"{jobs:,}"),
        Row("answered before", f"{record['known']:,}", _share(record["known"], jobs)),
        Row("answered now", f"{record['answered']:,}", _share(record["answered"], jobs)),
        *(Row(f"no use: {kind}", f"{n:,}", _share(n, jobs)) for kind, n in record["failures"].items()),
        Row("tokens read / written", f"{record['tokens_in']:,} / {record['tokens_out']:,}"),
    ]
    if record["dollars"] is not None:
        rows.append(Row("cost", f"${record['dollars']:,.2f}"))
    return Table(f"{title}: {record['expert']}", tuple(rows))


def purify_tables(counts: Mapping[str, Any]) -> list[Table]:
    """Of `purified.json`'s counts: samples and boxes."""
    samples, boxes = counts["samples"], counts["boxes"]
    whole, drawn = samples["in"], boxes["in"]
    first = [
        Row("in", f"{whole:,}"),
        Row("kept", f"{samples['kept']:,}", _share(samples["kept"], whole)),
        *(Row(f"dropped: {rule}", f"{n:,}", _share(n, whole)) for rule, n in samples["dropped"].items()),
    ]
    second = [
        Row("in, of both groundings", f"{drawn:,}"),
        Row("kept, as pairs", f"{boxes['kept']:,}", _share(2 * boxes["kept"], drawn)),
        *(Row(f"dropped: {rule}", f"{n:,}", _share(n, drawn)) for rule, n in boxes["dropped"].items()),
    ]
    if boxes["per_sample"] is not None:
        paper = PAPER["boxes_per_sample"], PAPER["share_with_a_box"]
        second.append(Row("per sample", f"{boxes['per_sample']:.2f} (the paper's TRACE: {paper[0]})"))
        share = boxes["share_of_samples_with_one"]
        second.append(Row("samples with a box", f"{share:.1%} (the paper's TRACE: {paper[1]:.1%})"))
    return [Table("Purify: samples", tuple(first)), Table("Purify: boxes", tuple(second))]


def manifest_tables(record: Mapping[str, Any]) -> list[Table]:
    """Of `stats.Figures.record()`."""
    whole = record["samples"]
    tables = [
        Table("Manifest", (Row("samples", f"{whole:,}"), Row("boxes", f"{record['boxes']:,}"), *_spreads(record)))
    ]
    for name, counts in record.items():
        if name.startswith(("by_", "samples_by_")):
            rows = tuple(Row(key, f"{n:,}", _share(n, whole)) for key, n in counts.items())
            tables.append(Table(name.removeprefix("samples_").replace("_", " ").capitalize(), rows))
    return tables


def _spreads(record: Mapping[str, Any]) -> list[Row]:
    rows = []
    if record["boxes_per_sample"] is not None:
        rows.append(Row("boxes per sample", f"{record['boxes_per_sample']:.2f}"))
        rows.append(Row("samples with a box", f"{record['share_with_a_box']:.1%}", record["share_with_a_box"]))
    for name in ("box_area", "explanation_words", "similarity"):
        if (spread := record[name]) is not None:
            text = " / ".join(f"{spread[cut]:.3g}" for cut in ("p10", "median", "p90"))
            rows.append(Row(f"{name.replace('_', ' ')} (10 %, median, 90 %)", text))
    return rows


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def rich_table(table: Table) -> RichTable:
    from rich import box
    from rich.markup import escape as plain
    from rich.table import Table as RichTable

    shown = RichTable(
        title=plain(printable(table.title)), title_justify="left", title_style="bold", box=box.SIMPLE, show_header=False
    )
    shown.add_column()
    shown.add_column(justify="right")
    shown.add_column(justify="right", style="dim")
    for row in table.rows:
        shown.add_row(
            plain(printable(row.name)), plain(printable(row.value)), "" if row.share is None else f"{row.share:.1%}"
        )
    return shown
