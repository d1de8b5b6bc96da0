"""A model behind any OpenAI-compatible server (vLLM, SGLang, transformers serve, a hosted API).

Pictures go out as PNG data URLs, replies come back as a stream of text, with P(generated) where the server
lists log-probabilities. Nothing beyond the standard `/chat/completions` is asked for; no reply is read here.

Pictures are resized here to what Qwen-VL would make of them, so that the frame of a reply's boxes is known:
the server's own pixel limits must not be narrower than `views`. They go as PNG because JPEG artefacts are
evidence: a second compression would hide some and invent others, and one picture would be judged otherwise
here than by a local model. At the default limits a picture takes about 3 MB at most, and 0.1 s to encode.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from PIL import Image

from lte_core.schema import ModelInfo, Size
from lte_core.vlm.base import Delta, Query, Question, Reply, VLMError
from lte_core.vlm.frames import Convention, convention_of
from lte_core.vlm.logprobs import Token, p_generated, tokens_of
from lte_core.vlm.views import Views

if TYPE_CHECKING:
    from openai import APIError, APIStatusError, Stream
    from openai.types.chat import ChatCompletionChunk, ChatCompletionContentPartParam

CONNECT_TIMEOUT_S = 10.0
TOP_LOGPROBS = 20  # the most that the API allows
MAX_CHARS_PER_TOKEN = 32  # a reply beyond this comes from a server that ignores max_tokens
MIN_SECRET_CHARS = 8  # shorter keys are placeholders such as "none", and also parts of words


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the model is and how it is asked. All defaults are ours."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)  # None: OPENAI_API_KEY, else "none"
    timeout_s: float = 120.0  # of silence, not of a whole reply
    retries: int = 3
    locate_tokens: int = 1024
    examine_tokens: int = 768
    concurrency: int = 8
    views: Views = field(default_factory=Views)
    relative_boxes: bool | None = None  # None: by the model's name
    seed: int = 0
    temperature: float = 0.0

    @property
    def convention(self) -> Convention:
        known = convention_of(self.model)
        return known if self.relative_boxes is None else known._replace(relative=self.relative_boxes)

    def max_tokens(self, query: Query) -> int:
        return self.locate_tokens if query is Query.LOCATE else self.examine_tokens

    def show(self, image: Image.Image, *, crop: bool = False) -> Image.Image:
        """The picture as the model is shown it. Raises VLMError for a strip too thin to see."""
        rgb = image.convert("RGB")
        try:
            return self.views.show(rgb, crop=crop, factor=self.convention.factor)
        except ValueError as error:
            raise VLMError(f"This picture is too thin: {error}. Cut it to the part that matters.") from None


def parse_address(model: str) -> ServerConfig | None:
    """The server in `http(s)://host/v1#model-name`; None for a model that is not an address.

    Raises VLMError for an address that cannot be used.
    """
    if not re.match(r"https?://", model, re.IGNORECASE):
        return None
    base_url, _, name = (part.strip() for part in model.partition("#"))
    base_url = base_url.rstrip("/")
    shape = "Write it as http(s)://host/v1#model-name"
    try:
        url = urlsplit(base_url)
        host, _port = url.hostname or "", url.port
    except ValueError as error:
        raise VLMError(f"This is not an address: {error}. {shape}.") from None
    # The address appears in messages and reports, and these parts may be secrets: do not repeat them here.
    if url.username is not None or url.query:
        raise VLMError(f"An address takes no password or query. {shape}, and put the key in OPENAI_API_KEY.")
    if not re.fullmatch(r"[\w.:-]+", host, re.ASCII):
        raise VLMError(f"The address {base_url} has no usable host name. {shape}.")
    if not name:
        raise VLMError(f"The address {base_url} names no model. {shape}; {base_url}/models lists the names.")
    return ServerConfig(base_url, name)


class ChatVLM:
    """A model behind a URL. A session is one image; the server batches across `concurrency` sessions."""

    batch_size = 1

    def __init__(self, config: ServerConfig) -> None:
        """Contacts nobody yet. Raises VLMError for a key that cannot be sent."""
        from openai import DefaultHttpxClient, OpenAI, Timeout

        self.config = config
        self.info = ModelInfo(config.model)
        self._key = (config.api_key or os.environ.get("OPENAI_API_KEY") or "none").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise VLMError("The API key holds characters that no key has. Copy it into OPENAI_API_KEY again.")
        self._client = OpenAI(
            api_key=self._key,
            base_url=config.base_url,
            timeout=Timeout(config.timeout_s, connect=min(CONNECT_TIMEOUT_S, config.timeout_s)),
            max_retries=config.retries,
            # Neither the key nor the picture goes to a server that the user did not name.
            http_client=DefaultHttpxClient(follow_redirects=False),
        )
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
            raise VLMError(self._without_key(self._explain(error))) from None
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

    def _explain(self, error: APIError) -> str:
        """What went wrong between us and the server, and what to do about it."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        url = self.config.base_url
        if isinstance(error, APIStatusError):
            return f"The server at {url} {self._explain_status(error)}"
        if isinstance(error, APITimeoutError):
            return (
                f"The server at {url} was silent for {self.config.timeout_s:g} s. "
                "Check that it is up and not overloaded, or allow a longer timeout."
            )
        if not isinstance(error, APIConnectionError):  # an error event inside the stream
            return f"The server at {url} gave up on the reply: {self._words_of(error)}. Its log may say more."
        cause = _network_error(error)
        if isinstance(cause, socket.gaierror):
            return f"No server has the name {urlsplit(url).hostname}. Check the address {url}."
        if isinstance(cause, ConnectionRefusedError):
            return f"Nothing answers at {url}. Start the server there, or check the host and port."
        if isinstance(cause, ssl.SSLError):
            return f"No safe connection to {url}: {cause}. Check its certificate, and http or https."
        return f"The connection to {url} broke: {cause}. Try again; the server's log may say why."

    def _explain_status(self, error: APIStatusError) -> str:
        """What follows "The server at …", by HTTP status and by what the server said."""
        model, status, words = self.config.model, error.status_code, self._words_of(error)
        tried = f"even after {self.config.retries} retries ({status})"
        if status in (401, 403):
            return f"refuses the API key ({status}). Set OPENAI_API_KEY to one that may use {model}."
        if status == 404:
            return f"does not offer {model} (404). {self._offered_models()}"
        if status == 413:
            return "finds the pictures too large (413). Lower max_pixels, or raise its limit on requests."
        if status == 429:
            return f"is over its limit {tried}: {words}. Wait, or send less at once."
        if 300 <= status < 400:
            target = error.response.headers.get("location", "nowhere")
            return f"sends us on to {target}, which we do not follow. If you trust it, use that address."
        if re.search(r"context|max_model_len|too long|longer than", words, re.IGNORECASE):
            return f"has no room for this request ({status}): {words}. Lower max_pixels and crop_max_pixels."
        if re.search(r"image|vision|multi-?modal", words, re.IGNORECASE):
            return (
                f"does not take these pictures for {model} ({status}): {words}. "
                "Choose a vision model, and let the server accept several images in a request."
            )
        if status >= 500:
            return f"failed {tried}: {words}. Its log may say more."
        return f"refuses the request ({status}): {words}."

    def _offered_models(self) -> str:
        from openai import OpenAIError

        brief = self._client.with_options(max_retries=0, timeout=CONNECT_TIMEOUT_S)
        try:
            # Not `models.list()`, which crashes on an answer that is not the JSON it expects.
            page = brief.get("/models", cast_to=object)
        except (OpenAIError, json.JSONDecodeError):
            page = None
        listed = page.get("data") if isinstance(page, dict) else None
        entries = listed if isinstance(listed, list) else []
        names = [str(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry]
        if not names:
            return "Check the model's name, and the address: it often ends in /v1."
        return f"It offers {', '.join(names[:10])}{', …' if len(names) > 10 else ''}."

    def _words_of(self, error: APIError) -> str:
        """What the server itself said, shortened; servers speak in several shapes, or in HTML."""
        body = error.body
        if isinstance(body, dict):
            body = body.get("message") or body.get("detail") or body.get("error") or body
        words = self._without_key(" ".join(str(body or error.message).split()))
        return "no reason given" if words.startswith("<") else words[:300].rstrip(".")

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if len(self._key) >= MIN_SECRET_CHARS else text


class ChatSession:
    """Images that are open for questions, as they will be sent."""

    def __init__(self, vlm: ChatVLM, images: Sequence[Image.Image]) -> None:
        self._vlm = vlm
        shown = [vlm.config.show(image) for image in images]
        self.frames_wh = tuple(vlm.config.convention.frame_wh(Size(*image.size)) for image in shown)
        self._images = [_image_part(image) for image in shown]

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
        crops = [_image_part(config.show(crop, crop=True)) for crop in question.crops]
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


def _image_part(shown: Image.Image) -> ChatCompletionContentPartParam:
    """Pixels only: no colour profile or other metadata leaves the house."""
    png = io.BytesIO()
    shown.save(png, "PNG", compress_level=1, icc_profile=None)  # a third of level 6's time, 8-20 % more bytes
    data = base64.b64encode(png.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _network_error(error: APIError) -> BaseException:
    """What the operating system said under the SDK's error; the SDK's cause where it said nothing."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, socket.gaierror | ConnectionError | ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause or error.__cause__ or error
