"""Every image once, and none in two splits."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from lte_core.commands.trace import app
from lte_core.dataset.collect import CollectConfig, Collected, NearHashes, collect
from lte_core.dataset.manifest import read_manifest, split_of
from lte_core.dataset.sources import Labelled, Unusable
from lte_core.images import measure_image
from lte_core.schema import Box, Region, Verdict

REAL, GENERATED = Verdict.REAL, Verdict.GENERATED


def photo(path: Path, seed: int, quality: int = 90) -> Path:
    """A picture of soft shapes, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    image = Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC)
    image.save(path, quality=quality)
    return path


def names(collected: Collected, reason: str) -> list[str]:
    return [Path(item.name).name for item in collected.left_out if item.reason == reason]


def test_each_image_is_taken_once(tmp_path: Path) -> None:
    a = photo(tmp_path / "in/a.jpg", 1)
    copy = tmp_path / "in/copy.jpg"
    copy.write_bytes(a.read_bytes())
    again = photo(tmp_path / "in/again.jpg", 1, quality=60)
    small = tmp_path / "in/small.png"
    Image.open(a).resize((80, 60)).filter(ImageFilter.GaussianBlur(0.5)).save(small)
    b = photo(tmp_path / "in/b.jpg", 2)
    broken = tmp_path / "in/broken.jpg"
    broken.write_bytes(a.read_bytes()[:300])
    entries = [Labelled(path, REAL, "test") for path in (a, copy, again, small, b, broken, tmp_path / "in/none.jpg")]
    made = collect([*entries, Unusable("x", "no label")], tmp_path / "out")
    assert made.counts() == {"kept": 2, "looks the same": 2, "same bytes": 1, "unreadable": 2, "unusable": 1}
    assert names(made, "looks the same") == ["again.jpg", "small.png"]
    samples = [line.sample for line in read_manifest(tmp_path / "out/manifest.jsonl")]
    assert samples == made.samples
    for sample in samples:
        assert measure_image(tmp_path / "out" / sample.image).sha256 == sample.sha256
        assert sample.split == split_of(sample.sha256)
    assert json.loads((tmp_path / "out/collect.json").read_text())["counts"] == made.counts()
    assert len((tmp_path / "out/left-out.jsonl").read_text().splitlines()) == 6


def test_an_image_with_two_labels_is_in_neither_class(tmp_path: Path) -> None:
    a = photo(tmp_path / "real/a.jpg", 1)
    b = tmp_path / "fake/b.jpg"
    b.parent.mkdir()
    b.write_bytes(a.read_bytes())
    entries = [Labelled(a, REAL, "one"), Labelled(b, GENERATED, "two"), Labelled(b, GENERATED, "three")]
    made = collect(entries, tmp_path / "out")
    assert made.samples == []
    assert names(made, "contradicting labels") == ["a.jpg", "b.jpg", "b.jpg"]


def test_a_photo_and_its_edit_stay_and_share_a_split(tmp_path: Path) -> None:
    pairs = []
    for seed in range(30):
        original = photo(tmp_path / f"real/{seed}.png", seed)
        edited = tmp_path / f"fake/{seed}.png"
        edited.parent.mkdir(exist_ok=True)
        image = Image.open(original)
        image.paste((255, 0, 0), (70, 50, 76, 56))
        image.save(edited)
        pairs += [Labelled(original, REAL, "test"), Labelled(edited, GENERATED, "test", "paint")]
    made = collect(pairs, tmp_path / "out")
    assert len(made.samples) == 60
    splits = [(a.split, b.split) for a, b in zip(made.samples[::2], made.samples[1::2], strict=True)]
    assert all(a == b for a, b in splits)
    assert len(set(splits)) > 1
    assert {s.generator for s in made.samples} == {None, "paint"}


