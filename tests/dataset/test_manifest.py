"""Manifests: what is written is read back, and a bad line is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.dataset.manifest import (
    BadLine,
    ManifestError,
    ManifestLine,
    from_line,
    read_lines,
    read_manifest,
    split_of,
    to_line,
    write_manifest,
)
from lte_core.schema import Box, Region, Review, Split, TraceSample, Verdict

SAMPLE = TraceSample(
    id="s-1",
    image="images/ab/abcd.jpg",
    sha256="ab" * 32,
    width=640,
    height=480,
    label=Verdict.GENERATED,
    explanation="[1] the lettering is garbled",
    regions=(Region(Box(10, 20.5, 110, 220), "lettering"),),
    source="trace-synth",
    generator="trace-synth",
    split="train",
)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 300),
    st.floats(0, 300),
    st.integers(1, 200),
    st.floats(1, 150),
)
samples = st.builds(
    TraceSample,
    id=texts,
    image=texts,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    width=st.integers(600, 2000),
    height=st.integers(600, 2000),
    label=st.sampled_from(Verdict),
    explanation=st.text(st.characters(exclude_categories=["Cs"])),
    regions=st.lists(st.builds(Region, boxes, texts), max_size=5).map(tuple),
    source=texts,
    generator=st.none() | texts,
    split=st.sampled_from([None, "train", "val", "test"]),
    annotation=st.dictionaries(texts, st.integers() | texts | st.lists(texts), max_size=3),
    review=st.none() | st.builds(Review, st.sampled_from(["accept", "fix"]), texts, texts, st.integers(1, 9)),
)


@given(samples)
def test_a_sample_survives_its_line(sample: TraceSample) -> None:
    line = to_line(sample)
    assert "\n" not in line
    assert from_line(line) == sample


def test_the_line_is_the_public_format() -> None:
    assert json.loads(to_line(SAMPLE)) == {
        "schema": "trace/1",
        "id": "s-1",
        "image": "images/ab/abcd.jpg",
        "sha256": "ab" * 32,
        "width": 640,
        "height": 480,
        "label": "generated",
        "generator": "trace-synth",
        "source": "trace-synth",
        "split": "train",
        "explanation": "[1] the lettering is garbled",
        "regions": [{"bbox": [10, 20.5, 110, 220], "label": "lettering"}],
    }


def test_a_manifest_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    written = [SAMPLE, replace(SAMPLE, id="s-2", regions=(), label=Verdict.REAL, generator=None)]
    write_manifest(path, written)
    assert [tuple(line) for line in read_manifest(path)] == [(1, written[0]), (2, written[1])]


def test_blank_lines_and_unknown_keys_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    later = json.loads(to_line(SAMPLE)) | {"opinion": {"decision": "fix"}}
    path.write_text("\n" + json.dumps(later) + "\n\n", encoding="utf-8")
    assert [tuple(line) for line in read_manifest(path)] == [(2, SAMPLE)]


def _changed(**changes: object) -> str:
    return json.dumps(json.loads(to_line(SAMPLE)) | changes)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param('{"schema": "trace/1", "id"', "one JSON object", id="truncated"),
        pytest.param("[1, 2]", "got list", id="not an object"),
        pytest.param(_changed(schema="trace/2"), "'trace/2'", id="other schema"),
        pytest.param(_changed(label="fake"), "'fake' is not a valid Verdict", id="other label"),
        pytest.param(_changed(id=None), 'string at "id"', id="no id"),
        pytest.param(_changed(width="640"), 'whole number at "width"', id="width as text"),
        pytest.param(_changed(width=True), 'whole number at "width"', id="width as bool"),
        pytest.param(_changed(width=0), "positive whole number", id="no width"),
        pytest.param(_changed(split="dev"), "got 'dev'", id="other split"),
        pytest.param(_changed(annotation=[1]), 'object at "annotation"', id="annotation no object"),
        pytest.param(_changed(review={"decision": "reject"}), 'at "review"', id="review incomplete"),
        pytest.param(_changed(regions={}), 'list at "regions"', id="regions not a list"),
        pytest.param(_changed(regions=[[1, 2, 3, 4]]), "bbox", id="bare box"),
        pytest.param(_changed(regions=[{"bbox": [1, 2, 3], "label": "x"}]), "four numbers", id="three numbers"),
        pytest.param(_changed(regions=[{"bbox": [1, 2, "3", 4], "label": "x"}]), "four numbers", id="number as text"),
        pytest.param(_changed(regions=[{"bbox": [9, 2, 3, 4], "label": "x"}]), "x1 < x2", id="reversed corners"),
        pytest.param(_changed(regions=[{"bbox": [1, 2, 3, 4]}]), 'string at "label"', id="no label"),
        pytest.param(_changed(regions=[{"bbox": [1, 2, 900, 4], "label": "x"}]), "inside 640x480", id="box outside"),
        pytest.param(_changed(regions=[{"bbox": [float("nan"), 2, 9, 4], "label": "x"}]), "JSON", id="NaN"),
        pytest.param(_changed(annotation={"similarity": float("inf")}), "JSON", id="infinite figure"),
        pytest.param(_changed(regions=[{"bbox": [1, 2, 10**400, 4], "label": "x"}]), "four numbers", id="huge number"),
        pytest.param(
            _changed(annotation={"similarity": 0}).replace("0}", "9" * 5000 + "}"), "JSON", id="endless number"
        ),
        pytest.param("[" * 200_000, "nested too deeply", id="endless nesting"),
        pytest.param(_changed(id="\ud800"), "half a character", id="half a character"),
        pytest.param(_changed(annotation={"by": "\ud800"}), "half a character", id="half a character below"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(to_line(SAMPLE) + "\n" + line + "\n", encoding="utf-8")
    reader = read_manifest(path)
    assert next(reader).number == 1
    with pytest.raises(ManifestError, match=r"manifest\.jsonl, line 2: ") as caught:
        next(reader)
    assert said in str(caught.value)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(to_line(SAMPLE) + "\n", encoding="utf-8-sig")
    assert [line.sample for line in read_manifest(path)] == [SAMPLE]


def test_a_lenient_reader_tells_bad_lines_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(to_line(SAMPLE).encode() + b"\n\xff\xfe\n{}\n\n" + to_line(SAMPLE).encode() + b'\n{"schema')
    read = list(read_lines(path))
    assert [(line.number, isinstance(line, ManifestLine)) for line in read] == [
        (1, True), (2, False), (3, False), (5, True), (6, False),
    ]  # fmt: skip
    assert isinstance(read[1], BadLine)
    assert "UTF-8" in read[1].problem


@pytest.mark.parametrize(
    ("sha256", "split"),
    [
        pytest.param("00" * 32, "test", id="lowest"),
        pytest.param("10" * 32, "val", id="above test"),
        pytest.param("20" * 32, "train", id="above val"),
        pytest.param("ff" * 32, "train", id="highest"),
    ],
)
def test_the_split_follows_the_hash(sha256: str, split: Split) -> None:
    assert split_of(sha256) == split
