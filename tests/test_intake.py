"""The settings about pictures reach those who read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lte_core.images import ImageError, SourceImage
from lte_core.inference.load import load_config, load_model
from lte_core.intake import Intake, read_intake
from lte_core.provenance import Provenance, read_provenance
from lte_core.settings import SettingsError, read_settings
from lte_core.vlm.openai_chat import ChatVLM
from tests.pictures import scene

PEM = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    scene((400, 300)).save(path)
    return path


@pytest.mark.parametrize(("name", "value"), [("LTE_MAX_MEGABYTES", "0.0001"), ("LTE_MAX_MEGAPIXELS", "0.1")])
def test_the_limits_of_pictures_can_be_set(
    monkeypatch: pytest.MonkeyPatch, picture: Path, name: str, value: str
) -> None:
    assert read_intake(read_settings()).read(picture).pixels.size == (400, 300)
    monkeypatch.setenv(name, value)
    with pytest.raises(ImageError):
        read_intake(read_settings()).read(picture)


def test_trusted_signers_are_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, picture: Path) -> None:
    anchors, seen = tmp_path / "anchors.pem", []
    anchors.write_text(PEM)
    monkeypatch.setenv("LTE_TRUST_ANCHORS", str(anchors))
    intake = read_intake(read_settings())

    def read(source: SourceImage, trust: str) -> Provenance:
        seen.append(trust)
        return read_provenance(source, trust)

    monkeypatch.setattr("lte_core.intake.read_provenance", read)
    assert intake.provenance(intake.read(picture)) == Intake().provenance(intake.read(picture))
    assert seen == [PEM, ""]


@pytest.mark.parametrize("content", [None, b"no certificate", b"\xff\xfe"])
def test_certificates_that_are_none_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    anchors = tmp_path / "anchors.pem"
    if content is not None:
        anchors.write_bytes(content)
    monkeypatch.setenv("LTE_TRUST_ANCHORS", str(anchors))
    with pytest.raises(SettingsError, match="LTE_TRUST_ANCHORS is "):
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
