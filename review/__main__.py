"""The review without a page: `python -m review users | import | export | stats | backup`.

Each command adapts and delegates; what it says is for people, but for `stats --json`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lte_core.terminal import open_closed_streams

if TYPE_CHECKING:
    from review.accounts import Accounts
    from review.media import Media
    from review.stats import Stats
    from review.store import ReviewStore

SOME_BAD = 3

app = typer.Typer(
    help="Review TRACE samples.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
users = typer.Typer(help="Who may review.", no_args_is_help=True)
app.add_typer(users, name="users")

Name = Annotated[str, typer.Argument(help="Name of the account.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a random password and print it, once.")]


class RoleName(StrEnum):
    annotator = "annotator"
    lead = "lead"


class FormatName(StrEnum):
    trl = "trl"
    llama_factory = "llama-factory"
    ms_swift = "ms-swift"
    label_studio = "label-studio"
    coco = "coco"


@app.command("import")
def import_(
    manifest: Annotated[Path, typer.Argument(help="manifest.jsonl, or a Label Studio or COCO file (.json).")],
    images: Annotated[Path | None, typer.Option(help="Where image paths begin; else the manifest's folder.")] = None,
) -> None:
    """Put samples under review. Bad lines are listed and the rest goes in; what is there already is left alone."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

    from review.importing import ImportProblem, import_samples

    problems = Console(stderr=True, highlight=False, soft_wrap=True)
    with (
        opened() as (store, media),
        Progress(
            SpinnerColumn(), "lines", MofNCompleteColumn(), TimeElapsedColumn(), console=problems, transient=True
        ) as bar,
    ):
        task = bar.add_task("lines", total=None)
        try:
            done = import_samples(
                manifest, store, media, images,
                report=lambda line: problems.print(f"line {line.number}: {line.problem}", markup=False),
                progress=lambda lines: bar.update(task, completed=lines),
            )  # fmt: skip
        except ImportProblem as problem:
            raise typer.BadParameter(str(problem), param_hint="MANIFEST") from problem
    typer.echo(f"{done.new} samples are new, {done.known} were there already, {done.bad} lines were bad.")
    raise typer.Exit(SOME_BAD if done.bad else 0)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="A new folder.")],
    formats: Annotated[list[FormatName], typer.Option("--format", help="Repeat for several.")] = [  # noqa: B006
        FormatName.trl,
        FormatName.llama_factory,
        FormatName.ms_swift,
    ],
    label: Annotated[str | None, typer.Option(help="Only real or generated ones.")] = None,
    source: Annotated[str | None, typer.Option(help="Only samples of this source.")] = None,
    generator: Annotated[str | None, typer.Option(help="Only samples of this generator.")] = None,
    split: Annotated[str | None, typer.Option(help="Only train, val or test.")] = None,
    max_pixels: Annotated[int | None, typer.Option(min=3136, help="Budget of the view that boxes refer to.")] = None,
) -> None:
    """Write what people accepted or fixed, with an account of everything that is left out."""
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn

    from lte_core.inference.checkpoint import DEFAULT_CHECKPOINT
    from review.export import FORMATS, ExportConfig, ExportError
    from review.export import export as write

    wanted = _filter(label, source, generator, split)
    checkpoint = DEFAULT_CHECKPOINT if max_pixels is None else replace(DEFAULT_CHECKPOINT, max_pixels=max_pixels)
    chosen = tuple(name for name in FORMATS if name in [str(f) for f in formats])
    with opened() as (store, media), Progress(SpinnerColumn(), "samples", MofNCompleteColumn(), transient=True) as bar:
        task = bar.add_task("samples", total=store.counts(wanted).total)
        try:
            counts = write(store, media, out, ExportConfig(chosen, wanted, checkpoint),
                           lambda rows: bar.update(task, completed=rows))  # fmt: skip
        except ExportError as problem:
            raise typer.BadParameter(str(problem), param_hint="--out") from problem
    typer.echo(f"{counts.written} samples are in {out}, {sum(counts.excluded.values())} are left out:")
    for reason, number in counts.excluded.items():
        typer.echo(f"  {number}  {reason}")


@app.command()
def stats(as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False) -> None:
    """How far the review is, how people agree, and what they think of the purifier."""
    from review.stats import gather

    with opened() as (store, _):
        found = gather(store)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False))
    else:
        _show(found)


@app.command()
def backup(to: Annotated[Path, typer.Option(help="A new file.")]) -> None:
    """Copy the database while people work. Images are not in it: copy the data directory's images/ beside it."""
    from review.database import DatabaseError
    from review.database import backup as copy

    with opened() as (store, _):
        try:
            copy(store.engine, to)
        except DatabaseError as problem:
            raise typer.BadParameter(str(problem), param_hint="--to") from problem
    typer.echo(f"The database is copied to {to}.")


