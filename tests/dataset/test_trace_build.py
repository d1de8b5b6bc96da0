"""From labelled images to reviewed samples: one command, killed anywhere, gives what an undisturbed run gives."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from lte_core.dataset.build import Experts as Names
from lte_core.dataset.build import Similarities, Source, only_candidates, purify_folder
from lte_core.dataset.candidates import Candidate
from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.purify import PurifyConfig, purify
from lte_core.dataset.similarity import Tfidf
from tests.dataset.commands import trace
from tests.dataset.expert_server import KEY, Experts, completion, scenes, serving, truth_of

COUNT = 10
ROOT = Path(__file__).parents[2]
TFIDF = ("--embedder", "tfidf", "--min-similarity", "0.1")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("scenes"), COUNT, seed=5)


@pytest.fixture(scope="module")
def truth(drawn: Path) -> dict[str, Candidate]:
    return truth_of(drawn)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GROUNDER_API_KEY", KEY)


@pytest.fixture
def experts(truth: dict[str, Candidate]) -> Iterator[Experts]:
    with serving(Experts(truth)) as running:
        yield running


def building(drawn: Path, out: Path, experts: Experts) -> list[str]:
    urls = ["--explainer-url", experts.url, "--grounder", "qwen", "--grounder-url", experts.url]
    return ["build", "--from", f"manifest:{drawn}", "--out", str(out), *urls, "--concurrency", "2", *TFIDF]


@pytest.fixture
def built(drawn: Path, experts: Experts, tmp_path: Path) -> Path:
    done = trace(*building(drawn, tmp_path / "trace", experts))
    assert done.exit_code == 0, done.output
    return tmp_path / "trace"


def test_what_is_built_is_what_purification_makes_of_the_experts_words(
    built: Path, truth: dict[str, Candidate]
) -> None:
    source = Source(built, Names.load(built))
    candidates = {candidate.sample.sha256: candidate for candidate in only_candidates(source)}
    assert len(candidates) == COUNT
    for told in truth.values():
        found = candidates[told.sample.sha256]
        assert found.accounts == told.accounts
        for ours, theirs in zip(found.groundings, told.groundings, strict=True):
            assert [(box.label, box.clue) for box in ours.boxes] == [(box.label, box.clue) for box in theirs.boxes]
            for box, meant in zip(ours.boxes, theirs.boxes, strict=True):
                # Half a pixel of the model's view, which is as large as the scene here.
                assert box.box.xyxy == pytest.approx(meant.box.xyxy, abs=0.51)
    cosines = Similarities(built, Tfidf()).of(candidates.values())
    expected = [
        purify(c, cosine, PurifyConfig(min_similarity=0.1)).sample
        for c, cosine in zip(candidates.values(), cosines, strict=True)
    ]
    written = [line.sample for line in read_manifest(built / "purified.jsonl")]
    assert written == [sample for sample in expected if sample is not None]
    assert len(written) >= COUNT / 2
    for sample in written:
        assert sample.regions
        assert (sample.annotation["explainer"], sample.annotation["grounder"]) == ("gpt-4o", "qwen")
        assert sample.annotation["reference"]["explanation"]


def test_every_sample_is_kept_or_has_its_reason(built: Path) -> None:
    kept = [line.sample.id for line in read_manifest(built / "purified.jsonl")]
    dropped = [json.loads(line) for line in (built / "dropped.jsonl").read_text().splitlines()]
    collected = [line.sample.id for line in read_manifest(built / "manifest.jsonl")]
    assert sorted(kept + [record["id"] for record in dropped]) == sorted(collected)
    counts = json.loads((built / "purified.json").read_text())["counts"]
    samples, boxes = counts["samples"], counts["boxes"]
    assert samples["in"] == samples["kept"] + sum(samples["dropped"].values()) == COUNT
    assert boxes["in"] == 2 * boxes["kept"] + sum(boxes["dropped"].values())
    assert (samples["kept"], len(dropped)) == (len(kept), COUNT - len(kept))


def test_a_refused_sample_is_dropped_by_name(drawn: Path, experts: Experts, tmp_path: Path) -> None:
    refused: list[str] = []

    def fault(number: int) -> object:
        url = experts.bodies[-1]["messages"][0]["content"][0]["image_url"]["url"]
        refused[:] = refused or [url]
        return completion(None, refusal="I'm sorry.") if url == refused[0] else None

    experts.fault = fault  # type: ignore[assignment]
    done = trace(*building(drawn, tmp_path / "trace", experts))
    assert done.exit_code == 3
    dropped = [json.loads(line) for line in (tmp_path / "trace/dropped.jsonl").read_text().splitlines()]
    assert [record["pass"] for record in dropped if record["reason"] == "explanation refusal"] == [1]
    assert sum(stage == "ground" for _, stage, _ in experts.answered) == 2 * (COUNT - 1), "nobody grounds a refusal"


@pytest.mark.slow
def test_a_build_that_is_killed_anywhere_comes_to_the_same(
    drawn: Path, experts: Experts, built: Path, tmp_path: Path
) -> None:
    """kill -9 at 20 moments, each time a new process; then once to the end."""
    whole = (built / "purified.jsonl").read_bytes()
    experts.requests, experts.answered, experts.delay_s = 0, [], 0.12
    out, rng, killed = tmp_path / "killed", random.Random(0), 0
    command = [sys.executable, "-m", "lte_core", "trace", *building(drawn, out, experts)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    for _ in range(20):
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before, deadline = experts.requests, time.monotonic() + 60
        # From its first question on (or its end, when all are answered), for up to a few questions more.
        while process.poll() is None and experts.requests == before and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        if process.poll() is None:
            killed += 1
            process.send_signal(signal.SIGKILL)
        process.wait()
    assert killed >= 10
    last = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert (out / "purified.jsonl").read_bytes() == whole
    assert (out / "dropped.jsonl").read_bytes() == (built / "dropped.jsonl").read_bytes()
    in_flight = 2 * killed
    assert 4 * COUNT <= experts.requests <= 4 * COUNT + in_flight
    for stage in ("explanations", "groundings"):
        lines = (out / f"raw/{stage}.jsonl").read_text().splitlines()
        keys = [tuple(json.loads(line)[name] for name in ("sha256", "pass")) for line in lines]
        assert len(keys) == len(set(keys)) == 2 * COUNT


def test_ctrl_c_waits_for_what_was_asked(drawn: Path, experts: Experts, tmp_path: Path) -> None:
    experts.delay_s = 0.2
    out = tmp_path / "trace"
    command = [sys.executable, "-m", "lte_core", "trace", *building(drawn, out, experts)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while experts.requests < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on" in " ".join(said.split())
    assert "Traceback" not in said
    assert len((out / "raw/explanations.jsonl").read_text().splitlines()) == experts.requests, "nothing is paid in vain"
    assert trace(*building(drawn, out, experts)).exit_code == 0
    assert experts.requests == 4 * COUNT


def test_ctrl_c_twice_does_not_wait(drawn: Path, experts: Experts, tmp_path: Path) -> None:
    experts.delay_s = 20
    command = [sys.executable, "-m", "lte_core", "trace", *building(drawn, tmp_path / "trace", experts)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while not experts.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_other_thresholds_need_no_expert(built: Path, experts: Experts) -> None:
    asked = experts.requests
    kept = {}
    for least in ("0.1", "0.99"):
        done = trace(
            "purify", "--data", str(built), "--embedder", "tfidf", "--min-similarity", "0.1", "--min-iou", least
        )
        assert done.exit_code == 0, done.output
        kept[least] = len(list(read_manifest(built / "purified.jsonl")))
    assert kept["0.99"] < kept["0.1"]
    assert experts.requests == asked


def test_a_sweep_shows_what_survives(built: Path) -> None:
    before = (built / "purified.jsonl").read_bytes()
    done = trace("purify", "--data", str(built), *TFIDF, "--sweep")
    assert done.exit_code == 0, done.output
    record = json.loads((built / "sweep.json").read_text())
    curves = {curve["name"]: curve for curve in record["curves"]}
    assert set(curves) == {"min_similarity", "min_iou", "max_area", "max_subject_iou", "max_object_share"}
    for name, curve in curves.items():
        falling = name.startswith("min_")
        for counts in (curve["samples"], curve["boxes"]):
            assert counts == sorted(counts, reverse=falling)
        at = curve["thresholds"].index(curve["chosen"])
        assert curve["samples"][at] == before.count(b"\n")
    assert "<svg" in (built / "sweep.html").read_text()
    assert (built / "purified.jsonl").read_bytes() == before, "a sweep changes nothing"


def test_similarities_are_kept(built: Path) -> None:
    class Counting(Tfidf):
        """Stands for a model; counts the pairs that it is given."""

        name = "counted"
        pairs = 0

        def similarities(self, pairs: object) -> list[float]:
            self.pairs += len(pairs)  # type: ignore[arg-type]
            return [0.123456] * len(pairs)  # type: ignore[arg-type]

    judge = Counting()
    config = PurifyConfig(min_similarity=0.1)
    for _ in range(2):
        counts = purify_folder(Source(built, Names.load(built)), judge, config)
        assert judge.pairs == COUNT
        assert counts.samples_in == COUNT
    with (built / "raw/similarities.jsonl").open("a") as file:
        file.write('{"pair": "torn')
    purify_folder(Source(built, Names.load(built)), judge, config)
    assert judge.pairs == COUNT
    assert {line.sample.annotation["similarity"] for line in read_manifest(built / "purified.jsonl")} == {0.1235}


def test_figures_and_pictures_of_what_was_built(built: Path, tmp_path: Path) -> None:
    done = trace("stats", str(built / "purified.jsonl"), "--json", "--html", str(tmp_path / "stats.html"))
    record = json.loads(done.stdout)
    samples = [line.sample for line in read_manifest(built / "purified.jsonl")]
    assert record["samples"] == len(samples)
    assert record["boxes"] == sum(len(sample.regions) for sample in samples)
    assert sum(record["by_label"].values()) == len(samples)
    assert record["share_with_a_box"] == 1
    assert trace("stats", str(built)).exit_code == 0
    assert all(title in (built / "summary.html").read_text() for title in ("Collect", "Annotate", "Ground", "Purify"))
    for name in (tmp_path / "stats.html", built / "summary.html"):
        text = name.read_text()
        assert "http" not in text.replace("http-equiv", "")
        assert "<script" not in text
    shown = trace("show", str(built / "purified.jsonl"), samples[0].id, "--draw", str(tmp_path / "drawn.png"))
    assert samples[0].explanation in shown.output
    with Image.open(tmp_path / "drawn.png") as picture, Image.open(built / samples[0].image) as original:
        assert picture.size == original.size
        x, y = (round(v) for v in samples[0].regions[0].box.xyxy[2:])
        assert picture.convert("RGB").getpixel((x - 2, y - 2)) != original.convert("RGB").getpixel((x - 2, y - 2))
    assert trace("show", str(built / "purified.jsonl"), "none").exit_code == 2
    assert trace("show", str(tmp_path)).exit_code == 2
    assert trace("stats", str(tmp_path)).exit_code == 2


def test_a_manifest_with_bad_lines_still_has_figures(built: Path) -> None:
    path = built / "purified.jsonl"
    path.write_text(path.read_text() + "nonsense\n")
    done = trace("stats", str(path), "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["bad_lines"][0]["number"] > 1


def test_what_is_built_comes_up_for_review(built: Path, tmp_path: Path) -> None:
    """synth -> collect -> annotate -> ground -> purify -> review import -> the queue."""
    from review.accounts import Accounts
    from review.database import open_database
    from review.store import ReviewStore

    database = f"sqlite:///{tmp_path / 'review.db'}"
    environment = {**os.environ, "LTE_DATA_DIR": str(tmp_path), "LTE_DB_URL": database}
    command = [sys.executable, "-m", "review", "import", str(built / "purified.jsonl")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    engine = open_database(database)
    store, person = ReviewStore(engine), Accounts(engine).add("ana", "correct horse battery")
    task = store.next(person)
    assert task is not None
    samples = {line.sample.id: line.sample for line in read_manifest(built / "purified.jsonl")}
    sample = samples[task.sample_id]
    assert (task.content.explanation, task.content.regions) == (sample.explanation, sample.regions)
    assert task.annotation["similarity"] == sample.annotation["similarity"]
    engine.dispose()
