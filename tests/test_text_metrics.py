"""BLEU and ROUGE-L against hand-made values and the libraries that others use."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from sacrebleu.metrics.bleu import BLEU

from lte_core.text_metrics import bleu, rouge_l, tokens

WORDS = ("six", "fingers", "on", "the", "left", "hand", ",", "a", "seam", ".", "garbled", "letters")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)


@pytest.mark.parametrize(
    ("text", "reference", "bleu1", "bleu2", "rouge"),
    [
        ("six fingers", "six fingers", 1, 1, 1),
        ("Six Fingers.", "six fingers .", 1, 1, 1),
        ("", "six fingers", 0, 0, 0),
        ("six fingers", "", 0, 0, 0),
        # 3 of 4 words, 1 of 3 pairs ("the hand"), as long as the reference.
        ("the hand is melted", "the hand melted away", 3 / 4, math.sqrt(3 / 4 * 1 / 3), 3 / 4),
        # Both words are there, one pair of one; the reference is twice as long: exp(1 - 4 / 2).
        ("six fingers", "six fingers are here", math.exp(-1), math.exp(-1), 2 * 2 / 6),
        ("fingers six", "six fingers", 1, None, 1 / 2),
    ],
)
def test_hand_made_values(text: str, reference: str, bleu1: float, bleu2: float | None, rouge: float) -> None:
    assert bleu(text, reference, 1) == pytest.approx(bleu1)
    if bleu2 is not None:
        assert bleu(text, reference, 2) == pytest.approx(bleu2)
    assert rouge_l(text, reference) == pytest.approx(rouge)


@given(TEXTS, TEXTS)
def test_they_are_the_libraries(text: str, reference: str) -> None:
    if text and reference:
        library = BLEU(lowercase=True, max_ngram_order=2, effective_order=True)
        assert bleu(text, reference) == pytest.approx(library.sentence_score(text, [reference]).score / 100)

    class SameTokens:
        def tokenize(self, words: str) -> list[str]:
            return tokens(words)

    scorer = rouge_scorer.RougeScorer(["rougeL"], tokenizer=SameTokens())
    assert rouge_l(text, reference) == pytest.approx(scorer.score(reference, text)["rougeL"].fmeasure)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_texts_score_between_nothing_and_all(text: str, reference: str) -> None:
    for value in (bleu(text, reference, 1), bleu(text, reference, 2), rouge_l(text, reference)):
        assert 0 <= value <= 1
    if tokens(text):
        assert rouge_l(text, text) == 1