@users.command("add")
def add_user(name: Name, role: RoleName = RoleName.annotator, generate: Generate = False) -> None:
    """Make an account; asks for its password."""
    from review.records import Role

    with accounts() as known:
        known.add(name, _password(generate), Role(role))
    typer.echo(f"{name.lower()} can sign in as {role}.")


@users.command("list")
def list_users() -> None:
    """All accounts."""
    with accounts() as known:
        for account in known.all():
            state = "  disabled" if account.disabled else ""
            typer.echo(f"{account.person.name}  {account.person.role}  since {account.created_at:%Y-%m-%d}{state}")


@users.command()
def disable(name: Name) -> None:
    """End the account's sign-ins and allow no more. Its decisions stay."""
    with accounts() as known:
        known.disable(name)
    typer.echo(f"{name} can no longer sign in.")


@users.command()
def enable(name: Name) -> None:
    """Let a disabled account sign in again."""
    with accounts() as known:
        known.enable(name)
    typer.echo(f"{name} can sign in again.")


@users.command("set-password")
def set_password(name: Name, generate: Generate = False) -> None:
    """Give an account another password; ends its sign-ins."""
    with accounts() as known:
        known.set_password(name, _password(generate))
    typer.echo(f"{name} has a new password.")


@users.command("set-role")
def set_role(name: Name, role: Annotated[RoleName, typer.Argument()]) -> None:
    """Make an account an annotator or a lead."""
    from review.records import Role

    with accounts() as known:
        known.set_role(name, Role(role))
    typer.echo(f"{name} is now {role}.")


@contextmanager
def opened() -> Iterator[tuple[ReviewStore, Media]]:
    """The review of this process's settings."""
    from sqlalchemy.exc import DBAPIError

    from lte_core.settings import SettingsError, read_settings
    from review.database import DatabaseError, open_database
    from review.media import Media
    from review.store import ReviewStore

    try:
        settings = read_settings()
        engine = open_database(settings.database_url)
    except (SettingsError, DatabaseError) as problem:
        raise typer.BadParameter(str(problem)) from problem
    try:
        yield ReviewStore(engine), Media(settings.data_dir / "images")
    except KeyboardInterrupt:
        typer.echo("Stopped. What is done is kept; the same command goes on from there.", err=True)
        raise typer.Exit(130) from None
    except DBAPIError as problem:
        raise typer.BadParameter(f"The database cannot be used: {str(problem.orig).strip()}.") from problem
    finally:
        engine.dispose()


@contextmanager
def accounts() -> Iterator[Accounts]:
    from review.accounts import AccountError, Accounts

    with opened() as (store, _):
        try:
            yield Accounts(store.engine)
        except AccountError as problem:
            raise typer.BadParameter(str(problem)) from problem


def _password(generate: bool) -> str:
    """Asked for twice and not shown; never taken from the command line, which others can read."""
    if not generate:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    password = secrets.token_urlsafe(12)
    typer.echo(f"Password: {password}")
    return password


def _filter(label: str | None, source: str | None, generator: str | None, split: str | None) -> Any:
    from typing import get_args

    from lte_core.schema import Split, Verdict
    from review.records import ContentError, Filter, check_text

    for name, value in (("--source", source), ("--generator", generator)):
        try:
            check_text(value or "", name)
        except ContentError as problem:
            raise typer.BadParameter(str(problem), param_hint=name) from problem
    if label is not None and label not in list(Verdict):
        raise typer.BadParameter(f"expected real or generated, got {label!r}", param_hint="--label")
    if split is not None and split not in get_args(Split):
        raise typer.BadParameter(f"expected train, val or test, got {split!r}", param_hint="--split")
    return Filter(Verdict(label) if label else None, generator, source, split)  # type: ignore[arg-type]


def _show(found: Stats) -> None:
    from rich.console import Console
    from rich.table import Table

    from review.stats import sentences

    console = Console(highlight=False)
    console.print("  ".join(f"{state}: {number}" for state, number in found.by_state.items()) or "No samples yet.")
    table = Table("person", "decisions", "accept", "fix", "reject", "median s", "gold right")
    right = {score.person: score.right for score in found.gold}
    for person in found.people:
        gold = right.get(person.person)
        shown = "" if gold is None else f"{gold.value:.0%} of {gold.n} ({gold.low:.0%} to {gold.high:.0%})"
        numbers = (person.by_action.get(a, 0) for a in ("accept", "fix", "reject"))  # type: ignore[call-overload]
        table.add_row(person.person, str(person.decisions), *map(str, numbers), f"{person.seconds:.1f}", shown)
    console.print(table)
    for line in sentences(found):
        console.print(line)


if __name__ == "__main__":
    open_closed_streams()
    app(prog_name="python -m review")
