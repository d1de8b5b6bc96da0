"""Two experts behind one real HTTP server: they know the truth about some scenes, and fail as they are told to."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from PIL import Image

from lte_core.boxes import rescale
from lte_core.dataset.audit import faithful
from lte_core.dataset.candidates import Candidate
from lte_core.dataset.manifest import read_manifest
from lte_core.dataset.synth import read_objects, write_dataset
from lte_core.images import read_image
from lte_core.schema import Box, Size
from lte_core.vlm.server import ServerConfig, image_part

KEY = "sk-very-secret-key-1234"
Fault = Callable[[int], Response | Awaitable[Response] | None]
"""What goes wrong with the n-th request, from 1; None: it is answered."""


@dataclass
class Experts:
    """What the server knows, and what it was asked."""

    truth: Mapping[str, Candidate]
    fault: Fault = lambda number: None
    requests: int = 0
    answered: list[tuple[str, str, int]] = field(default_factory=list)  # sample, "explain" or "ground", pass
    bodies: list[dict[str, Any]] = field(default_factory=list)
    delay_s: float = 0.0
    url: str = ""

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/chat/completions")
        async def complete(request: Request) -> Response:
            self.requests += 1
            number = self.requests  # others come in while this one is read
            if request.headers["authorization"] != f"Bearer {KEY}":
                return JSONResponse({"error": {"message": "Incorrect API key provided"}}, 401)
            body = await request.json()
            self.bodies.append(body)
            wrong = self.fault(number)
            if isinstance(wrong, Response):
                return wrong
            if wrong is not None:
                return await wrong
            if self.delay_s:
                import asyncio

                await asyncio.sleep(self.delay_s)
            return self.answer(body)

        @app.get("/v1/models")
        async def models() -> Response:
            return JSONResponse({"object": "list", "data": [{"id": "gpt-4o"}, {"id": "qwen"}]})

        return app

    def answer(self, body: dict[str, Any]) -> Response:
        picture, question = body["messages"][0]["content"]
        data = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
        candidate = self.truth[hashlib.sha256(data).hexdigest()]
        stage, pass_ = ("ground" if "main subject" in question["text"] else "explain"), body["seed"]
        self.answered.append((candidate.sample.id, stage, pass_))
        return completion(grounded(candidate, pass_, data) if stage == "ground" else explained(candidate, pass_))


def explained(candidate: Candidate, pass_: int) -> str:
    account = candidate.accounts[pass_ - 1]
    clues = [{"what": clue.what, "where": clue.where} for clue in account.clues]
    return json.dumps({"clues": clues, "summary": account.summary})


def grounded(candidate: Candidate, pass_: int, picture: bytes) -> str:
    """In the frame of the picture that was sent, as Qwen2.5-VL does it."""
    with Image.open(io.BytesIO(picture)) as shown:
        frame = Size(*shown.size)
    size, grounding = Size(candidate.sample.width, candidate.sample.height), candidate.groundings[pass_ - 1]

    def corners(box: Box) -> list[int]:
        return [round(v) for v in rescale(box, size, frame).xyxy]

    boxes = [{"bbox_2d": corners(b.box), "label": b.label, "clue": b.clue} for b in grounding.boxes]
    if grounding.subject is not None:
        boxes.append({"bbox_2d": corners(grounding.subject), "label": "main subject", "clue": 0})
    return f"```json\n{json.dumps(boxes)}\n```"


def completion(text: str | None, finish: str = "stop", refusal: str | None = None) -> Response:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return JSONResponse(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000},
        }
    )


def error(status: int, message: str = "no reason", **headers: str) -> Response:
    return JSONResponse({"error": {"message": message}}, status, headers)


def web_page() -> Response:
    return HTMLResponse("<html><body>Please sign in</body></html>")


def garbage() -> Response:
    return Response(b'{"choices": [{"mess', media_type="application/json")


def cut_off() -> Response:
    """Promises more bytes than it sends."""

    async def part() -> Any:
        yield b'{"id": "1", '
        raise ConnectionResetError

    return StreamingResponse(part(), media_type="application/json", headers={"content-length": "400"})


@contextmanager
def serving(experts: Experts) -> Iterator[Experts]:
    config = uvicorn.Config(experts.app(), host="127.0.0.1", port=0, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        experts.url = f"http://127.0.0.1:{port}/v1"
        yield experts
    finally:
        server.should_exit = True
        thread.join()


def scenes(folder: Path, count: int, seed: int = 0) -> Path:
    """TRACE-synth in `folder`, every scene with evidence."""
    write_dataset(folder, count, seed, plain_share=0.0)
    return folder


def truth_of(folder: Path) -> dict[str, Candidate]:
    """What careful experts say of each scene, by the hash of the picture that they are sent."""
    config, known = ServerConfig("http://nowhere/v1", "m"), {}
    samples = [line.sample for line in read_manifest(folder / "manifest.jsonl")]
    for number, (sample, contents) in enumerate(zip(samples, read_objects(folder), strict=True)):
        part: Any = image_part(config.show(read_image(folder / sample.image).pixels))
        data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
        known[hashlib.sha256(data).hexdigest()] = faithful(random.Random(number), sample, contents)
    return known
