"""The two questions in words, as they are put to a model that has not been trained on shorter ones.

What to look for is the paper's list (LTE, section 3). Locate asks for areas that generators find hard and for
the image's own details; Examine shows those areas again, enlarged. Reads no reply and knows no coordinates:
each model states boxes in its own frame, and `Session.frames_wh` says which.

Examine is never told the first explanation E1 or the first verdict v1. In training v1 is teacher-forced and
thus gives the label away, and a model that is told its own opinion repeats it: the second look must be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LOCATE = """\
You are an expert in image forensics. Is this image a real photo, or was it made by an AI image generator?

Scan the whole image first: do light, perspective, geometry and subject agree with each other? Then find the areas \
where a closer look would decide the question:
- areas that generators find hard: faces, hands, paws, poses, and places where people or objects touch or overlap;
- details of this very image: logos, small text, signs, numbers, patterns, jewellery, instruments;
- traces of synthesis: seams and pasted borders, texture that repeats periodically or is too smooth, highlights and \
shadows that contradict each other or the light.

Mark at most 8 areas, the most telling ones first, each as a tight box around one thing. Mark areas of a real photo as \
well where a closer look could confirm that it is one. Give an empty list if no area deserves a closer look.

Answer in exactly this form and write nothing else:
<explanation>what you see, and why it speaks for a real photo or for a generator</explanation>
<boxes>[{"bbox_2d":[x1,y1,x2,y2],"label":"what the box shows, in a few words"}]</boxes>
<verdict>real or generated</verdict>"""

EXAMINE = """\
You are an expert in image forensics. Is this image a real photo, or was it made by an AI image generator?

After the whole image you see enlarged crops of these areas of it:
{crops}

Examine each crop: are letters, fingers, eyes and edges formed as they must be? Are there seams, texture that repeats \
periodically, highlights or shadows that contradict each other? Weigh what the crops show together with the whole \
image. A first impression of the whole image can mislead: where the magnified evidence contradicts it, correct it and \
follow the evidence. An odd detail that a camera, a lens or an editor also makes is not proof of a generator.

Refer to the crops by their numbers, such as [1] or [2].

Answer in exactly this form and write nothing else:
<explanation>what each crop shows, and what decides</explanation>
<verdict>real or generated</verdict>"""

PLAIN = """\
Is this image a real photo, or was it made by an AI image generator?

Answer in exactly this form and write nothing else:
<explanation>why</explanation>
<verdict>real or generated</verdict>"""
"""The bare question, which the paper's untrained models are measured with (evaluation's mode "base")."""

_NO_CROPS = "(none: no area was marked, so examine the whole image once more)"


@dataclass(frozen=True, slots=True)
class Prompts:
    """Templates of the two questions. In `examine`, "{crops}" stands for the numbered labels of the crops.

    Other braces are left alone, since the form of a box has some.
    """

    locate: str = LOCATE
    examine: str = EXAMINE

    def locate_prompt(self) -> str:
        return self.locate

    def examine_prompt(self, labels: Sequence[str]) -> str:
        """The second question. `labels` are those of the crops, in the order in which they are shown."""
        numbered = "\n".join(f"[{n}] {label or 'unnamed'}" for n, label in enumerate(labels, 1))
        return self.examine.replace("{crops}", numbered or _NO_CROPS)