def test_pictures_with_nothing_in_them_are_not_taken_for_copies(tmp_path: Path) -> None:
    entries = []
    for level in (10, 90, 200):
        path = tmp_path / f"{level}.png"
        Image.new("RGB", (64, 64), (level, level, level)).save(path)
        entries.append(Labelled(path, REAL, "test"))
    assert len(collect(entries, tmp_path / "out").samples) == 3


def test_what_lies_outside_the_picture_is_cut_off_with_its_note(tmp_path: Path) -> None:
    boxes = (Box(150, 100, 300, 200), Box(500, 500, 600, 600), Box(10, 10, 60, 60))
    regions = tuple(Region(box, f"region {i}") for i, box in enumerate(boxes))
    entry = Labelled(
        photo(tmp_path / "a.png", 1), GENERATED, "test", None, "Odd.", regions, ("edge; blurred", "gone", "six [6]")
    )
    (sample,) = collect([entry], tmp_path / "out").samples
    assert [region.box.xyxy for region in sample.regions] == [(150, 100, 160, 120), (10, 10, 60, 60)]
    assert sample.explanation == "Odd. [1] edge, blurred; [2] six (6)"


def test_an_interrupted_run_decodes_nothing_twice(tmp_path: Path) -> None:
    class Stopped(Exception):  # noqa: N818
        pass

    entries = [Labelled(photo(tmp_path / f"in/{i}.png", i), REAL, "test") for i in range(6)]

    def stop(done: int) -> None:
        if done == 4:
            raise Stopped

    with pytest.raises(Stopped):
        collect(entries, tmp_path / "out", progress=stop)
    log = tmp_path / "out/fingerprints.jsonl"
    log.write_bytes(log.read_bytes()[:-20])  # killed while it was written
    whole = collect(entries, tmp_path / "out")
    apart = collect(entries, tmp_path / "apart", CollectConfig(copy=True))
    assert whole == apart
    assert (tmp_path / "out/manifest.jsonl").read_bytes() == (tmp_path / "apart/manifest.jsonl").read_bytes()
    assert len({line for line in log.read_text().splitlines() if line.endswith("]]")}) == 6
    assert collect(entries, tmp_path / "out") == whole
    assert (apart.samples[0].sha256, len(whole.samples)) == (measure_image(entries[0].image).sha256, 6)


looks = st.integers(0, 2**64 - 1)


@given(st.lists(looks, max_size=20), looks, st.integers(0, 9), st.integers(0, 12))
def test_near_hashes_are_found_and_no_others(others: list[int], one: int, bits: int, flips: int) -> None:
    near = NearHashes(bits)
    flipped = one
    for place in random.Random(one).sample(range(64), flips):
        flipped ^= 1 << place
    hashes = [*others, flipped]
    for item, value in enumerate(hashes):
        near.add(value, item)
    expected = [i for i, value in enumerate(hashes) if (value ^ one).bit_count() <= bits]
    assert near.find(one) == (expected if 8 <= one.bit_count() <= 56 else [])


def test_the_command_collects_and_says_what_it_left_out(tmp_path: Path) -> None:
    photo(tmp_path / "set/real/a.jpg", 1)
    photo(tmp_path / "set/fake/b.jpg", 2)
    run = CliRunner()
    out = tmp_path / "out"
    done = run.invoke(app, ["collect", "--from", f"folders:{tmp_path / 'set'}", "--out", str(out)])
    assert (done.exit_code, "2 samples in" in done.output) == (0, True)
    (tmp_path / "set/real/broken.png").write_bytes(b"\x89PNG nothing")
    done = run.invoke(app, ["collect", "--from", f"folders:{tmp_path / 'set'}", "--out", str(out)])
    assert (done.exit_code, "1  left out: unreadable" in done.output) == (3, True)
    for wrong in ("folders", "loki:x", f"folders:{tmp_path / 'missing'}"):
        assert run.invoke(app, ["collect", "--from", wrong, "--out", str(out)]).exit_code == 2
