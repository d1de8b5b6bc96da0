"""`make space` writes a folder that a Hugging Face Space runs as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lte_core.settings import Settings

ROOT = Path(__file__).parent.parent


def test_a_space_has_the_app_its_front_matter_and_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    space = tmp_path / "space"
    subprocess.run(["make", "space", f"DIR={space}"], cwd=ROOT, check=True, capture_output=True)
    readme = (space / "README.md").read_text(encoding="utf-8")
    front = readme.split("---\n")[1]
    assert "sdk: gradio" in front
    assert "app_file: app.py" in front
    pinned = next(line for line in (space / "requirements.txt").read_text().splitlines() if line.startswith("gradio"))
    version = front.split("sdk_version: ")[1].splitlines()[0]
    assert pinned.startswith(f"gradio>={version.rpartition('.')[0]}"), "the Space would run another Gradio"
    assert (space / "lte_core" / "models" / "lte-nano" / "model.safetensors").is_file()
    large = [file for file in space.rglob("*") if file.is_file() and file.stat().st_size > 10 * 2**20]
    by_lfs = [line.split()[0] for line in (space / ".gitattributes").read_text().splitlines()]
    assert all(any(file.match(pattern) for pattern in by_lfs) for file in large), "the hub refuses such files"
    monkeypatch.delenv("LTE_DATA_DIR")  # the tests' own
    assert Settings(_env_file=space / ".env").data_dir == Path("data")  # type: ignore[call-arg]


def test_a_space_needs_a_folder() -> None:
    run = subprocess.run(["make", "space"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "usage: make space DIR=folder" in run.stdout
