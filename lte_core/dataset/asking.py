"""An expert model that is asked about one image at a time: behind a server, or in this process.

An OpenAI-compatible server is asked asynchronously, with the SDK's retries on 408, 409, 429, 5xx, timeouts and broken
connections. What it says is given as it came (`raw.py`), refusals included; what goes wrong on the way is an
ExpertError. Keeps nothing and reads no reply.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from PIL import Image

from lte_core.dataset.raw import Said
from lte_core.schema import Size
from lte_core.vlm.base import VLM, Query, Question, Reply, VLMError
from lte_core.vlm.server import Server, ServerConfig, image_part, parse_address

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

OPENAI = "https://api.openai.com/v1"
FATAL = (401, 404)  # nothing that is asked later would be answered
ONE_QUESTION = (400, 403, 413, 422)  # about this question, not about the server


class ExpertError(Exception):
    """No reply: str() says why and what to do. `fatal` when there is no use in going on; `about_one` when the server
    is well and refuses this question."""

    def __init__(self, message: str, *, fatal: bool = False, about_one: bool = False) -> None:
        super().__init__(message)
        self.fatal, self.about_one = fatal, about_one


@dataclass(frozen=True, slots=True)
class Ask:
    """What an expert is asked about an image. `schema` is the JSON form of the reply, for servers that know such."""

    prompt: str
    schema: Mapping[str, Any] | None
    seed: int


class Expert(Protocol):
    """`name` stands in every key and record; `concurrency` is how many questions it takes at once."""

    name: str
    concurrency: int

    async def ask(self, image: Image.Image, ask: Ask) -> Said:
        """Raises ExpertError."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ExpertConfig:
    """How a server is asked. All values are ours. At temperature 0 two passes would only repeat each other."""

    concurrency: int = 8
    retries: int = 5
    timeout_s: float = 120.0
    temperature: float = 0.7
    max_tokens: int = 1024


def load_expert(
    model: str, base_url: str | None, config: ExpertConfig = ExpertConfig(), key_variable: str = "OPENAI_API_KEY"
) -> Expert:
    """`model` at `base_url`, `http://host/v1#model`, or without an address a model of this process.

    The key is the one in `key_variable`, but OpenAI's own servers always get OPENAI_API_KEY.

    Raises VLMError with what to do, also for a missing key.
    """
    address = parse_address(f"{base_url}#{model}" if base_url else model)
    if address is None and base_url:
        raise VLMError(f"{base_url!r} is no address. Write it as http(s)://host/v1.")
    if address is None:
        from lte_core.inference.load import LoadConfig, load_model

        return LocalExpert(load_model(model, LoadConfig(constrained=False, batch_size=1)).vlm)
    openai = urlsplit(address.base_url).hostname == urlsplit(OPENAI).hostname
    variable = "OPENAI_API_KEY" if openai else key_variable
    if openai and not os.environ.get(variable, "").strip():
        raise VLMError(
            f"{address.base_url} wants an API key. Put it in {variable}, or name another server by --base-url."
        )
    asked = replace(
        address, timeout_s=config.timeout_s, retries=config.retries, temperature=config.temperature,
        key_variable=variable,
    )  # fmt: skip
    return ServerExpert(asked, config)


def expert_name(model: str, base_url: str | None) -> str:
    """The name that an expert would have in keys, without loading it; the model's as given where that is unknown."""
    address = parse_address(f"{base_url}#{model}" if base_url else model)
    if address is not None:
        return address.model
    from lte_core.inference.load import NANO, find, weights_hash

    if model == NANO or Path(model).is_dir():
        directory = find(model)
        digest = weights_hash(directory)
        return f"{directory.resolve().name}@{digest[:12]}" if digest else directory.resolve().name
    return model


