"""Other releases, written here in exactly their layout and with their quirks, as labelled images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lte_core.dataset.collect import collect
from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.sources import Labelled, SourceError, Unusable, read_source
from lte_core.dataset.synth import write_dataset
from lte_core.schema import Box, Region, Verdict

REAL, GENERATED = Verdict.REAL, Verdict.GENERATED


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "gray").save(path)
    return path


def written(path: Path, document: Any, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(document).encode(encoding))


def told(kind: str, root: Path) -> list[tuple[str, Verdict, str, str | None]]:
    """Each image by its path below the root, with label, source and generator."""
    entries = list(read_source(kind, root))
    assert all(isinstance(entry, Labelled) for entry in entries), entries
    return [
        (entry.image.relative_to(root).as_posix(), entry.label, entry.source, entry.generator)
        for entry in entries
        if isinstance(entry, Labelled)
    ]


@pytest.mark.parametrize(
    ("kind", "path", "label", "generator"),
    [
        pytest.param("folders", "real/a.jpg", REAL, None, id="plain real"),
        pytest.param("folders", "fake/a.png", GENERATED, None, id="plain fake"),
        pytest.param("folders", "sd15/fake/a.png", GENERATED, "sd15", id="plain, by generator"),
        pytest.param("genimage", "Midjourney/train/ai/a.png", GENERATED, "Midjourney", id="GenImage ai"),
        pytest.param("genimage", "Midjourney/val/nature/a.JPEG", REAL, None, id="GenImage nature"),
        pytest.param("cnnspot", "biggan/0_real/a.png", REAL, None, id="CNNSpot real"),
        pytest.param("cnnspot", "progan/airplane/1_fake/a.png", GENERATED, "progan", id="CNNSpot by class"),
        pytest.param(
            "cnnspot", "test/stylegan/car/1_fake/a.png", GENERATED, "stylegan", id="ForenSynths below a split"
        ),
        pytest.param("real", "n01440764/a.JPEG", REAL, None, id="ImageNet"),
        pytest.param("real", "train2017/a.jpg", REAL, None, id="COCO"),
        pytest.param("generated", "flux/a.png", GENERATED, "flux", id="one generator's folder"),
        pytest.param("generated", "a.png", GENERATED, None, id="no generator named"),
    ],
)
def test_the_label_is_in_the_folders(
    tmp_path: Path, kind: str, path: str, label: Verdict, generator: str | None
) -> None:
    picture(tmp_path / path)
    source = kind if kind in ("genimage", "cnnspot") else tmp_path.name
    assert told(kind, tmp_path) == [(path, label, source, generator)]


def test_a_picture_whose_folders_do_not_tell_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "real/a.png")
    picture(tmp_path / "misc/b.png")
    (tmp_path / "real/notes.txt").write_text("no picture")
    entries = list(read_source("folders", tmp_path))
    assert Unusable("misc/b.png", "no folder above it tells its label") in entries
    assert len(entries) == 2


@pytest.mark.parametrize("annotations", ["annotations", "annoations"])
def test_synthscars_joins_the_ids_of_an_image(tmp_path: Path, annotations: str) -> None:
    hand = {"sentence": "hand", "explanation": "six fingers.", "segmentation": [[1, 2, 9, 2, 9, 12], [1, 2, 3, 4]]}
    eyes = {"sentence": "eyes", "explanation": "", "segmentation": [[20, 5, 30, 5, 30, 9, 20, 9], [5, 5, 5, 5, 5, 5]]}
    document = [
        {"0": {"img_file_name": "a.png", "caption": "A person.", "refs": [hand]}},
        {"1": {"img_file_name": "a.png", "caption": "Again.", "refs": [eyes]}},
        {"2": {"img_file_name": "b.png", "caption": "", "refs": []}},
        {"3": {"caption": "lost"}},
    ]
    written(tmp_path / "train" / annotations / "train.json", document)
    entries = list(read_source("synthscars", tmp_path))
    a, b = (entry for entry in entries if isinstance(entry, Labelled))
    assert a.image == tmp_path / "train" / "images" / "a.png"
    assert (a.label, a.explanation, a.notes) == (GENERATED, "A person.", ("six fingers.", "eyes"))
    assert a.regions == (Region(Box(1, 2, 9, 12), "hand"), Region(Box(20, 5, 30, 9), "eyes"))
    assert b.regions == ()
    assert [entry.problem for entry in entries if isinstance(entry, Unusable)] == ["an entry has no img_file_name"]


@pytest.mark.parametrize("folder", ["test", "test/test", "."])
def test_fakeclue_says_one_for_real(tmp_path: Path, folder: str) -> None:
    name = picture(tmp_path / folder / "deepfake/a.png").relative_to(tmp_path / folder).as_posix()
    asked = {"from": "human", "value": "<image>Is it?"}
    document = [
        {
            "image": name,
            "label": 1,
            "cate": "deepfake",
            "conversations": [asked, {"from": "gpt", "value": "A photo. "}],
        },
        {"image": name, "label": 0, "cate": "deepfake", "conversations": []},
        {"image": name, "label": "fake"},
    ]
    written(tmp_path / "data_json/test.json", document)
    real, fake, bad = read_source("fakeclue", tmp_path)
    assert isinstance(real, Labelled)
    assert (real.label, real.source, real.explanation) == (REAL, "fakeclue/deepfake", "A photo.")
    assert real.image == tmp_path / folder / name
    assert isinstance(fake, Labelled)
    assert (fake.label, fake.explanation) == (GENERATED, "")
    assert isinstance(bad, Unusable)


def test_mmfr_reads_attributes_in_order_and_the_training_set(tmp_path: Path) -> None:
    for path in ("flux/0_real/x.png", "flux/1_fake/y.png"):
        picture(tmp_path / "evaluation_sets" / path)
    texts = {"flux/1_fake/y": {"texture": "Too smooth.", "anatomy": "Six fingers.", "light": None}, "flux/0_real/x": {}}
    written(tmp_path / "evaluation_sets/flux_reasoning.json", texts)
    said = [{"from": "gpt", "value": "It is fake."}]
    training = [{"image": "train/sd/1_fake/z.png", "conversations": said}, {"image": "train/unknown/z.png"}]
    written(tmp_path / "forgery_reasoning_cot.json", training)
    x, y, z, bad = read_source("mmfr", tmp_path)
    assert isinstance(x, Labelled)
    assert isinstance(y, Labelled)
    assert isinstance(z, Labelled)
    assert (x.label, x.explanation) == (REAL, "")
    assert (y.label, y.generator, y.explanation) == (GENERATED, "flux", "Six fingers. Too smooth.")
    assert (z.label, z.explanation) == (GENERATED, "It is fake.")
    assert isinstance(bad, Unusable)


def test_mmtd_boxes_what_the_mask_marks(tmp_path: Path) -> None:
    folder = tmp_path / "photoshop" / "casia"
    picture(folder / "image/a.jpg", (60, 40))
    picture(folder / "image/b.jpg")
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 10:20] = mask[20:38, 30:58] = 255
    mask[0, 0] = 255  # noise
    (folder / "mask").mkdir()
    Image.fromarray(mask).save(folder / "mask/a.png")
    a, b = read_source("mmtd", tmp_path)
    assert isinstance(a, Labelled)
    assert (a.label, a.source) == (GENERATED, "mmtd/photoshop/casia")
    assert [region.box.xyxy for region in a.regions] == [(30, 20, 58, 38), (10, 5, 20, 15), (0, 0, 1, 1)]
    assert b == Unusable("photoshop/casia/image/b.jpg", "has no mask of the same name")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("folders", "expected folders named"),
        ("synthscars", "train/annotations/train.json"),
        ("fakeclue", "data_json/train.json"),
        ("mmfr", "evaluation_sets/ or"),
        ("mmtd", "photoshop/, deepfake/ or aigc"),
        ("manifest", r"manifest\.jsonl, as trace synth"),
        ("loki", "expected one of real, generated"),
    ],
)
def test_a_folder_of_another_layout_is_refused(tmp_path: Path, kind: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        list(read_source(kind, tmp_path))


@pytest.mark.parametrize("content", [b"not json", b"{}", b"\xff\xfe\x00", b"[" * 100_000])
def test_an_annotation_file_that_is_none_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data_json").mkdir()
    (tmp_path / "data_json/train.json").write_bytes(content)
    with pytest.raises(SourceError, match=r"train\.json"):
        list(read_source("fakeclue", tmp_path))


def test_utf_16_is_read_too(tmp_path: Path) -> None:
    written(tmp_path / "data_json/train.json", [{"image": "ü.png", "label": 1}], "utf-16")
    (entry,) = read_source("fakeclue", tmp_path)
    assert isinstance(entry, Labelled)
    assert entry.image.name == "ü.png"


def test_a_manifest_comes_in_as_it_went_out(tmp_path: Path) -> None:
    """Also its explanation, whose numbers are the regions'."""
    write_dataset(tmp_path / "in", 6, 3)
    path = tmp_path / "in/manifest.jsonl"
    before = [line.sample for line in read_manifest(path)]
    with path.open("a") as lines:
        lines.write("no sample\n")
    entries = list(read_source("manifest", tmp_path / "in"))
    assert [e for e in entries if isinstance(e, Unusable)] == [entries[-1]]
    after = collect(entries, tmp_path / "out").samples
    told_of = [(s.sha256, s.label, s.generator, s.source, s.explanation, s.regions) for s in before]
    assert [(s.sha256, s.label, s.generator, s.source, s.explanation, s.regions) for s in after] == told_of
