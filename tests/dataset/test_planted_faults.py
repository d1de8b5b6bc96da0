"""The planted-fault benchmark: faults are planted as said, and the rules of geometry find theirs."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lte_core.commands.trace import app
from lte_core.dataset.audit import FAULTS, Planted, Scene, faithful, own_drops, plant, score
from lte_core.dataset.candidates import Candidate
from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.purify import PurifyConfig, Rule, purify
from lte_core.dataset.similarity import MINILM, SimilarityError, load_embedder
from lte_core.dataset.synth import read_objects, write_dataset


class Oracle:
    """Knows which pairs were planted as contradictions: leaves the other rules to be judged alone."""

    name = "oracle"

    def __init__(self, planted: Sequence[Planted]) -> None:
        self._planted = planted

    def similarities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [0.0 if (Rule.SIMILARITY, None, None) in p.faults else 1.0 for p in self._planted]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    folder = tmp_path_factory.mktemp("synth")
    samples = [line.sample for line in read_manifest(write_dataset(folder, 160, 3, plain_share=0.0))]
    return list(zip(samples, read_objects(folder), strict=True))


def test_every_fault_is_planted_alike_and_one_in_nine_has_none(scenes: list[Scene]) -> None:
    planted = plant(scenes, 0)
    assert len(planted) == len(scenes)
    rules = Counter(rule for item in planted for rule, _, _ in item.faults)
    assert set(rules) == set(Rule)
    assert sum(not item.faults for item in planted) == len(scenes) // (len(FAULTS) + 1)
    assert plant(scenes, 0) == planted
    assert plant(scenes, 1) != planted


def test_what_careful_experts_say_is_kept_whole(scenes: list[Scene]) -> None:
    rng = random.Random(5)
    dropped = [purify(faithful(rng, *scene), 1.0).drops for scene in scenes]
    assert sum(map(bool, dropped)) <= len(scenes) // 50


def test_each_rule_finds_its_own_faults(scenes: list[Scene]) -> None:
    planted = plant(scenes, 0)
    for rule, found in score(planted, Oracle(planted)).items():
        assert found.n >= 15
        assert found.precision is not None
        assert found.recall is not None
        assert min(found.precision, found.recall) >= 0.9, (rule, found)


def test_a_rule_that_is_switched_off_finds_nothing(scenes: list[Scene]) -> None:
    planted = plant(scenes, 0)
    blind = score(planted, Oracle(planted), PurifyConfig(max_area=1.0, max_subject_iou=1.1))
    assert (blind[Rule.AREA].precision, blind[Rule.AREA].recall) == (None, 0)
    assert blind[Rule.SUBJECT].recall == 0


def test_boxes_that_went_with_their_sample_are_nobodys_find(scenes: list[Scene]) -> None:
    careful: Candidate = faithful(random.Random(1), *scenes[0])
    assert own_drops(purify(careful, 0.0).drops) == {(Rule.SIMILARITY, None, None)}


@pytest.mark.slow
def test_minilm_tells_other_evidence_from_other_words() -> None:
    judge = load_embedder(MINILM)
    same, other = judge.similarities(
        [
            ("The sign's letters are garbled and form no words.", "The lettering on the sign is malformed, not text."),
            (
                "The sign's letters are garbled and form no words.",
                "Two highlights on the kettle contradict each other.",
            ),
        ]
    )
    assert same > 0.6 > other


def test_tfidf_counts_shared_words() -> None:
    same, some, none = load_embedder("tfidf").similarities([("a b c", "a b c"), ("a b c", "a x y"), ("a b", "x y")])
    assert same == pytest.approx(1)
    assert same > some > none == 0
    assert load_embedder("tfidf").similarities([]) == []


def test_an_encoder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SimilarityError, match="--embedder tfidf"):
        load_embedder(str(tmp_path / "nothing"))


def test_the_command_prints_what_scripts_read() -> None:
    arguments = ["audit", "--count", "18", "--embedder", "tfidf", "--min-similarity", "0", "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    rules = json.loads(done.stdout)["rules"]
    assert set(rules) == {rule.value for rule in Rule}
    assert all(set(found) == {"precision", "recall", "n"} for found in rules.values())
