"""Settings come from the environment, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

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
