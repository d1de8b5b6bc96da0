"""The two forms of reply as grammars that constrain decoding, so that every reply can be read.

A mask per token comes from llguidance; the model still chooses everything that the form leaves open.
Reading a reply is `replies.py`'s work, which never assumes that this was used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lte_core.vlm.base import Query

if TYPE_CHECKING:
    import torch

MAX_REGIONS = 8
MAX_EXPLANATION_CHARS = 1500

_EXPLANATION = rf"<explanation>[^<>]{{1,{MAX_EXPLANATION_CHARS}}}</explanation>"
_VERDICT = r"<verdict>(real|generated)</verdict>"
_REGION = r'\{"bbox_2d": ?\[\d{1,4}, ?\d{1,4}, ?\d{1,4}, ?\d{1,4}\], ?"label": ?"[^"\\<>\n]{1,60}"\}'

REPLY_FORMS: dict[Query, str] = {
    Query.LOCATE: rf"{_EXPLANATION}<boxes>\[({_REGION}(, ?{_REGION}){{0,{MAX_REGIONS - 1}}})?\]</boxes>{_VERDICT}",
    Query.EXAMINE: _EXPLANATION + _VERDICT,
}


class ReplyConstraint:
    """Keeps a batch of growing replies inside their form.

    `mask(logits)` edits `[rows, vocabulary]` float logits in place; `accept(tokens)` takes the chosen ones
    and says for each row whether its reply is complete. A complete row's mask means nothing any more.
    """

    def __init__(self, guide: Any, queries: Sequence[Query]) -> None:
        import llguidance
        import llguidance.torch

        self._bits = llguidance.torch
        grammar = llguidance.LLMatcher.grammar_from_regex
        self._matchers = [llguidance.LLMatcher(guide, grammar(REPLY_FORMS[query])) for query in queries]
        self._bitmask = self._bits.allocate_token_bitmask(len(queries), guide.vocab_size)

    def mask(self, logits: torch.Tensor) -> None:
        for row, matcher in enumerate(self._matchers):
            if not matcher.is_stopped():
                self._bits.fill_next_token_bitmask(matcher, self._bitmask, row)
        self._bits.apply_token_bitmask_inplace(logits, self._bitmask.to(logits.device))

    def accept(self, tokens: Sequence[int]) -> list[bool]:
        for matcher, token in zip(self._matchers, tokens, strict=True):
            if not matcher.is_stopped():
                matcher.consume_token(token)
        return [matcher.is_stopped() for matcher in self._matchers]


def make_guide(tokenizer: Any, vocab_size: int, eos: int) -> Any:
    """llguidance's view of a tokenizer, built once per model; `vocab_size` is the width of the logits."""
    import llguidance.hf

    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocab_size, eos_token=eos)
