"""What every request and response of the app passes through: who may send, what and how much; with which headers.

Plain ASGI, in front of Gradio and of every route beside it. Signing in is elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READING = ("GET", "HEAD", "OPTIONS")

# Gradio routes through which a visitor would make this server fetch an address of their choice.
_FETCHING = ("/gradio_api/proxy=", "/gradio_api/file=http", "/gradio_api/file/http")

# Gradio compiles its templates in the browser (unsafe-eval) and configures itself in inline scripts. Attributes
# such as onerror= it does not need: forbidding them stops most of what an injected piece of HTML could do, and
# connect-src keeps the rest from telling anyone.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; script-src-attr 'none'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {framed_by}"
)


# Messages of the page are small; only files are large, and they come as multipart forms.
_MOST_MESSAGE_BYTES = 2**20
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


@dataclass(frozen=True, slots=True)
class Guard:
    """ASGI middleware. `framed_by` are the pages that may show the app in a frame, as in frame-ancestors; `streams`
    are paths that read their bodies themselves, piece by piece, with the most bytes that they take."""

    app: ASGIApp
    max_bytes: int
    framed_by: str = "'self'"
    streams: Mapping[str, int] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], scope["path"], headers)
        passed_on = scope["method"] in _READING or _is_form(headers) or scope["path"] in self.streams
        if refusal is None and not passed_on:
            body = await _read(receive)
            refusal, receive = _refusal_of(body), _replay(body, receive)
        await (refusal or self.app)(scope, receive, self._with_headers(send))

    def _refusal(self, method: str, path: str, headers: Headers) -> PlainTextResponse | None:
        if path.startswith(_FETCHING):
            return PlainTextResponse("This server fetches nothing from other addresses.", 403)
        if method in _READING:
            return None
        if not _same_origin(headers):
            return PlainTextResponse("Requests from other sites are refused. Open the app itself.", 403)
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return PlainTextResponse("Send a Content-Length.", 411)
        most = self.max_bytes if _is_form(headers, "multipart/form-data") else _MOST_MESSAGE_BYTES
        most = self.streams.get(path, most)
        if int(length) > most:
            return PlainTextResponse(f"At most {most // 2**20} MB are accepted.", 413)
        return None

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY.format(framed_by=self.framed_by)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Permissions-Policy"] = "camera=(self), clipboard-read=(self), geolocation=(), microphone=()"
            await send(message)

        return sending


def _same_origin(headers: Headers) -> bool:
    """True when the Origin names this host, and without one: programs send none. A browser that sends none tells by
    another header when the page that asks is another site's.

    A proxy may hide the host behind its own. The forwarded one can be believed here: another site's page cannot
    set that header without being asked first (CORS), and is then refused.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    host = urlsplit(origin).netloc
    return bool(host) and host in (headers.get("host"), headers.get("x-forwarded-host"))


def _is_form(headers: Headers, *kinds: str) -> bool:
    return headers.get("content-type", "").startswith(kinds or _FORMS)


async def _read(receive: Receive) -> bytes:
    """The whole body, or what came of it before the sender went away."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """`receive`, with the body that was already read in front."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replaying() -> Message:
        return messages.pop() if messages else await receive()

    return replaying


def _refusal_of(body: bytes) -> PlainTextResponse | None:
    """Refuse a message that names an address as a file: Gradio would fetch it, for whichever component."""
    try:
        message = json.loads(body or b"null")
    except (ValueError, RecursionError):
        return PlainTextResponse("Send JSON.", 400)
    if _names_address(message):
        return PlainTextResponse("Send the picture itself, not its address.", 400)
    return None


def _names_address(value: Any) -> bool:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case {"path": str(path)} if "://" in path:
                return True
            case dict() as entries:
                waiting.extend(entries.values())
            case list() as entries:
                waiting.extend(entries)
    return False
