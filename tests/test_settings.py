"""Settings come from the environment, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from lte_core.settings import Settings, SettingsError, read_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL", "DATA_DIR", "HOST", "PORT", "THREADS"):
        monkeypatch.delenv(f"LTE_{name}", raising=False)


def test_defaults() -> None:
    assert read_settings() == Settings(
        model="lte-nano", data_dir=Path("data"), host="127.0.0.1", port=7860, threads=None
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LTE_MODEL", "http://host/v1#qwen", "http://host/v1#qwen"),
        ("LTE_DATA_DIR", "/srv/lte", Path("/srv/lte")),
        ("LTE_HOST", "0.0.0.0", "0.0.0.0"),
        ("LTE_PORT", "80", 80),
        ("LTE_THREADS", "4", 4),
        ("LTE_THREADS", "", None),
    ],
)
def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(read_settings(), name.removeprefix("LTE_").lower()) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LTE_PORT", "65536"), ("LTE_PORT", "http"), ("LTE_THREADS", "0"), ("LTE_MAX_MEGABYTES", "1e-12"),
        ("LTE_MAX_MEGAPIXELS", "nan"), ("LTE_MAX_PIXELS", "99999999999999999999"), ("LTE_TIMEOUT_S", "inf"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name} is '{value}'"):
        read_settings()


@pytest.mark.parametrize(
    ("content", "model"),
    [
        pytest.param(b"LTE_MODEL=from-file\n", "from-file", id="a setting"),
        pytest.param(b"not a setting at all\n= =\n", "lte-nano", id="nothing of ours"),
        pytest.param(None, "lte-nano", id="no file"),
    ],
)
def test_a_file_may_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, model: str) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / ".env").write_bytes(content)
    assert read_settings().model == model


def test_a_file_that_is_no_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes("LTE_MODEL=x".encode("utf-16"))
    with pytest.raises(SettingsError, match=r"The file \.env in this folder cannot be read"):
        read_settings()


@pytest.mark.parametrize("name", ["plain", "what?mode=ro", "p%41q", "a b#c&d"])
def test_the_database_lies_in_the_data_directory_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LTE_DATA_DIR", str(tmp_path / name))
    assert make_url(read_settings().database_url).database == str(tmp_path / name / "review.db")


def test_a_tilde_in_a_file_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTE_DATA_DIR", "~/lte")
    assert read_settings().data_dir == Path.home() / "lte"