class ServerExpert:
    """A model behind a URL."""

    def __init__(self, server: ServerConfig, config: ExpertConfig) -> None:
        self.name, self.concurrency = server.model, config.concurrency
        self._config, self._limit = server, config.max_tokens
        self._server = Server(server)
        self._client = self._server.async_client()
        self._refused: frozenset[str] = frozenset()

    async def ask(self, image: Image.Image, ask: Ask) -> Said:
        from openai import APIError, APIStatusError

        try:
            shown = await asyncio.to_thread(self._config.show, image)
            picture = await asyncio.to_thread(image_part, shown)
            content = [picture, {"type": "text", "text": ask.prompt}]
            completion = await self._complete([{"role": "user", "content": content}], ask)
        except VLMError as problem:  # a picture that is too thin
            raise ExpertError(str(problem)) from None
        except APIError as problem:
            status = problem.status_code if isinstance(problem, APIStatusError) else 0
            words = await asyncio.to_thread(self._server.explain, problem)
            # Its cause may quote the request, key included.
            words = self._server.without_key(words)
            raise ExpertError(words, fatal=status in FATAL, about_one=status in ONE_QUESTION) from None
        except (
            ValueError,
            RecursionError,
        ):  # what the SDK's reader of JSON raises: no JSON, too deep, too long a number
            raise ExpertError(self._no_json()) from None
        return self._said(completion, self._config.convention.frame_wh(Size(*shown.size)))

    async def close(self) -> None:
        await self._client.close()

    async def _complete(self, messages: list[Any], ask: Ask) -> ChatCompletion:
        """Send the request. An extra that the server refuses by name is left out from then on."""
        from openai import BadRequestError, UnprocessableEntityError

        refused = self._refused
        while True:
            offered = {name: value for name, value in self._extras(ask).items() if name not in refused}
            limit = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
            try:
                completion = await self._client.chat.completions.create(
                    model=self._config.model,
                    messages=messages,
                    extra_body={limit: self._limit, **offered},
                )
            except (BadRequestError, UnprocessableEntityError) as problem:
                words = problem.response.text
                named = {name for name in (*offered, limit) if name in words and name not in refused}
                if not named - {"max_completion_tokens"}:
                    raise
                refused |= named
            else:
                self._refused = refused
                return completion

    def _extras(self, ask: Ask) -> dict[str, Any]:
        extras: dict[str, Any] = {"temperature": self._config.temperature, "seed": ask.seed}
        if ask.schema is not None:
            form = {"name": "reply", "strict": True, "schema": dict(ask.schema)}
            extras["response_format"] = {"type": "json_schema", "json_schema": form}
        return extras

    def _said(self, completion: object, frame_wh: Size) -> Said:
        """The reply in a completion; servers differ in what they leave out, so every part is optional."""
        choices = getattr(completion, "choices", None)
        if not isinstance(choices, list) or not choices:
            raise ExpertError(self._no_json())
        message = getattr(choices[0], "message", None)
        if message is None:
            raise ExpertError(self._no_json())
        # A server may quote the request, key included.
        refusal, text = (
            self._server.without_key(_text(getattr(message, name, None))) for name in ("refusal", "content")
        )
        usage = getattr(completion, "usage", None)
        read, written = (_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens"))
        reason = getattr(choices[0], "finish_reason", None)
        if refusal or reason == "content_filter":
            return Said(refusal or text, "refusal", read, written, frame_wh)
        return Said(text, "length" if reason == "length" else "stop", read, written, frame_wh)

    def _no_json(self) -> str:
        return (
            f"The server at {self._config.base_url} sent something that is no chat completion. Check that the address "
            "is that of an OpenAI-compatible API (it often ends in /v1)."
        )


class LocalExpert:
    """A model of this process, asked one question after the other."""

    concurrency = 1

    def __init__(self, vlm: VLM) -> None:
        info = vlm.info
        self.name = f"{info.name}@{info.sha256[:12]}" if info.sha256 else info.name
        self._vlm = vlm
        self._stopped = False

    async def ask(self, image: Image.Image, ask: Ask) -> Said:
        try:
            return await asyncio.to_thread(self._ask, image, ask)
        except asyncio.CancelledError:
            self._stopped = True  # the thread sees it at its next token
            raise
        except VLMError as problem:
            raise ExpertError(str(problem)) from problem

    def _ask(self, image: Image.Image, ask: Ask) -> Said:
        session = self._vlm.open([image])
        writing = session.ask([Question(Query.LOCATE, ask.prompt)])
        while True:
            try:
                next(writing)
            except StopIteration as done:
                reply: Reply = done.value[0]
                return Said(reply.text, reply.finish, 0, reply.tokens, session.frames_wh[0])
            if self._stopped:
                writing.close()
                raise ExpertError("Stopped.", fatal=True)

    async def close(self) -> None:
        self._stopped = True


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0


def _text(content: object) -> str:
    """What a message says: a text, or the texts of its parts."""
    if isinstance(content, list):
        parts = (part.get("text") if isinstance(part, dict) else getattr(part, "text", None) for part in content)
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
