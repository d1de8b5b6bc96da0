"""A scripted OpenAI-compatible server on a free port: answers in order, faults included, and what it was sent."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPLY = "<explanation>Fine fur.</explanation><verdict>real</verdict>"
Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Sent:
    """One request as the server saw it."""

    path: str
    authorization: str | None
    body: dict[str, Any]

    @property
    def parts(self) -> list[dict[str, Any]]:
        (message,) = self.body["messages"]
        assert message["role"] == "user"
        return list(message["content"])


class Script(ThreadingHTTPServer):
    """Gives its answers one a request, the last one for good; `models` answers GET /v1/models."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answers: Sequence[Answer], models: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.models = list(answers), models
        self.sent: list[Sent] = []
        self.hung_up = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is part of the script."""


class _Handler(BaseHTTPRequestHandler):
    server: Script

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.sent.append(Sent(self.path, self.headers["Authorization"], body))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def do_GET(self) -> None:
        self.server.models(self)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def status(code: int, body: object = None, **headers: str) -> Answer:
    """An answer that is not a stream; a `body` that is text is sent as a web page."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        page = isinstance(body, str)
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "text/html" if page else "application/json")
        handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


MODELS = status(200, {"object": "list", "data": [{"id": "qwen-a"}, {"id": "qwen-b"}]})


def refuse(code: int, message: str, **headers: str) -> Answer:
    return status(code, {"error": {"message": message}}, **headers)


def chunk(text: str | None = None, finish: str | None = None, **more: object) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish, **more}
    return json.dumps({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def stream(*events: str, then: Callable[[BaseHTTPRequestHandler], None] | None = None) -> Answer:
    """A stream of server-sent events that ends with the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for event in events:
            handler.wfile.write(f"data: {event}\n\n".encode())
        if then is not None:
            then(handler)

    return answer


def say(text: str = REPLY, finish: str = "stop") -> Answer:
    return stream(chunk(text[:20]), chunk(text[20:]), chunk(finish=finish), "[DONE]")


def say_with_odds(*tokens: tuple[str, dict[str, float]]) -> Answer:
    """One token a chunk, each with its listed continuations."""
    chunks = [
        chunk(
            text,
            logprobs={
                "content": [
                    {
                        "token": text,
                        "logprob": odds.get(text, -0.1),
                        "top_logprobs": [{"token": t, "logprob": p} for t, p in odds.items()],
                    }
                ]
            },
        )
        for text, odds in tokens
    ]
    return stream(*chunks, chunk(finish="stop"), "[DONE]")


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Drop the connection hard: RST instead of a polite end."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def stay_silent(handler: BaseHTTPRequestHandler) -> None:
    """Until the client goes away."""
    with suppress(OSError):
        handler.connection.recv(1)


def talk_until_hang_up(handler: BaseHTTPRequestHandler) -> None:
    assert isinstance(handler.server, Script)
    try:
        while not handler.server.hung_up.wait(0.01):
            handler.wfile.write(f"data: {chunk('word ')}\n\n".encode())
    except OSError:
        handler.server.hung_up.set()


@contextmanager
def serving(*answers: Answer, models: Answer = MODELS) -> Iterator[Script]:
    with Script(answers, models) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.hung_up.set()
            server.shutdown()
            thread.join()
