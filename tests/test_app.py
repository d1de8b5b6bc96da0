"""Starting the app and ending it, as a person meets it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import app

ROOT = Path(app.__file__).parent


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({"LTE_MODEL": "/nowhere/at/all"}, "no model at '/nowhere/at/all'", id="no such model"),
        pytest.param({"LTE_PORT": "many"}, "LTE_PORT is 'many'", id="a wrong setting"),
        pytest.param({"LTE_HOST": "no-such-host.invalid"}, "Set LTE_HOST or LTE_PORT", id="a host without an address"),
        pytest.param({"LTE_DATA_DIR": "/dev/null"}, "cannot be opened", id="a data directory that is none"),
    ],
)
def test_a_failed_start_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], said: str
) -> None:
    for name, value in {"LTE_PORT": "0", **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert said in str(ended.value)
    assert "\n" not in str(ended.value)
    assert "Unknown error" not in str(ended.value)


def test_a_taken_port_is_reported_before_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("LTE_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("LTE_MODEL", "/nowhere/at/all")
        with pytest.raises(SystemExit, match=r"Cannot listen on .*Address already in use.*LTE_PORT"):
            app.main()


def test_a_first_start_that_cannot_take_samples_in_is_a_first_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LTE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LTE_PORT", "0")
    monkeypatch.setenv("LTE_MODEL", "/nowhere/at/all")  # so that it ends here, too
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(SystemExit, match="cannot be taken in: Not a directory"):
        app.main()
    assert capsys.readouterr().out == ""
    (tmp_path / "images").unlink()
    with pytest.raises(SystemExit, match="no model at"):
        app.main()
    assert "password" in capsys.readouterr().out
    with contextlib.closing(sqlite3.connect(tmp_path / "review.db")) as database:
        assert database.execute("select count(*) from samples").fetchone() == (24,)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "review.db"]


def test_it_says_where_it_is_and_ends_without_a_word_or_a_trace(tmp_path: Path) -> None:
    """With a model behind an address, which nobody asks anything, so that no weights are needed."""
    environment = {**os.environ, "LTE_PORT": "0", "LTE_MODEL": "http://127.0.0.1:9/v1#m", "LTE_DATA_DIR": str(tmp_path)}
    environment |= {"TMPDIR": str(tmp_path), "ALL_PROXY": "socks5://127.0.0.1:9"}  # the page asks nobody anything
    first = r"The Review tab has a first account: name lead, password \S+\nIt is shown this once.*\n"
    for account, ended_by in ((first, signal.SIGINT), ("", signal.SIGTERM)):
        with subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                assert process.stdout
                told = "".join(process.stdout.readline() for _ in range(account.count(r"\n") + 1))
                assert re.fullmatch(account + r"Locate-Then-Examine is ready: \S+\n", told), told
                url = told.split()[-1]
                assert httpx.get(url).status_code == 200
                [uploads] = tmp_path.glob("lte-uploads-*")
                with httpx.stream("GET", f"{url}/gradio_api/heartbeat/open-page"):
                    process.send_signal(ended_by)
                    said, complained = process.communicate(timeout=15)
                assert (process.returncode, said, complained) == (0, "", "")
                assert not uploads.exists()
            finally:
                process.kill()
