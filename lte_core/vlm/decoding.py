"""Greedy decoding for a batch over one shared key/value cache, and the odds of the two verdicts.

Rows of different length are padded on the left and masked. Knows a reply's form only through the constraint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lte_core.schema import Verdict
from lte_core.vlm.base import Delta, Question, Reply
from lte_core.vlm.grammar import ReplyConstraint

if TYPE_CHECKING:
    import torch

    from lte_core.vlm.qwen import QwenVL


class Features(NamedTuple):
    """Vision features of some images in transformers' own record, with their patch grids `[images, 3]`."""

    output: Any
    grids: torch.Tensor


class Mark(NamedTuple):
    """A point to rewind to: tokens in the cache, and the next position of each row."""

    length: int
    next_position: list[int]


class _Cut(NamedTuple):
    """Where a reply is cut to score its verdict: tokens kept, and the text between them and the tag."""

    kept: int
    between: str


class Steps:
    """The cache of a batch with its attention mask `[rows, tokens]`, fed row by row with left padding."""

    def __init__(self, vlm: QwenVL, cache: Any, rows: int) -> None:
        import torch

        self.vlm, self.cache = vlm, cache
        self.mask = torch.zeros(rows, 0, dtype=torch.long, device=vlm.device)
        self.next_position = [0] * rows

    def mark(self) -> Mark:
        return Mark(self.mask.shape[1], list(self.next_position))

    def rewind(self, mark: Mark) -> None:
        for layer in self.cache.layers:  # each by its own length: a step that failed may have filled only some
            layer.crop(mark.length - layer.get_seq_length())
        self.mask = self.mask[:, : mark.length]
        self.next_position = list(mark.next_position)

    def feed(
        self,
        rows: Sequence[Sequence[int]],
        positions: Sequence[torch.Tensor],
        features: Features | None = None,
        keep: int = 1,
    ) -> torch.Tensor:
        """Run the new tokens of every row and give the logits of the last `keep`, `[rows, keep, vocabulary]`."""
        import torch

        device, width = self.vlm.device, max(map(len, rows))
        ids = torch.full((len(rows), width), self.vlm.tokenizer.pad_token_id, device=device)
        new_mask = torch.zeros(len(rows), width, dtype=torch.long, device=device)
        places = torch.zeros(3, len(rows), width, dtype=torch.long, device=device)
        for row, (tokens, position) in enumerate(zip(rows, positions, strict=True)):
            if not len(tokens):
                continue
            ids[row, -len(tokens) :] = torch.as_tensor(tokens, device=device)
            new_mask[row, -len(tokens) :] = 1
            places[:, row, -len(tokens) :] = position
            self.next_position[row] = int(position.max()) + 1
        mask = torch.cat([self.mask, new_mask], dim=1)
        seen = {} if features is None else {"mm_encoder_outputs": {"image": features.output}}
        out = self.vlm.model(
            input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=self.cache,
            use_cache=True, logits_to_keep=keep, **seen,
        )  # fmt: skip
        self.mask = mask
        logits: torch.Tensor = out.logits.float()
        return logits


