"""An OpenAI-compatible server: its address and key, how a picture is sent to it, and what went wrong on the way.

The key leaves through here alone, and only to the server that the user named; no message repeats it. Asks no model
anything (`openai_chat.py` for detection, `dataset/asking.py` for the TRACE pipeline).
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from PIL import Image

from lte_core.vlm.base import Query, VLMError
from lte_core.vlm.frames import Convention, convention_of
from lte_core.vlm.views import Views

if TYPE_CHECKING:
    from openai import APIError, APIStatusError, AsyncOpenAI, OpenAI
    from openai.types.chat import ChatCompletionContentPartParam

CONNECT_TIMEOUT_S = 10.0
MIN_SECRET_CHARS = 8  # shorter keys are placeholders such as "none", and also parts of words


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the model is and how it is asked. All defaults are ours."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)  # None: the variable below, else "none"
    key_variable: str = "OPENAI_API_KEY"
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


class Server:
    """One server with its key, and its errors in words for people."""

    def __init__(self, config: ServerConfig) -> None:
        """Contacts nobody yet. Raises VLMError for a key that cannot be sent."""
        self.config = config
        self._key = (config.api_key or os.environ.get(config.key_variable) or "").strip() or "none"
        if not (self._key.isascii() and self._key.isprintable()):
            raise VLMError(f"The API key holds characters that no key has. Copy it into {config.key_variable} again.")

    def client(self) -> OpenAI:
        from openai import DefaultHttpxClient, OpenAI

        with self._environment() as from_environment:
            # Neither the key nor the picture goes to a server that the user did not name.
            http = DefaultHttpxClient(follow_redirects=False, trust_env=from_environment)
        return OpenAI(**self._options(), http_client=http)

    def async_client(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        with self._environment() as from_environment:
            http = DefaultAsyncHttpxClient(follow_redirects=False, trust_env=from_environment)
        return AsyncOpenAI(**self._options(), http_client=http)

    @contextmanager
    def _environment(self) -> Iterator[bool]:
        """Whether the environment's proxies hold for this server: not for one on this machine, whose pictures would
        leave it. Raises VLMError where they cannot be used."""
        from httpx import InvalidURL

        try:
            yield not re.fullmatch(r"localhost|127\.[\d.]+|::1", urlsplit(self.config.base_url).hostname or "")
        # A SOCKS proxy without its package, an unknown kind, a bad NO_PROXY, a file of certificates that is not there.
        except (ImportError, ValueError, InvalidURL, OSError) as problem:
            raise VLMError(
                f"The environment's proxy or certificates cannot be used to reach {self.config.base_url} ({problem}). "
                "Correct ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, NO_PROXY or SSL_CERT_FILE, or leave them unset."
            ) from None

    def _options(self) -> dict[str, Any]:
        from openai import Timeout

        config = self.config
        return {
            "api_key": self._key,
            "base_url": config.base_url,
            "timeout": Timeout(config.timeout_s, connect=min(CONNECT_TIMEOUT_S, config.timeout_s)),
            "max_retries": config.retries,
        }

    def explain(self, error: APIError) -> str:
        """What went wrong between us and the server, and what to do about it."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        url = self.config.base_url
        if isinstance(error, APIStatusError):
            return f"The server at {url} {self._explain_status(error)}"
        if isinstance(error, APITimeoutError):
            tries = f", {self.config.retries + 1} times" if self.config.retries else ""
            return (
                f"The server at {url} was silent for {self.config.timeout_s:g} s{tries}. "
                "Check that it is up and not overloaded, or allow more by LTE_TIMEOUT_S."
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
        tried = f"after up to {self.config.retries} retries ({status})"
        if status in (401, 403):
            return f"refuses the API key ({status}). Set {self.config.key_variable} to one that may use {model}."
        if status == 404:
            return f"does not offer {model} (404). {self._offered_models()}"
        if status == 413:
            return "finds the pictures too large (413). Lower LTE_MAX_PIXELS, or raise its limit on requests."
        if status == 429:
            return f"is over its limit {tried}: {words}. Wait, or send less at once."
        if 300 <= status < 400:
            target = error.response.headers.get("location", "nowhere")
            return f"sends us on to {target}, which we do not follow. If you trust it, use that address."
        if re.search(r"context|max_model_len|too long|longer than", words, re.IGNORECASE):
            return f"has no room for this request ({status}): {words}. Lower LTE_MAX_PIXELS and LTE_CROP_MAX_PIXELS."
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

        brief = self.client().with_options(max_retries=0, timeout=CONNECT_TIMEOUT_S)
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
        words = self.without_key(" ".join(str(body or error.message).split()))
        return "no reason given" if words.startswith("<") else words[:300].rstrip(".")

    def without_key(self, text: str) -> str:
        """Also without half characters, which no file and no terminal can take."""
        text = text.encode("utf-8", "replace").decode()
        return text.replace(self._key, "***") if len(self._key) >= MIN_SECRET_CHARS else text


def image_part(shown: Image.Image) -> ChatCompletionContentPartParam:
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
