"""The commands as people type them: exit codes, what they say, and what they never show."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lte_core.dataset.synth import write_dataset
from review.__main__ import app
from review.accounts import Accounts
from review.database import open_database
from review.records import Action, Submission
from review.store import ReviewStore


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("LTE_DB_URL", raising=False)
    return tmp_path / "data"


def run(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, list(arguments), input=typed, env={"COLUMNS": "200"}, catch_exceptions=False)


@pytest.fixture
def synth(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "synth", 6, seed=5, plain_share=0)


def test_a_manifest_goes_in_is_reviewed_and_comes_out(data: Path, synth: Path, tmp_path: Path) -> None:
    done = run("import", str(synth))
    assert (done.exit_code, "6 samples are new, 0 were there already, 0 lines were bad." in done.output) == (0, True)
    assert run("users", "add", "Ana", typed="correct horse\ncorrect horse\n").exit_code == 0
    engine = open_database(f"sqlite:///{data / 'review.db'}")
    store, ana = ReviewStore(engine), Accounts(engine).named("ana")
    assert ana is not None
    for number in range(3):
        task = store.next(ana)
        assert task is not None
        store.decide(ana, Submission(task.id, task.version, Action.ACCEPT, f"t{number}", seconds=4))
    engine.dispose()
    done = run("export", "--out", str(tmp_path / "out"), "--format", "trl", "--format", "coco")
    assert "3 samples are in" in done.output
    assert "3  not reviewed" in done.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"EXPORT.json", "manifest.jsonl", "coco.json", "sft", "images"}
    found = json.loads(run("stats", "--json").stdout)
    assert found["by_state"] == {"accepted": 3, "open": 3}
    assert found["people"][0] == {"person": "ana", "decisions": 3, "by_action": {"accept": 3}, "seconds": 4.0}
    shown = run("stats").output
    assert "ana" in shown
    assert "Kept samples: 3, unchanged 3" in shown


def test_bad_lines_have_their_own_exit_code(data: Path, synth: Path) -> None:
    synth.write_text(synth.read_text() + "nonsense\n")
    done = run("import", str(synth))
    assert done.exit_code == 3
    assert "line 7: expected one JSON object" in done.output
    assert "6 samples are new" in done.output


def test_accounts_by_command(data: Path) -> None:
    made = run("users", "add", "bo", "--role", "lead", "--generate")
    password = made.output.partition("Password: ")[2].split()[0]
    run("users", "add", "cy", "--generate")
    assert [line.split()[:2] for line in run("users", "list").output.splitlines()] == [
        ["bo", "lead"],
        ["cy", "annotator"],
    ]
    for arguments in (["disable", "cy"], ["set-role", "cy", "lead"], ["enable", "cy"]):
        assert run("users", *arguments).exit_code == 0
    engine = open_database(f"sqlite:///{data / 'review.db'}")
    assert Accounts(engine).sign_in("bo", password, "127.0.0.1")
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["users", "disable", "nobody"], "no account 'nobody'"),
        (["users", "add", "a b", "--generate"], "is no name for an account"),
        (["import", "missing.jsonl"], "cannot be read"),
        (["export", "--out", "x", "--label", "fake"], "expected real or generated"),
        (["export", "--out", "x", "--split", "dev"], "expected train, val or test"),
        (["export", "--out", "x", "--source", "\udcff"], "holds a broken character"),
    ],
)
def test_what_cannot_be_done_is_said(data: Path, arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in " ".join(done.output.replace("│", " ").split())


def test_a_place_that_cannot_be_written_is_said(data: Path, synth: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    data.mkdir()
    (data / "images").write_text("in the way")
    for arguments in (["backup", "--to", f"{tmp_path / 'file' / 'copy.db'}"], ["import", str(synth)]):
        done = run(*arguments)
        assert done.exit_code == 2
        assert "Not a directory" in done.output or "File exists" in done.output


def test_an_export_into_the_folder_where_one_stands(
    data: Path, synth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("import", str(synth))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("export", "--out", ".").exit_code == 0
    assert (tmp_path / "here" / "EXPORT.json").is_file()


def test_a_short_password_is_refused(data: Path) -> None:
    done = run("users", "add", "ana", typed="short\nshort\n")
    assert done.exit_code == 2
    assert "10 to 200 characters" in done.output


def test_a_backup_is_a_file(data: Path, synth: Path, tmp_path: Path) -> None:
    run("import", str(synth))
    assert run("backup", "--to", str(tmp_path / "copy.db")).exit_code == 0
    assert (tmp_path / "copy.db").stat().st_size > 10_000
    assert run("backup", "--to", str(tmp_path / "copy.db")).exit_code == 2


def test_a_database_that_cannot_be_opened_is_one_sentence(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTE_DB_URL", "postgresql+psycopg://lte:secret@127.0.0.1:1/x")
    done = run("stats")
    assert done.exit_code == 2
    assert "can be reached" in " ".join(done.output.replace("│", " ").split())
    assert "secret" not in done.output


@pytest.mark.slow
def test_help_answers_at_once() -> None:
    subprocess.run([sys.executable, "-m", "review", "--help"], check=True, capture_output=True)  # compiles
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "review", "--help"], check=True, capture_output=True)
    assert time.perf_counter() - started < 2  # 0.2 s; a busy machine is slower
