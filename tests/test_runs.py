from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lte_core import runs


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of somebody's with one commit, and nothing of the user's own settings of git."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for command in (
        ["init", "-q"],
        ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-mx"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def head(repository: Path) -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkout_has_its_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "CHECKOUT", repository)
    assert runs.commit() == head(repository)


def test_a_copy_in_another_repository_has_none(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "copy").mkdir()
    monkeypatch.setattr(runs, "CHECKOUT", repository / "copy")
    assert runs.commit() is None


def test_a_hook_of_another_repository_does_not_lend_its_own(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = repository / "copy"
    ours.mkdir()
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(ours))
    monkeypatch.setattr(runs, "CHECKOUT", ours)
    assert runs.commit() is None


def test_where_there_is_no_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runs.commit() is None
