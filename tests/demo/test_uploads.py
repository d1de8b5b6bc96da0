from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from demo.uploads import upload_folder

HOLD = (
    "from demo.uploads import upload_folder\nwith upload_folder(60, 60) as f:\n    print(f, flush=True)\n    input()\n"
)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_killed_process_s_pictures_are_deleted_and_a_living_one_s_are_not(temporary: Path) -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as dead,
        subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as live,
    ):
        folders = [Path(process.stdout.readline().strip()) for process in (dead, live) if process.stdout]
        for folder in folders:
            (folder / "picture.jpg").write_bytes(b"a face")
        dead.kill()
        dead.wait()
        with upload_folder(60, 60) as own:
            assert {path.name for path in temporary.iterdir()} == {folders[1].name, own.name}
            assert (folders[1] / "picture.jpg").exists()
        live.communicate("\n")
    assert list(temporary.iterdir()) == []


def test_what_is_only_called_so_is_left_alone(temporary: Path) -> None:
    precious = temporary / "precious"
    precious.mkdir()
    (precious / "in-use").touch()
    (temporary / "lte-uploads-link").symlink_to(precious)
    (temporary / "lte-uploads-other").mkdir()
    with upload_folder(60, 60):
        pass
    assert {path.name for path in temporary.iterdir()} == {"precious", "lte-uploads-link", "lte-uploads-other"}
    assert (precious / "in-use").exists()


def test_what_an_upload_that_broke_off_leaves_goes_too() -> None:
    with upload_folder(every_s=0.02, older_s=50) as folder:
        old, new = folder / "tmp4x", folder / "below" / "new.jpg"
        new.parent.mkdir()
        for path in (old, new):
            path.write_bytes(b"a face")
        os.utime(old, (time.time() - 60, time.time() - 60))
        os.utime(folder / "in-use", (0, 0))
        for _ in range(200):
            if not old.exists():
                break
            time.sleep(0.02)
        assert sorted(path.name for path in folder.rglob("*")) == ["below", "in-use", "new.jpg"]
