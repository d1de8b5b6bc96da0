"""BLEU and ROUGE-L of one explanation against its reference: one implementation for rewards and evaluation.

Both read the same tokens: sacrebleu's "13a" (mteval-v13a: punctuation apart) on lower-cased text. The tokenisation
moves the score by up to 0.08, so it is named wherever a score is shown. Pure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

TOKENISATION = "sacrebleu 13a, lower case"


def bleu(text: str, reference: str, order: int = 2) -> float:
    """Sentence BLEU up to n-grams of `order`, in [0, 1] (Papineni et al. 2002; LTE, R_BLEU with order 2).

    The geometric mean of the n-gram precisions times the brevity penalty exp(1 - r/c) for a text of c tokens that is
    shorter than the reference's r; sacrebleu's exponential smoothing, and only the orders that so short a text has.
    """
    if not text.strip() or not reference.strip():
        return 0.0
    score: float = _bleu(order).sentence_score(text, [reference]).score
    return min(1.0, score / 100)


@lru_cache
def _bleu(order: int) -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(lowercase=True, max_ngram_order=order, effective_order=True)


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L F1, in [0, 1] (Lin 2004): with L the longest common subsequence of tokens, P = L / |text|,
    R = L / |reference|, and 2PR / (P + R)."""
    ours, theirs = tokens(text), tokens(reference)
    common = _longest_common(ours, theirs)
    if not common:
        return 0.0
    return 2 * common / (len(ours) + len(theirs))


def tokens(text: str) -> list[str]:
    """The tokens that both scores are made of."""
    words: list[str] = _tokenizer()(text.lower()).split()
    return words


@lru_cache
def _tokenizer():  # type: ignore[no-untyped-def]
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    return Tokenizer13a()


def _longest_common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, in O(|a| |b|) steps and O(|b|) memory."""
    row = [0] * (len(b) + 1)
    for word in a:
        above = 0
        for place, other in enumerate(b, 1):
            here = row[place]
            row[place] = above + 1 if word == other else max(here, row[place - 1])
            above = here
    return row[-1]
