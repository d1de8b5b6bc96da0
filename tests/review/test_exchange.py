"""Samples into the review and out of it again: complete, repeatable, and with every loss accounted for."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lte_core.dataset.manifest import BadLine, read_manifest, to_line, write_manifest
from lte_core.images import measure_image
from lte_core.schema import Box, Region, Size, TraceSample, Verdict
from review.crops import CutAhead
from review.export import FORMATS, ExportConfig, ExportError, export
from review.formats import Draft, from_coco, from_label_studio
from review.importing import Imported, ImportProblem, import_samples
from review.media import Media, MediaError
from review.records import Action, Content, Filter, Reason, State, Submission
from tests.review.conftest import Desk

SIZE = Size(200, 120)


@dataclass
class Place:
    """A desk with its images, and a folder with a manifest of samples on disk."""

    work: Desk
    media: Media
    folder: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.jsonl"

    def write(self, count: int, **changes: Any) -> list[TraceSample]:
        samples = []
        for number in range(count):
            path = self.folder / "images" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE, (number % 256, 90, 40)).save(path)
            region = Region(Box(10.5, 20, 110, 80.25), "left hand")
            samples.append(
                TraceSample(
                    f"s{number:04d}", f"images/{number}.png", measure_image(path).sha256, *SIZE, Verdict.GENERATED,
                    "[1] six fingers", (region,), "test", "gpt-image-1", "train",
                    annotation={"similarity": 0.8, "dropped": [{"bbox": [0, 0, 190, 110], "reason": "area"}]},
                )
            )  # fmt: skip
        write_manifest(self.manifest, [replace(sample, **changes) for sample in samples])
        return samples

    def load(self, **options: Any) -> tuple[Imported, list[BadLine]]:
        bad: list[BadLine] = []
        return import_samples(self.manifest, self.work.store, self.media, report=bad.append, **options), bad

    def decide(self, *actions: Action) -> None:
        for number, action in enumerate(actions):
            task = self.work.store.next(self.work.ana)
            assert task is not None
            content = replace(task.content, explanation="[1] five fingers, one too thick")
            reason = Reason.NO_EVIDENCE if action is Action.REJECT else None
            self.work.store.decide(
                self.work.ana, Submission(task.id, task.version, action, f"d{number}", content, reason)
            )
            self.work.clock.forward(10)


@pytest.fixture
def place(work: Desk, tmp_path: Path) -> Place:
    return Place(work, Media(tmp_path / "data" / "images"), tmp_path / "in")


# -- into the review


def test_an_import_is_whole_and_the_same_again_does_nothing(place: Place) -> None:
    samples = place.write(5)
    lines: list[int] = []
    assert place.load(progress=lines.append) == (Imported(new=5), [])
    assert place.load() == (Imported(known=5), [])
    assert lines == [5]
    row = next(place.work.store.rows())
    assert (row.sample_id, row.size, row.annotation["similarity"]) == ("s0000", SIZE, 0.8)
    assert row.proposed == Content(samples[0].label, samples[0].explanation, samples[0].regions)
    place.media.check(row.sha256, row.suffix)


def test_an_interrupted_import_goes_on(place: Place) -> None:
    samples = place.write(450)

    def stop(lines: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.load(progress=stop)
    assert place.work.store.counts().total == 200
    assert place.load() == (Imported(new=250, known=200), [])
    assert [row.sample_id for row in place.work.store.rows()] == [sample.id for sample in samples]


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "image missing": ({"image": "images/none.png"}, "does not exist"),
    "outside the folder": ({"image": "../../secret.png"}, "leaves the folder"),
    "absolute path": ({"image": "/etc/passwd"}, "leaves the folder"),
    "null in the path": ({"image": "a\0b"}, "cannot be used"),
    "no image": ({"image": "manifest.jsonl"}, "not a picture"),
    "another image": ({"sha256": "0" * 64}, "the image is another one"),
    "another size": ({"width": 201}, "the sample says 201 x 120 px, the image has 200 x 120"),
    "box too small": ({"regions": (Region(Box(1, 1, 3, 9), "x"),)}, "under 4 px"),
    "no label": ({"regions": (Region(Box(1, 1, 30, 9), " "),)}, "has no label"),
    "no explanation": ({"explanation": ""}, "explanation is empty"),
    "endless explanation": ({"explanation": "x" * 5000}, "at most 4000"),
    "endless id": ({"id": "x" * 201}, "the id has 201 characters"),
}


@pytest.mark.parametrize(("changes", "says"), BROKEN.values(), ids=BROKEN)
def test_bad_lines_are_told_and_the_good_ones_go_in(place: Place, changes: dict[str, Any], says: str) -> None:
    good, other = place.write(2)
    place.manifest.write_text(f"{to_line(good)}\n{to_line(replace(other, **changes))}\n\nnonsense\n")
    done, bad = place.load()
    assert done == Imported(new=1, bad=2)
    assert [line.number for line in bad] == [2, 4]
    assert says in bad[0].problem


def test_a_file_that_is_none_is_a_problem(place: Place, tmp_path: Path) -> None:
    for name, text in (("missing.jsonl", None), ("bad.json", "{"), ("text.json", '"hello"'), ("no-coco.json", "{}")):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(ImportProblem, match=name.partition(".")[0]):
            import_samples(path, place.work.store, place.media)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photo_is_shown_upright(place: Place, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = place.folder / "turned.jpg"
    path.parent.mkdir()
    Image.new("RGB", (200, 120)).save(path, exif=exif)
    kept = place.media.keep(path)
    size = (120, 200) if orientation > 4 else (200, 120)
    assert kept.measured.size == size
    data, kind = place.media.shown(kept.measured.sha256, kept.suffix)
    assert kind == ("image/jpeg" if orientation == 1 else "image/png")
    assert measure_image(data).size == size


def test_an_image_that_was_changed_or_is_gone_is_said(place: Place) -> None:
    place.write(1)
    place.load()
    row = next(place.work.store.rows())
    path = place.media.path(row.sha256, row.suffix)
    path.write_bytes(b"changed")
    with pytest.raises(MediaError, match="was changed on disk"):
        place.media.shown(row.sha256, row.suffix)
    path.unlink()
    with pytest.raises(MediaError, match="is missing"):
        place.media.check(row.sha256, row.suffix)


# -- out of it


def exported(place: Place, name: str = "out", **options: Any) -> Path:
    out = place.folder.parent / name
    options.setdefault("formats", FORMATS)
    export(place.work.store, place.media, out, ExportConfig(**options))
    return out


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_out_and_exclusions_are_rows_in(place: Place) -> None:
    place.write(7)
    place.load()
    place.decide(Action.ACCEPT, Action.FIX, Action.REJECT, Action.SKIP, Action.ACCEPT)
    gone = next(row for row in place.work.store.rows() if row.state is State.ACCEPTED)
    place.media.path(gone.sha256, gone.suffix).unlink()
    out = exported(place)
    account = json.loads((out / "EXPORT.json").read_text())
    assert account["samples"] == {"in": 7, "written": 2}
    assert account["excluded_by_reason"] == {"image": 1, "not reviewed": 3, "rejected": 1}
    reasons = {entry["id"]: entry["reason"] for entry in account["excluded"]}
    assert len(reasons) == 5
    assert "rejected: no visible evidence" in reasons.values()
    written = [line.sample for line in read_manifest(out / "manifest.jsonl")]
    assert {s.id for s in written} | set(reasons) == {f"s{i:04d}" for i in range(7)}
    reviews = [sample.review for sample in written]
    assert [(r.decision, r.annotator, r.revision) for r in reviews if r] == [("fix", "ana", 2), ("accept", "ana", 1)]
    assert written[0].explanation == "[1] five fingers, one too thick"
    for sample in written:
        assert measure_image(out / sample.image).sha256 == sample.sha256


def test_the_same_database_gives_the_same_bytes(place: Place) -> None:
    place.write(4)
    place.load()
    place.decide(Action.ACCEPT, Action.FIX, Action.REJECT)
    first, second = exported(place, "first"), exported(place, "second")
    shutil.rmtree(place.media.folder / "crops")
    third = exported(place, "third")
    files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert len(files) > 8
    for other in (second, third):
        assert files == sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file())
        assert all((first / file).read_bytes() == (other / file).read_bytes() for file in files)


def test_each_trainer_gets_its_own_form(place: Place) -> None:
    place.write(1)
    place.load()
    place.decide(Action.ACCEPT)
    out = exported(place)
    locate, examine = read_lines(out / "sft" / "trl.jsonl")
    for row in (locate, examine):
        parts = [part["type"] for part in row["prompt"][0]["content"]]
        assert parts == ["image"] * len(row["images"]) + ["text"]
        assert all((out / image).is_file() for image in row["images"])
    # 200 x 120 px is shown as 196 x 112 (multiples of 28), and boxes refer to that
    assert '"bbox_2d":[10,19,108,75]' in locate["completion"][0]["content"][0]["text"]
    assert measure_image(out / examine["images"][1]).size == (120, 74)  # the box with a tenth on every side
    factory = read_lines(out / "sft" / "llama-factory.jsonl")
    assert [m["messages"][0]["content"].count("<image>") for m in factory] == [1, 2]
    info = json.loads((out / "dataset_info.json").read_text())["lte_reviewed"]
    assert (out / info["file_name"]).is_file()
    swift = read_lines(out / "sft" / "ms-swift.jsonl")
    assert swift[0]["objects"] == {"ref": ["left hand"], "bbox": [[10.5, 20, 110, 80.25]]}
    assert '<boxes>[{"bbox_2d":<bbox>,"label":"<ref-object>"}]</boxes>' in swift[0]["messages"][1]["content"]
    assert "objects" not in swift[1]


def test_label_studio_and_coco_come_back_as_they_went(place: Place) -> None:
    place.write(3)
    place.load()
    place.decide(Action.ACCEPT, Action.ACCEPT, Action.ACCEPT)
    out = exported(place)
    written = [line.sample for line in read_manifest(out / "manifest.jsonl")]
    tasks = json.loads((out / "label-studio.json").read_text())
    coco = json.loads((out / "coco.json").read_text())
    for drafts in (list(from_label_studio(tasks)), list(from_coco(coco))):
        assert [d.id for d in drafts if isinstance(d, Draft)] == [s.id for s in written]
        for draft, sample in zip(drafts, written, strict=True):
            assert isinstance(draft, Draft)
            assert (draft.content.label, draft.content.explanation) == (sample.label, sample.explanation)
            assert (draft.image, draft.generator, draft.split) == (sample.image, sample.generator, sample.split)
            for a, b in zip(draft.content.regions, sample.regions, strict=True):
                assert a.label == b.label
                assert a.box.xyxy == pytest.approx(b.box.xyxy)
    # and both can be imported as they are, under ids that are known
    for name in ("label-studio.json", "coco.json"):
        assert import_samples(out / name, place.work.store, place.media) == Imported(known=3)


def test_crops_are_cut_when_a_decision_is_saved_and_an_export_only_links_them(place: Place) -> None:
    place.write(3)
    place.load()
    place.decide(Action.ACCEPT, Action.FIX, Action.REJECT)
    ahead = CutAhead(place.work.store, place.media)
    assert [ahead(task).result(20) for task in (1, 2, 3)] == [1, 1, 0]
    kept = sorted((place.media.folder / "crops").rglob("*.png"))
    assert len(kept) == 2
    written = {path: path.stat().st_mtime_ns for path in kept}
    out = exported(place)
    assert {path: path.stat().st_mtime_ns for path in kept} == written
    assert sorted(path.stat().st_ino for path in (out / "crops").rglob("*.png")) == sorted(
        p.stat().st_ino for p in kept
    )
    row = place.work.store.exported(1)
    place.media.path(row.sha256, row.suffix).unlink()
    shutil.rmtree(place.media.folder / "crops")
    assert ahead(1).result(20) == 0, "a missing image is the export's to tell"


def test_an_export_is_never_mixed_with_another(place: Place) -> None:
    place.write(1)
    place.load()
    exported(place, "out")
    with pytest.raises(ExportError, match="Name a new folder"):
        exported(place, "out")


def test_a_filter_is_recorded_and_held(place: Place) -> None:
    place.write(2)
    place.load()
    place.decide(Action.ACCEPT, Action.ACCEPT)
    out = exported(place, wanted=Filter(label=Verdict.REAL))
    account = json.loads((out / "EXPORT.json").read_text())
    assert (account["samples"]["in"], account["filter"]["label"]) == (0, "real")
    assert json.loads((out / "label-studio.json").read_text()) == []


def test_an_export_is_read_by_training_as_it_is(place: Place) -> None:
    """Through `datasets` and lte-nano's own processor: image parts and images match, boxes are in the model's frame."""
    from datasets import Dataset

    from lte_core.inference.checkpoint import Checkpoint
    from lte_core.inference.load import find
    from lte_core.training.config import SftConfig
    from lte_core.training.lessons import read_data
    from lte_core.training.sft import Lessons
    from lte_core.vlm.processor import load_processor

    place.write(2)
    place.load()
    place.decide(Action.ACCEPT, Action.FIX)
    out = exported(place)
    nano = find("lte-nano")
    checkpoint, processor = Checkpoint.load(nano), load_processor(nano)
    rows = Lessons(read_data(out).train, checkpoint, SftConfig())
    stored = Dataset.from_list(read_lines(out / "sft" / "trl.jsonl"))
    assert (len(rows), len(stored)) == (4, 4)
    for row in [rows[i] for i in range(4)]:
        text = processor.apply_chat_template(row["prompt"], add_generation_prompt=True)
        inputs = processor(text=[text], images=row["images"], return_tensors="pt")
        assert len(inputs["image_grid_thw"]) == len(row["images"])
        assert text.count("<|image_pad|>") == len(row["images"])
    first = rows[0]["completion"][0]["content"][0]["text"]
    assert '"bbox_2d":[8,40,120,152]' in first  # of 224 px, in steps of 8
