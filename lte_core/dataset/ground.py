"""Spatial grounding: each explanation is grounded twice, every box tied to the clue that it shows (LTE, section 4).

Says what a Qwen-VL is asked and reads what it answers: its own list of boxes, with the number of a clue in each entry,
and the main subject's box as clue 0. The second pass gets the clues in the opposite order: a model that decodes
greedily would otherwise only repeat itself. Boxes leave here in pixels of the original image. Asks nobody
(`asking.py`).
"""

from __future__ import annotations

import re

from lte_core.dataset.candidates import Account, Grounded, Grounding, one_line
from lte_core.dataset.raw import Said, prompt_hash
from lte_core.inference.locate import to_original
from lte_core.schema import Box, Size
from lte_core.vlm.replies import Entry, ReplyError, answer, entries, is_empty_list

SUBJECT = 0  # the number of the main subject, beside the clues' from 1
MAX_BOXES = 32
MAX_LABEL_CHARS = 80  # what a reviewer may keep, too
_CLUE = re.compile(r"""clue["']?\s*:\s*["']?(\d{1,3})""")

_PROMPT = """Somebody examined this picture and wrote down these clues:

{clues}

Show each clue in the picture: draw a tight box around exactly what it speaks of, not around the whole thing that it \
belongs to. A clue that is to be seen in several places gets a box for each; one that is not to be seen gets none. \
Do not list objects: a box that shows no clue is wrong.
Then draw one box around the main subject of the picture, as clue {subject}.

Answer with a JSON list and nothing else, one entry a box, "label" being what the box shows in a few words:
[{{"bbox_2d": [x1, y1, x2, y2], "label": "…", "clue": 1}}, …, {{"bbox_2d": [x1, y1, x2, y2], "label": "main subject", \
"clue": {subject}}}]"""


def grounding_prompt(account: Account, pass_: int) -> str:
    """What a grounder is asked. The words are ours; the paper gives none."""
    lines = [f"{number}. {clue.text}" for number, clue in enumerate(account.clues, 1)]
    return _PROMPT.format(clues="\n".join(lines if pass_ == 1 else reversed(lines)), subject=SUBJECT)


def grounding_hash(account: Account, pass_: int) -> str:
    """The prompt's part of a reply's key: another explanation is another question."""
    return prompt_hash(grounding_prompt(account, pass_))


def parse_grounding(said: Said, size: Size, clues: int) -> Grounding:
    """Read a reply about an image of this size with so many clues.

    Boxes are scaled from the model's frame and clipped to the image; what lies outside is left out, and so is a
    number that is no clue's. Raises ReplyError: a refusal, a cut reply, or one without a list of boxes.
    """
    if said.finish == "refusal":
        raise ReplyError("refusal", f"The grounder would not answer: {said.text[:200] or 'no reason given'}")
    if said.finish == "length":
        raise ReplyError("cut", "The reply was cut at the token limit.")
    if said.frame_wh is None:
        raise ReplyError("malformed", "Nobody noted the frame of this reply's boxes.")
    text = answer(said.text)
    found = entries(text)[:MAX_BOXES]
    if not found and not (text.strip() and is_empty_list(text)):
        raise ReplyError("malformed", f"Expected a list of boxes, got {text.strip()[:60]!r}")
    boxes, subject = [], None
    for entry in found:
        box = to_original(entry.region.box, said.frame_wh, size)
        if box is None:
            continue
        number = _number(entry)
        if number == SUBJECT:
            subject = _larger(subject, box)
        else:
            label = one_line(entry.region.label, MAX_LABEL_CHARS) or "area"
            boxes.append(Grounded(box, label, number if number is not None and number <= clues else None))
    return Grounding(tuple(boxes), subject)


def _number(entry: Entry) -> int | None:
    # Behind the label, which may itself speak of a clue.
    found = _CLUE.findall(entry.text)
    return int(found[-1]) if found else None


def _larger(a: Box | None, b: Box) -> Box:
    return b if a is None or b.area > a.area else a
