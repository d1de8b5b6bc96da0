"""The settings about pictures reach those who read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lte_core.images import ImageError
from lte_core.inference.load import load_config, load_model
from lte_core.intake import read_intake
from lte_core.settings import SettingsError, read_settings
from lte_core.vlm.openai_chat import ChatVLM
from tests.pictures import scene
from tests.signing import open_studio


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    scene((400, 300)).save(path, compress_level=0)
    return path


@pytest.mark.parametrize(("name", "value"), [("LTE_MAX_MEGABYTES", "0.01"), ("LTE_MAX_MEGAPIXELS", "0.1")])
def test_the_limits_of_pictures_can_be_set(
    monkeypatch: pytest.MonkeyPatch, picture: Path, name: str, value: str
) -> None:
    assert read_intake(read_settings()).read(picture).pixels.size == (400, 300)
    monkeypatch.setenv(name, value)
    with pytest.raises(ImageError):
        read_intake(read_settings()).read(picture)


def test_trusted_signers_are_told_by_a_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, picture: Path) -> None:
    studio, other = open_studio(), open_studio("Other")
    picture.write_bytes(studio.sign(picture.read_bytes(), "png"))
    anchors = tmp_path / "anchors.pem"
    anchors.write_text(f"# Größere Häuser\n{other.root}\n# und wir\n{studio.root}", encoding="utf-8")
    for name, expected in ((None, "untrusted"), (str(anchors), "trusted")):
        if name is not None:
            monkeypatch.setenv("LTE_TRUST_ANCHORS", name)
        intake = read_intake(read_settings())
        assert intake.provenance(intake.read(picture)).credentials.state == expected


GOOD = open_studio().root.encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        (b"no certificate", "holds no PEM certificate"),
        (b"\xff\xfe", "holds no PEM certificate"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "certificate 1 of 1 cannot be read"),
        (GOOD + GOOD[:200], "certificate 2 of 2 cannot be read"),
        (GOOD[:200] + GOOD, "certificate 1 of 1 cannot be read"),
    ],
)
def test_certificates_that_are_none_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, expected: str
) -> None:
    anchors = tmp_path / "anchors.pem"
    if content is not None:
        anchors.write_bytes(content)
    monkeypatch.setenv("LTE_TRUST_ANCHORS", str(anchors))
    with pytest.raises(SettingsError, match=f"LTE_TRUST_ANCHORS is .*{expected}"):
        read_intake(read_settings())


def test_a_server_is_asked_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("MAX_PIXELS", "200704"), ("CROP_MAX_PIXELS", "50176"), ("TIMEOUT_S", "7"), ("RELATIVE_BOXES", "true"),
    ):  # fmt: skip
        monkeypatch.setenv(f"LTE_{name}", value)
    vlm, checkpoint = load_model("http://127.0.0.1:9/v1#my-model", load_config(read_settings()))
    assert isinstance(vlm, ChatVLM)
    asked = vlm._server.config
    assert (asked.views.max_pixels, asked.views.crop_max_pixels, asked.timeout_s) == (200704, 50176, 7)
    assert asked.convention.relative
    assert checkpoint.max_pixels == 200704


def test_a_local_model_has_the_image_budget_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTE_MAX_PIXELS", "200704")
    assert load_model("lte-nano", load_config(read_settings())).checkpoint.max_pixels == 200704
