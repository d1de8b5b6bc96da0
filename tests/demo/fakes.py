"""A model that answers from a script, and an app around it on a real port."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI
from PIL import Image, ImageDraw

from app import create_app
from lte_core.inference.checkpoint import Checkpoint
from lte_core.schema import ModelInfo, Size
from lte_core.vlm.base import Delta, Query, Question, Reply, VLMError

FRAME = Size(1000, 1000)
NOTE = "A small demonstration model trained on synthetic scenes."
LOCATE = (
    "<explanation>The light is natural; the lettering and the hand deserve a closer look.</explanation>"
    '<boxes>[{"bbox_2d":[300,60,700,260],"label":"shop sign"},{"bbox_2d":[80,430,330,760],"label":"hand"},'
    '{"bbox_2d":[640,520,930,900],"label":"woven basket"}]</boxes><verdict>real</verdict>'
)
EXAMINE = (
    "<explanation>The letters on the sign [1] are no letters of any script. The hand [2] has five fingers, as it "
    "should. The weave of the basket [3] repeats exactly, without end.</explanation><verdict>generated</verdict>"
)


@dataclass(frozen=True, slots=True)
class Script:
    """What the model replies. `pace_s` is the time for one piece of text; `broken` is raised when it is opened."""

    locate: str = LOCATE
    examine: str = EXAMINE
    p_locate: float | None = 0.31
    p_examine: float | None = 0.94
    pace_s: float = 0.0
    broken: Exception | None = None


@dataclass
class FakeVLM:
    """Follows its script, which a test may exchange between two pictures. Counts what it does."""

    script: Script = field(default_factory=Script)
    opened: int = 0
    finished: int = 0
    writing: int = 0
    most_at_once: int = 0
    concurrency: int = 1
    batch_size: int = 1
    info: ModelInfo = field(default_factory=lambda: ModelInfo("lte-fake", sha256="0" * 64))

    def open(self, images: Sequence[Image.Image]) -> FakeSession:
        self.opened += 1
        if self.script.broken:
            raise self.script.broken
        return FakeSession(self, self.script)


@dataclass
class FakeSession:
    vlm: FakeVLM
    script: Script
    frames_wh: Sequence[Size] = (FRAME,)

    def ask(self, questions: Sequence[Question]) -> Generator[Delta, None, list[Reply]]:
        locating = questions[0].query is Query.LOCATE
        text = self.script.locate if locating else self.script.examine
        self.vlm.writing += 1
        self.vlm.most_at_once = max(self.vlm.most_at_once, self.vlm.writing)
        try:
            for start in range(0, len(text), 12):
                time.sleep(self.script.pace_s)
                yield Delta(0, text[start : start + 12])
        finally:
            self.vlm.writing -= 1
        if not locating:
            self.vlm.finished += 1
        return [Reply(text, self.script.p_locate if locating else self.script.p_examine)]


def scene(size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A picture of a shop, drawn here, with something at each place that the script marks."""
    width, height = size
    image = Image.new("RGB", size, "#dfe8ee")
    draw = ImageDraw.Draw(image)

    def place(x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
        return (x1 * width, y1 * height, x2 * width, y2 * height)

    draw.rectangle(place(0, 0.8, 1, 1), fill="#b9aea0")
    draw.rectangle(place(0.2, 0.04, 0.8, 0.82), fill="#c98f6b")
    draw.rectangle(place(0.3, 0.06, 0.7, 0.26), fill="#23483f")
    draw.ellipse(place(0.08, 0.43, 0.33, 0.76), fill="#e8b894")
    draw.rectangle(place(0.64, 0.52, 0.93, 0.9), fill="#a9793f")
    for step in range(10):
        draw.line(place(0.64, 0.54 + step * 0.037, 0.93, 0.54 + step * 0.037), fill="#7d5526", width=3)
    return image


def scene_bytes(size: tuple[int, int] = (640, 480)) -> bytes:
    """The same picture as a JPEG file."""
    file = io.BytesIO()
    scene(size).save(file, "JPEG", quality=90)
    return file.getvalue()


def served(vlm: FakeVLM, checkpoint: Checkpoint | None = None, **options: Any) -> AbstractContextManager[str]:
    """The app around the model on a free port of this machine; gives its URL."""
    return serve(create_app(vlm, checkpoint or Checkpoint(note=NOTE), **options))


@contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """The app on a free port of this machine; gives its URL."""
    config = uvicorn.Config(app, port=0, log_level="error", server_header=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the app did not start")
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


BROKEN_SERVER = VLMError("The model server at http://127.0.0.1:9/v1 does not answer. Start it, then try again.")
