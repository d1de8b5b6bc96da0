"""The two forms of reply as grammars that constrain decoding, so that every reply can be read.

A mask per token comes from llguidance; the model still chooses everything that the form leaves open.
Reading a reply is `replies.py`'s work, which never assumes that this was used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lte_core.vlm.base import Query

if TYPE_CHECKING:
    import torch

MAX_REGIONS = 8
MAX_EXPLANATION_CHARS = 1500

_EXPLANATION = rf"<explanation>[^<>]{{1,{MAX_EXPLANATION_CHARS}}}</explanation>"
_VERDICT = r"<verdict>(real|generated)</verdict>"
MAX_LABEL_CHARS, SHORT_LABEL_CHARS = 60, 12


def _region(label_chars: int) -> str:
    numbers = r"\d{1,4}, ?\d{1,4}, ?\d{1,4}, ?\d{1,4}"
    return rf'\{{"bbox_2d": ?\[{numbers}\], ?"label": ?"[^"\\<>\n]{{1,{label_chars}}}"\}}'


_WHOLE = re.compile(r'"label": ?"[^"]+"\}')  # the end of a region that is whole: labels have no quotes
_REGION, _SHORT = _region(MAX_LABEL_CHARS), _region(SHORT_LABEL_CHARS)

REPLY_FORMS: dict[Query, str] = {
    Query.LOCATE: rf"{_EXPLANATION}<boxes>\[({_REGION}(, ?{_REGION}){{0,{MAX_REGIONS - 1}}})?\]</boxes>{_VERDICT}",
    Query.EXAMINE: _EXPLANATION + _VERDICT,
}


def closing_form(query: Query, text: str) -> str:
    """The form of a reply that begins with `text` and ends soon: its explanation ends here, and two regions at most
    follow; or the region that it is at is the last."""
    head, closed, rest = text.partition("</explanation>")
    if not closed:
        said = head.removeprefix("<explanation>").partition("<")[0]  # without a tag that is begun
        begin = _literal(f"<explanation>{said}") if said else "<explanation>[^<>]"
        boxes = rf"<boxes>\[({_SHORT}(, ?{_SHORT})?)?\]</boxes>" if query is Query.LOCATE else ""
        return f"{begin}</explanation>{boxes}{_VERDICT}"
    if query is Query.EXAMINE or "</boxes>" in rest:
        return REPLY_FORMS[query]  # nothing is left that could go on for long
    start = text.find("<boxes>[") + len("<boxes>[")
    if start < len("<boxes>["):
        return _literal(f"{head}</explanation>") + rf"<boxes>\[({_SHORT})?\]</boxes>{_VERDICT}"
    start = max([start, *(region.end() for region in _WHOLE.finditer(text, start))])
    done, begun = text[:start], text[start:]
    if not begun or begun.startswith("]"):
        return _literal(done) + rf"\]</boxes>{_VERDICT}"
    label = begun.partition('"label"')[2].partition('"')[2]
    comma = ", ?" if done.endswith("}") else ""
    return _literal(done) + rf"{comma}{_region(len(label) or SHORT_LABEL_CHARS)}\]</boxes>{_VERDICT}"


def _literal(text: str) -> str:
    """A pattern of exactly this text, in the syntax that llguidance shares with Python."""
    return re.sub(r"([\\.+*?()|\[\]{}^$#&~-])", r"\\\1", text)


class ReplyConstraint:
    """Keeps a batch of growing replies inside their form.

    `mask(logits)` edits `[rows, vocabulary]` float logits in place; `accept(tokens)` takes the chosen ones
    and says for each row whether its reply is complete. A complete row's mask means nothing any more. `close` makes a
    row end in time: a reply that is cut at its limit has no verdict.
    """

    def __init__(self, guide: Any, tokenizer: Any, queries: Sequence[Query]) -> None:
        # Not its part for torch, which compiles a kernel when it is imported: see `forbid`.
        import llguidance.numpy

        self._bits, self._guide, self._queries = llguidance.numpy, guide, queries
        self._matchers = [self._matcher(REPLY_FORMS[query]) for query in queries]
        self._closing = [False] * len(queries)
        self._room = {query: _room(tokenizer, query) for query in set(queries)}
        self._bitmask = self._bits.allocate_token_bitmask(len(queries), guide.vocab_size)

    def _matcher(self, form: str) -> Any:
        from llguidance import LLMatcher

        return LLMatcher(self._guide, LLMatcher.grammar_from_regex(form))

    def mask(self, logits: torch.Tensor) -> None:
        import torch

        for row, matcher in enumerate(self._matchers):
            if not matcher.is_stopped():
                self._bits.fill_next_token_bitmask(matcher, self._bitmask, row)
        forbid(logits, torch.from_numpy(self._bitmask).to(logits.device))

    def accept(self, tokens: Sequence[int]) -> list[bool]:
        for matcher, token in zip(self._matchers, tokens, strict=True):
            if not matcher.is_stopped():
                matcher.consume_token(token)
        return [matcher.is_stopped() for matcher in self._matchers]

    def close(self, row: int, ids: Sequence[int], text: str, limit: int) -> None:
        """End the row's reply soon, once what it has left of `limit` tokens is just enough for that. Where a limit has
        no room for a reply at all, it cuts it."""
        room = self._room[self._queries[row]]
        if self._closing[row] or limit < 2 * room or len(ids) < limit - room:
            return
        # Refused where the tokens end inside a character that `text` does not have yet: the next one completes it.
        matcher = self._matcher(closing_form(self._queries[row], text))
        if matcher.consume_tokens(list(ids)):
            self._matchers[row], self._closing[row] = matcher, True


def forbid(logits: torch.Tensor, bitmask: torch.Tensor) -> None:
    """Put -inf, in place, at each of the `[rows, vocabulary]` logits whose bit in `bitmask` is 0. The mask is int32
    `[rows, words]`: token t is bit t % 32, from the lowest, of word t // 32.

    llguidance has this, too, but as a `torch.compile` kernel: it needs a C++ compiler and a locale of UTF-8, and makes
    the first reply of a process wait seconds for it.
    """
    import torch

    bits = torch.arange(32, dtype=torch.int32, device=bitmask.device)
    allowed = (bitmask.unsqueeze(-1) >> bits & 1).flatten(1)[:, : logits.shape[1]]
    logits.masked_fill_(allowed == 0, float("-inf"))


def _room(tokenizer: Any, query: Query) -> int:
    """Tokens that a closing form takes, at most: every character of a label may be one."""

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False).input_ids)

    end = count("</explanation><verdict>generated</verdict>") + 8
    if query is Query.EXAMINE:
        return end
    region = count(', {"bbox_2d": [1000, 1000, 1000, 1000], "label": ""}')
    return end + count("<boxes>[]</boxes>") + max(2 * (region + SHORT_LABEL_CHARS), region + MAX_LABEL_CHARS)


def make_guide(tokenizer: Any, vocab_size: int, eos: int) -> Any:
    """llguidance's view of a tokenizer, built once per model; `vocab_size` is the width of the logits."""
    import llguidance.hf

    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocab_size, eos_token=eos)
