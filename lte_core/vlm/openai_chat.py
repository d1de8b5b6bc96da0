"""A model behind any OpenAI-compatible server (vLLM, SGLang, transformers serve, a hosted API).

Pictures go out as PNG data URLs, replies come back as a stream of text, with P(generated) where the server
lists log-probabilities. Nothing beyond the standard `/chat/completions` is asked for; no reply is read here.

Pictures are resized here to what Qwen-VL would make of them, so that the frame of a reply's boxes is known:
the server's own pixel limits must not be narrower than `views`. They go as PNG because JPEG artefacts are
evidence: a second compression would hide some and invent others, and one picture would be judged otherwise
here than by a local model. At the default limits a picture takes about 3 MB at most, and 0.1 s to encode.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from lte_core.schema import ModelInfo, Size
from lte_core.vlm.base import Delta, Query, Question, Reply, VLMError
from lte_core.vlm.logprobs import Token, p_generated, tokens_of
from lte_core.vlm.server import Server, ServerConfig, image_part

if TYPE_CHECKING:
    from openai import Stream
    from openai.types.chat import ChatCompletionChunk, ChatCompletionContentPartParam

TOP_LOGPROBS = 20  # the most that the API allows
MAX_CHARS_PER_TOKEN = 32  # a reply beyond this comes from a server that ignores max_tokens


class ChatVLM:
    """A model behind a URL. A session is one image; the server batches across `concurrency` sessions."""

    batch_size = 1

    def __init__(self, config: ServerConfig) -> None:
        """Contacts nobody yet. Raises VLMError for a key that cannot be sent."""
        self.config = config
        self.info = ModelInfo(config.model)
        self._server = Server(config)
        self._client = self._server.client()
        self._refused: frozenset[str] = frozenset()

    @property
    def concurrency(self) -> int:
        return self.config.concurrency

    def open(self, images: Sequence[Image.Image]) -> ChatSession:
        """Resize and encode the images once; a server with prefix caching then also sees them only once."""
        return ChatSession(self, images)

    @contextmanager
    def writing(
        self, query: Query, parts: list[ChatCompletionContentPartParam]
    ) -> Iterator[Stream[ChatCompletionChunk]]:
        """The reply as it is written; leaving closes the connection. The SDK's errors leave as VLMError.

        Their cause is cut off: it may quote the request, key included.
        """
        from openai import APIError

        try:
            with self._start(query, parts) as stream:
                yield stream
        except APIError as error:
            raise VLMError(self._server.without_key(self._server.explain(error))) from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise VLMError(
                f"The server at {self.config.base_url} sent something that is not JSON. "
                "Check that the address is that of an OpenAI-compatible API (it often ends in /v1)."
            ) from None

    def _start(self, query: Query, parts: list[ChatCompletionContentPartParam]) -> Stream[ChatCompletionChunk]:
        """Send the request. An extra that the server refuses by name is left out from then on."""
        from openai import BadRequestError, UnprocessableEntityError

        extras: dict[str, dict[str, object]] = {
            "logprobs": {"logprobs": True, "top_logprobs": TOP_LOGPROBS},
            "stream_options": {"stream_options": {"include_usage": True}},
            "seed": {"seed": self.config.seed},
        }
        refused = self._refused
        while True:
            offered = [name for name in extras if name not in refused]
            try:
                stream = self._client.chat.completions.create(
                    model=self.config.model,
                    messages=[{"role": "user", "content": parts}],
                    max_tokens=self.config.max_tokens(query),
                    temperature=self.config.temperature,
                    stream=True,
                    extra_body={key: value for name in offered for key, value in extras[name].items()},
                )
            except (BadRequestError, UnprocessableEntityError) as error:
                named = {name for name in offered if name in error.response.text}
                if not named:
                    raise
                refused |= named
            else:
                # Only now: some servers quote the whole request in every refusal.
                self._refused = refused
                return stream


class ChatSession:
    """Images that are open for questions, as they will be sent."""

    def __init__(self, vlm: ChatVLM, images: Sequence[Image.Image]) -> None:
        self._vlm = vlm
        shown = [vlm.config.show(image) for image in images]
        self.frames_wh = tuple(vlm.config.convention.frame_wh(Size(*image.size)) for image in shown)
        self._images = [image_part(image) for image in shown]

    def ask(self, questions: Sequence[Question]) -> Generator[Delta, None, list[Reply]]:
        """One question an image, one after the other. Closing the generator closes the connection.

        Raises VLMError when there is no whole reply.
        """
        replies = []
        for row, (image, question) in enumerate(zip(self._images, questions, strict=True)):
            replies.append((yield from self._ask(row, image, question)))
        return replies

    def _ask(
        self, row: int, image: ChatCompletionContentPartParam, question: Question
    ) -> Generator[Delta, None, Reply]:
        config = self._vlm.config
        crops = [image_part(config.show(crop, crop=True)) for crop in question.crops]
        # The picture first: both queries then share a prefix, which a server can cache.
        prompt: ChatCompletionContentPartParam = {"type": "text", "text": question.prompt}
        parts = [image, *crops, prompt]
        written = _Written()
        with self._vlm.writing(question.query, parts) as stream:
            for chunk in stream:
                if text := written.add(chunk):
                    yield Delta(row, text)
                if len(written.text) > MAX_CHARS_PER_TOKEN * config.max_tokens(question.query):
                    written.finish = "length"
                    break
        return written.reply(config, stream.response.headers.get("content-type", "nothing"))


@dataclass(slots=True)
class _Written:
    """A reply while it grows. Servers differ in what they leave out of a chunk, so every part is optional."""

    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    chunks: int = 0
    deltas: int = 0
    counted: int | None = None
    finish: str | None = None
    started: float = field(default_factory=time.perf_counter)
    first_token_s: float | None = None

    def add(self, chunk: object) -> str:
        """Take in one chunk of the stream and give its text."""
        self.chunks += 1
        counted = getattr(getattr(chunk, "usage", None), "completion_tokens", None)
        self.counted = counted if isinstance(counted, int) else self.counted
        choices = getattr(chunk, "choices", None)
        if not isinstance(choices, list) or not choices:
            return ""
        self.finish = getattr(choices[0], "finish_reason", None) or self.finish
        self.tokens.extend(tokens_of(choices[0]))
        text = getattr(getattr(choices[0], "delta", None), "content", None)
        if not isinstance(text, str) or not text:
            return ""
        text = text.encode("utf-8", "replace").decode()  # no page or file can take half a surrogate pair
        if self.first_token_s is None:
            self.first_token_s = time.perf_counter() - self.started
        self.text += text
        self.deltas += 1
        return text

    def reply(self, config: ServerConfig, content_type: str) -> Reply:
        """The finished reply. Raises VLMError when the stream was none, broke off, or held no text."""
        total_s = time.perf_counter() - self.started
        if not self.chunks:
            raise VLMError(
                f"The server at {config.base_url} answered with {content_type} instead of a stream of chat "
                "chunks. Check that the address is that of an OpenAI-compatible API (it often ends in /v1)."
            )
        if self.finish is None:
            raise VLMError(
                f"The server at {config.base_url} broke off in the middle of the reply. Try again; its log may say why."
            )
        if not self.text.strip():
            raise VLMError(
                f"{config.model} at {config.base_url} gave an empty reply (why it stopped: {self.finish}). "
                "Choose an instruct model rather than one that thinks first, and check its chat template."
            )
        return Reply(
            text=self.text,
            p_generated=p_generated(self.tokens),
            finish="length" if self.finish == "length" else "stop",
            tokens=self.counted or len(self.tokens) or self.deltas,
            timings_s={"first_token": self.first_token_s or total_s, "total": total_s},
        )
