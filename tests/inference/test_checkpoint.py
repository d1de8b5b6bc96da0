"""`lte.json`: what it holds comes back, and what cannot be used is named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.inference.checkpoint import Checkpoint, CheckpointError, calibrate
from lte_core.inference.prompts import Prompts
from lte_core.schema import Size
from lte_core.vlm.views import Views

NANO = Checkpoint(
    prompts=Prompts("Locate", "Examine"),
    temperature_locate=1.5,
    temperature_examine=2,
    uncertain_band=(0.3, 0.7),
    image_wh=Size(224, 224),
    crop_wh=Size(112, 112),
    crop_pad=0.06,
    note="Klein, but honest.",
    card="https://example.org/card",
)


@pytest.mark.parametrize("checkpoint", [pytest.param(Checkpoint(), id="defaults"), pytest.param(NANO, id="nano")])
def test_saved_settings_come_back(tmp_path: Path, checkpoint: Checkpoint) -> None:
    checkpoint.save(tmp_path)
    assert Checkpoint.load(tmp_path) == checkpoint


def test_a_model_without_the_file_has_the_defaults(tmp_path: Path) -> None:
    assert Checkpoint.load(tmp_path) == Checkpoint()


def test_the_views_are_the_checkpoints() -> None:
    assert NANO.views == Views(image_wh=Size(224, 224), crop_wh=Size(112, 112))
    assert Checkpoint(max_pixels=9, crop_min_pixels=2, crop_max_pixels=3).views == Views(9, 56 * 56, 3, 2)
    assert Checkpoint().views == Views()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param('{"temprature_locate": 2}', "temprature_locate", id="unknown-key"),
        pytest.param('{"prompts": {"query": "x"}}', "prompts.query", id="unknown-inner-key"),
        pytest.param('{"max_pixels": "1000"}', "max_pixels", id="text-for-number"),
        pytest.param('{"note": 3}', "note", id="number-for-text"),
        pytest.param('{"image_wh": [224]}', "image_wh", id="half-a-size"),
        pytest.param('{"image_wh": [224, 0]}', "image_wh", id="empty-size"),
        pytest.param('{"uncertain_band": [0.7, 0.3]}', "uncertain_band", id="reversed-band"),
        pytest.param('{"temperature_examine": 0}', "temperature_examine", id="zero-temperature"),
        pytest.param('{"temperature_locate": NaN}', "temperature_locate", id="nan"),
        pytest.param('{"crop_min_pixels": 500000}', "crop_min_pixels", id="min-above-max"),
        pytest.param('{"crop_pad": -0.1}', "crop_pad", id="negative-pad"),
        pytest.param('{"max_new_tokens_examine": 0}', "max_new_tokens", id="no-tokens"),
        pytest.param("[]", "object", id="a-list"),
        pytest.param('{"note": ', "JSON", id="cut"),
        pytest.param("\xff\xfe", "JSON", id="not-utf-8"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "lte.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=named) as error:
        Checkpoint.load(tmp_path)
    assert str(tmp_path / "lte.json") in str(error.value)


@pytest.mark.parametrize(
    ("p", "uncertain"), [(None, False), (0.3, False), (0.31, True), (0.69, True), (0.7, False), (1.0, False)]
)
def test_the_uncertain_band_is_open(p: float | None, uncertain: bool) -> None:
    assert NANO.is_uncertain(p) is uncertain


@pytest.mark.parametrize(
    ("p", "temperature", "expected"),
    [(None, 2.0, None), (0.0, 2.0, 0.0), (1.0, 0.5, 1.0), (0.5, 7.0, 0.5), (0.9, 2.0, 0.75), (0.75, 0.5, 0.9)],
)
def test_calibrate(p: float | None, temperature: float, expected: float | None) -> None:
    assert calibrate(p, temperature) == (expected if expected is None else pytest.approx(expected))


@given(st.floats(0, 1), st.floats(1e-3, 1e3))
def test_calibration_never_changes_the_side(p: float, temperature: float) -> None:
    calibrated = calibrate(p, temperature)
    assert calibrated is not None
    assert math.isfinite(calibrated)
    assert 0 <= calibrated <= 1
    assert (calibrated - 0.5) * (p - 0.5) >= 0
