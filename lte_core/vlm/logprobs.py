"""P(generated) out of the token log-probabilities that an OpenAI-compatible server lists beside a reply.

Pure. Nothing is calibrated here, and no reply is judged readable or not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lte_core.schema import Verdict

_TAG = re.compile(r"<\s*verdict\s*>", re.IGNORECASE | re.ASCII)
_AROUND_A_WORD = " \t\r\n\"'*▁Ġ"  # quotes, bold, and the space marks of tokenizers that servers let through


class Token(NamedTuple):
    """One written token, and the log-probability of every continuation that was listed at its place."""

    text: str
    options: Mapping[str, float]


def tokens_of(choice: object) -> Iterator[Token]:
    """The tokens in one choice of a chat chunk; none where the server leaves them out or garbles them."""
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    for written in content if isinstance(content, list) else ():
        listed = [*(getattr(written, "top_logprobs", None) or ()), written]
        pairs = [(getattr(option, "token", None), getattr(option, "logprob", None)) for option in listed]
        # Up to 0.01: a log-softmax may round to a hair above 0. NaN fails the comparison.
        options = {t: p for t, p in pairs if isinstance(t, str) and isinstance(p, int | float) and p < 0.01}
        yield Token(str(getattr(written, "token", "")), options)


def p_generated(tokens: Sequence[Token]) -> float | None:
    """P(generated) in [0, 1]: a two-way softmax over "real" and "generated" where the verdict begins.

    Tokens keep to neither the tag (">real") nor the words ("gener" + "ated"): a listed continuation counts
    for the word that it begins. A word that is not listed gets the least listed probability, the most that
    it can have. None without a verdict, or without alternatives there.
    """
    starts = [tag.end() for tag in _TAG.finditer("".join(token.text for token in tokens))]
    if not starts:
        return None
    start, end = starts[-1], 0  # the last one counts, as it does for the reply's reader
    for token in tokens:
        begin, end = end, end + len(token.text)
        rest_of_tag = token.text[: max(0, start - begin)]
        if end > start and _word(token.text, rest_of_tag):
            return _two_way(token.options, rest_of_tag)
    return None


def _two_way(options: Mapping[str, float], rest_of_tag: str) -> float | None:
    mass = dict.fromkeys(Verdict, 0.0)
    for text, logprob in options.items():
        word = _word(text, rest_of_tag)
        for verdict in Verdict:
            if word and (verdict.startswith(word) or word.startswith(verdict)):
                mass[verdict] += math.exp(logprob)
    if len(options) < 2 or not any(mass.values()):
        return None
    unlisted = math.exp(min(options.values()))
    real, generated = (mass[verdict] or unlisted for verdict in (Verdict.REAL, Verdict.GENERATED))
    return generated / (real + generated)


def _word(text: str, rest_of_tag: str) -> str:
    """What a token says after the end of the tag that it carries; "" where it carries another beginning."""
    return text[len(rest_of_tag) :].strip(_AROUND_A_WORD).lower() if text.startswith(rest_of_tag) else ""