class Writing:
    """Replies being written, greedily, one token a row and step."""

    def __init__(self, vlm: QwenVL, steps: Steps, questions: Sequence[Question]) -> None:
        self.vlm, self.steps = vlm, steps
        self.start = steps.mark()
        self.ids: list[list[int]] = [[] for _ in questions]
        self.shown = ["" for _ in questions]
        self.open = [True] * len(questions)
        self.limits = [vlm.config.max_new_tokens[question.query] for question in questions]
        queries = [question.query for question in questions]
        self.constraint = ReplyConstraint(vlm.guide, vlm.tokenizer, queries) if vlm.guide else None

    @property
    def done(self) -> bool:
        return not any(self.open)

    def take(self, logits: torch.Tensor) -> list[Delta]:
        """Choose the next token of every open row from `[rows, 1, vocabulary]` and give the new text."""
        scores = logits[:, -1]
        if self.constraint:
            for row in range(len(self.ids)):
                if self.open[row]:
                    self.constraint.close(row, self.ids[row], self.shown[row], self.limits[row])
            self.constraint.mask(scores)
        chosen = scores.argmax(-1).tolist()
        complete = self.constraint.accept(chosen) if self.constraint else [False] * len(chosen)
        deltas = []
        for row, token in enumerate(chosen):
            if not self.open[row]:
                continue
            if token in self.vlm.eos:
                self.open[row] = False
                continue
            self.ids[row].append(token)
            if complete[row] or len(self.ids[row]) >= self.limits[row]:
                self.open[row] = False
            if (text := self._text(row)) != self.shown[row] and not text.endswith("\ufffd"):
                deltas.append(Delta(row, text[len(self.shown[row]) :]))
                self.shown[row] = text
        return deltas

    def next_tokens(self) -> tuple[list[list[int]], list[torch.Tensor]]:
        """What to feed next: the last token of each open row, nothing for a finished one."""
        import torch

        rows = [ids[-1:] if still else [] for ids, still in zip(self.ids, self.open, strict=True)]
        device = self.vlm.device
        return rows, [torch.full((3, 1), position, device=device) for position in self.steps.next_position]

    def verdict_odds(self) -> list[float | None]:
        """P(generated) of every row: a two-way softmax over the scored continuations "real" and "generated".

        Both are scored by teacher forcing from the last token boundary before `<verdict>`: tokenizers merge
        across the tag, so no single position could be called the verdict's. None where there is no verdict.
        """
        import torch

        cuts = [self._before_verdict(row) for row in range(len(self.ids))]
        if not any(cuts):
            return [None for _ in cuts]
        for row, cut in enumerate(cuts):
            if cut:  # what the reply says from here on must not be seen; its last kept token is fed again
                self.steps.mask[row, self.start.length + cut.kept - 1 :] = 0
        scores = torch.stack([self._score(cuts, verdict) for verdict in (Verdict.REAL, Verdict.GENERATED)])
        odds = scores.softmax(0)[1].tolist()
        return [p if cut else None for p, cut in zip(odds, cuts, strict=True)]

    def _before_verdict(self, row: int) -> _Cut | None:
        """The last token boundary at or before the verdict's tag, or None without one."""
        whole = self._text(row)
        tag = whole.rfind("<verdict>")
        for kept in range(len(self.ids[row]), 0, -1):
            text = self.vlm.tokenizer.decode(self.ids[row][:kept])
            if len(text) <= tag and not text.endswith("\ufffd"):
                return _Cut(kept, whole[len(text) : tag])
        return None

    def _score(self, cuts: Sequence[_Cut | None], verdict: Verdict) -> torch.Tensor:
        """Log-probability `[rows]` of the verdict and its tags after each row's cut."""
        import torch

        after = self.steps.mark()
        rows: list[list[int]] = []
        for ids, cut in zip(self.ids, cuts, strict=True):
            tail = f"{cut.between}<verdict>{verdict}</verdict>" if cut else ""
            ending = self.vlm.tokenizer(tail, add_special_tokens=False).input_ids if cut else []
            rows.append([ids[cut.kept - 1], *ending] if cut else [])
        starts = [first + cut.kept - 1 if cut else 0 for first, cut in zip(self.start.next_position, cuts, strict=True)]
        places = [torch.arange(start, start + len(row)).expand(3, -1) for start, row in zip(starts, rows, strict=True)]
        logits = self.steps.feed(rows, places, keep=max(map(len, rows)))
        self.steps.rewind(after)
        scores = torch.zeros(len(rows))
        for index, row in enumerate(rows):
            if row:
                chances = logits[index, -len(row) : -1].log_softmax(-1)
                scores[index] = chances.gather(1, torch.tensor(row[1:], device=logits.device)[:, None]).sum()
        return scores

    def reply(self, row: int, p_generated: float | None, timings_s: Mapping[str, float]) -> Reply:
        cut = len(self.ids[row]) >= self.limits[row]
        return Reply(self._text(row), p_generated, "length" if cut else "stop", len(self.ids[row]), dict(timings_s))

    def _text(self, row: int) -> str:
        text: str = self.vlm.tokenizer.decode(self.ids[row], skip_special_tokens=False)
        return text
