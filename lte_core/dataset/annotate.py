"""Explanation generation: two independent explanations of an image whose label is known (LTE, section 4).

Says what an expert is asked and reads what it answers: a list of clues, each with what is to be seen and where, and a
summary. Both passes get the same words and never see each other; they differ in their seeds. Asks nobody
(`asking.py`).
"""

from __future__ import annotations

import json
from typing import Any

from lte_core.dataset.candidates import Account, Clue, one_line
from lte_core.dataset.raw import Said, prompt_hash
from lte_core.schema import Verdict
from lte_core.vlm.replies import ReplyError, answer

MAX_CLUES = 8  # as many boxes as a reply may have
MAX_CLUE_CHARS, MAX_SUMMARY_CHARS = 300, 800

_IS = {
    Verdict.REAL: "This picture is a real photograph.",
    Verdict.GENERATED: "This picture was made by an AI image generator.",
}
_SHOWS = {
    Verdict.REAL: "shows that it is a real photograph",
    Verdict.GENERATED: "gives it away as generated",
}
_PROMPT = """{is_} You know that for certain, and nobody asks you whether it is so. Explain what in the picture {shows}.

Name only what can be seen in this very picture, each piece of evidence in one place that a box could be drawn around: \
not the mood, not the style, and nothing that would be true of any picture.
Look first at what is hard to generate: faces, eyes and teeth; hands, paws and their counts of fingers; poses and \
joints. Then at what is particular to this picture: logos, small lettering, clocks, jewellery, patterns. Then at seams \
where things meet, textures that repeat exactly, and light, shadows, highlights and reflections that agree or do not.
Give one to {most} clues, the strongest first. "what" is one plain sentence about what is to be seen, without the word \
"image" and without a guess at how it was made; "where" says in a few words where it is, such as "left hand, lower \
right". "summary" is one sentence that the clues add up to.

Answer with one JSON object and nothing else: {{"clues": [{{"what": "…", "where": "…"}}], "summary": "…"}}"""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "clues": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"what": {"type": "string"}, "where": {"type": "string"}},
                "required": ["what", "where"],
                "additionalProperties": False,
            },
        },
        "summary": {"type": "string"},
    },
    "required": ["clues", "summary"],
    "additionalProperties": False,
}
"""The form of the reply, for servers that can hold a model to one."""


def explanation_prompt(label: Verdict) -> str:
    """What an expert is asked about an image with this label. The words are ours; the paper gives none."""
    return _PROMPT.format(is_=_IS[label], shows=_SHOWS[label], most=MAX_CLUES)


def explanation_hash(label: Verdict) -> str:
    """The prompt's part of a reply's key."""
    return prompt_hash(explanation_prompt(label), json.dumps(SCHEMA))


def parse_account(said: Said) -> Account:
    """Read a reply. Raises ReplyError: a refusal, a reply that was cut, or one that is not of the form.

    Fences and words around the object are passed over, clues beyond the limit left out, and long ones cut.
    """
    if said.finish == "refusal":
        raise ReplyError("refusal", f"The expert would not answer: {said.text[:200] or 'no reason given'}")
    if said.finish == "length":
        raise ReplyError("cut", "The reply was cut at the token limit.")
    record = _object(answer(said.text))
    listed = record.get("clues")
    if not isinstance(listed, list):
        raise ReplyError("malformed", f'Expected a list at "clues", got {str(listed)[:60]!r}')
    clues = tuple(clue for entry in listed[:MAX_CLUES] if (clue := _clue(entry)) is not None)
    if not clues:
        raise ReplyError("malformed", "The reply names no clue.")
    return Account(clues, one_line(record.get("summary"), MAX_SUMMARY_CHARS))


def _object(text: str) -> dict[str, Any]:
    start, end = text.find("{"), text.rfind("}")
    try:
        record = json.loads(text[start : end + 1]) if 0 <= start < end else None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ReplyError("malformed", f"Expected one JSON object, got {text.strip()[:60]!r}")
    return record


def _clue(entry: object) -> Clue | None:
    if not isinstance(entry, dict):
        return None
    what = one_line(entry.get("what"), MAX_CLUE_CHARS)
    told = any(character.isalnum() for character in what)
    return Clue(what, one_line(entry.get("where"), MAX_CLUE_CHARS)) if told else None
