"""The README tells the truth: its commands exist, its paths are there, and its map has every file once."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from review.keys import DEFAULTS, EDITOR

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"```(?:sh|console)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in CODE for line in block.splitlines() if line.strip()]
MAP = re.search(r"## The files\n.*?```\n(.*?)```", README, flags=re.DOTALL)


def mapped() -> list[str]:
    """Paths of the map: a line is `path   what it does`; a folder's files are indented under it."""
    assert MAP, "the README has no map of the files"
    return [line.split()[0] for line in MAP[1].splitlines() if line.strip()]


def python_files() -> set[str]:
    found = [
        "app.py",
        *(str(p.relative_to(ROOT)) for top in ("demo", "lte_core", "review") for p in (ROOT / top).rglob("*.py")),
    ]
    return {path for path in found if (ROOT / path).is_file() and (ROOT / path).name != "__init__.py"}


def test_every_file_is_mapped_once_and_every_mapped_path_is_there() -> None:
    paths = mapped()
    assert len(paths) == len(set(paths))
    assert [path for path in paths if not (ROOT / path).exists()] == []
    covered = {
        path for path in python_files() if path in paths or any(path.startswith(p) for p in paths if p.endswith("/"))
    }
    assert sorted(python_files() - covered) == []


@pytest.mark.parametrize("target", sorted({c.split()[1] for c in COMMANDS if c.startswith("make ")}))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


MODULES = sorted({c for c in COMMANDS if re.search(r"python -m (lte_core|review)\b", c)})


@pytest.mark.parametrize("command", MODULES)
def test_commands_exist_and_know_their_options(command: str) -> None:
    words = shlex.split(command)
    module, *words = words[words.index("-m") + 1 :]
    grouped = (module == "lte_core" and words[0] != "detect") or words[0] == "users"
    names = words[: 2 if grouped else 1]
    run = subprocess.run(
        [sys.executable, "-m", module, *names, "--help"],
        capture_output=True, text=True, cwd=ROOT, check=False, env={"COLUMNS": "300", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in run.stdout, f"{command}: there is no {option}"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", README))))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path.split("#")[0]).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(LTE_[A-Z_]+)`", README))))
def test_settings_exist(name: str) -> None:
    from lte_core.settings import Settings

    assert name.removeprefix("LTE_").lower() in Settings.model_fields


def test_the_key_table_has_the_keys_of_the_review() -> None:
    table = README[README.index("| key | does |") : README.index("Keys are off while you type")]
    named = {key.lower() for key in re.findall(r"`([A-Z?])`", table)}
    assert named >= set(DEFAULTS.values())
    assert named - set(DEFAULTS.values()) <= EDITOR
