"""What the detector asks of a vision-language model: open images, ask questions, get replies.

A session is a batch: one image is a batch of one. Replies are text; reading them is `replies.py`'s work.
Closing the generator that `ask` returns cancels the work.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from PIL import Image

from lte_core.schema import ModelInfo, Size


class VLMError(RuntimeError):
    """The model could not answer, with what to do about it, for the person who started the work."""


class Query(StrEnum):
    """The two questions of LTE; each has its own form of reply."""

    LOCATE = "locate"
    EXAMINE = "examine"


@dataclass(frozen=True, slots=True)
class Question:
    """One question about an image that is already open. `crops` are shown after the image, in order."""

    query: Query
    prompt: str
    crops: tuple[Image.Image, ...] = ()


class Delta(NamedTuple):
    """New text of one row's reply while it is being written."""

    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished reply. `p_generated` is P(generated) in [0, 1], uncalibrated, or None where the model
    gives no probabilities. `finish` is "length" when it was cut at the token limit."""

    text: str
    p_generated: float | None = None
    finish: Literal["stop", "length"] = "stop"
    tokens: int = 0
    timings_s: dict[str, float] = field(default_factory=dict)


class Session(Protocol):
    """Images that are open for questions.

    `frames_wh[row]` is the frame in which the model states boxes about that image.
    """

    @property
    def frames_wh(self) -> Sequence[Size]: ...

    def ask(self, questions: Sequence[Question]) -> Generator[Delta, None, list[Reply]]:
        """One question an image, in order. Yields text as it is written, returns the replies."""
        ...


class VLM(Protocol):
    """A model. `batch_size` images fit one session, `concurrency` sessions may run at once."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def concurrency(self) -> int: ...

    def open(self, images: Sequence[Image.Image]) -> Session:
        """Look at the images once; both queries share that work where the model allows it.

        Raises VLMError when the model cannot be used.
        """
        ...


def finish(writing: Generator[Delta, None, list[Reply]]) -> list[Reply]:
    """Run a generator that `Session.ask` returned to its end and give the replies."""
    while True:
        try:
            next(writing)
        except StopIteration as done:
            replies: list[Reply] = done.value
            return replies
