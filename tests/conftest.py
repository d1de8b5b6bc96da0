"""What tests of several packages share: a model that answers from a script, and small pictures."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from lte_core.images import SourceImage, read_image
from lte_core.schema import ModelInfo, Size
from lte_core.vlm.base import Delta, Query, Question, Reply

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers have the cores already
    # A worker ignores Ctrl-C, and what it starts would inherit that: programs under test have to hear it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LOCATE = (
    "<explanation>The lettering and the hand deserve a closer look.</explanation>"
    '<boxes>[{"bbox_2d":[10,10,60,40],"label":"shop sign"},{"bbox_2d":[70,20,95,70],"label":"hand"}]</boxes>'
    "<verdict>real</verdict>"
)
EXAMINE = "<explanation>The letters [1] are none; the hand [2] is sound.</explanation><verdict>generated</verdict>"

Answer = Callable[[Question, Image.Image], Reply]


def scripted(
    locate: str = LOCATE, examine: str = EXAMINE, p_locate: float | None = 0.4, p_examine: float | None = 0.9
) -> Answer:
    """The same two replies to every image."""

    def answer(question: Question, image: Image.Image) -> Reply:
        if question.query is Query.LOCATE:
            return Reply(locate, p_locate, timings_s={"vision": 0.5})
        return Reply(examine, p_examine, timings_s={"decode": 0.25})

    return answer


@dataclass
class FakeVLM:
    """Answers by `answer`, which may raise. Keeps what it was asked, in order of asking."""

    answer: Answer = field(default_factory=scripted)
    frame_wh: Size | None = None  # None: the image's own size
    batch_size: int = 1
    concurrency: int = 1
    info: ModelInfo = field(default_factory=lambda: ModelInfo("fake-vlm", "ab" * 32))
    asked: list[tuple[Question, ...]] = field(default_factory=list)
    cancelled: int = 0
    running: int = 0
    most_running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, images: Sequence[Image.Image]) -> FakeSession:
        return FakeSession(self, images)


@dataclass
class FakeSession:
    vlm: FakeVLM
    images: Sequence[Image.Image]

    @property
    def frames_wh(self) -> Sequence[Size]:
        return [self.vlm.frame_wh or Size(*image.size) for image in self.images]

    def ask(self, questions: Sequence[Question]) -> Generator[Delta, None, list[Reply]]:
        vlm = self.vlm
        with vlm.lock:
            vlm.asked.append(tuple(questions))
            vlm.running += 1
            vlm.most_running = max(vlm.most_running, vlm.running)
        try:
            replies = [vlm.answer(question, image) for question, image in zip(questions, self.images, strict=True)]
            for start in range(0, max(len(reply.text) for reply in replies), 40):
                for row, reply in enumerate(replies):
                    if piece := reply.text[start : start + 40]:
                        yield Delta(row, piece)
        except GeneratorExit:
            vlm.cancelled += 1
            raise
        finally:
            with vlm.lock:
                vlm.running -= 1
        return replies


def png(size: tuple[int, int] = (100, 80), colour: tuple[int, int, int] = (90, 120, 150)) -> bytes:
    """A picture with a different colour in its right half, so that a crop shows where it was cut."""
    image = Image.new("RGB", size, colour)
    image.paste((250, 240, 20), (size[0] // 2, 0, *size))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session", autouse=True)
def nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of whoever runs the tests, and none of their data: an account made here would be the first lead."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LTE_")]:
            patch.delenv(name)
        patch.setenv("LTE_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def source() -> SourceImage:
    """A picture of 100 x 80 pixels."""
    return read_image(png())


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """The file of such a picture."""
    path = tmp_path / "picture.png"
    path.write_bytes(png())
    return path
