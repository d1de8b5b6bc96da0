"""The routes beside Gradio's page: signing in and out, the images under review, and for leads files in and out.

Other sites are refused before anything arrives here (`demo/security.py`). Draws no page.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.background import BackgroundTask

from lte_core.dataset.manifest import BadLine
from review.accounts import Accounts, AccountsConfig, SignInError
from review.archives import ArchiveError, pack, unpack
from review.export import FORMATS, SFT, ExportConfig, ExportError, Format, export
from review.importing import ImportProblem, import_samples
from review.media import Media, MediaError
from review.records import Person
from review.store import ReviewStore

COOKIE = "lte_review"
IMPORT_PATH = "/review/import"
MOST_IMPORT_BYTES = 2 * 2**30
MOST_PROBLEMS = 50  # of an import that are sent back
EXCHANGE = ".exchange-"
LEFT_AFTER_S = 24 * 3600


def person_of(request: Request, accounts: Accounts) -> Person | None:
    """Who sends this request, by the cookie of their sign-in."""
    return accounts.person(request.cookies.get(COOKIE))


def routes(store: ReviewStore, accounts: Accounts, media: Media) -> APIRouter:
    """All routes, below /review."""
    router = APIRouter(prefix="/review")
    _add_files(router, store, accounts, media)

    @router.get("/me")
    def me(request: Request) -> Response:
        person = person_of(request, accounts)
        return JSONResponse({"name": person.name, "lead": person.leads} if person else {})

    @router.post("/sign-in")
    def sign_in(request: Request, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "") -> Response:
        address = request.client.host if request.client else "unknown"
        try:
            token = accounts.sign_in(name.strip(), password, address)
        except SignInError as problem:
            return JSONResponse({"problem": str(problem)}, 403)
        response = JSONResponse({"name": name.strip().lower()})
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(
            COOKIE, token, max_age=int(AccountsConfig.session_s), httponly=True, samesite="lax", secure=secure, path="/"
        )
        return response

    @router.post("/sign-out")
    def sign_out(request: Request) -> Response:
        if person := person_of(request, accounts):
            store.release(person)
            accounts.sign_out(request.cookies[COOKIE])
        response = JSONResponse({})
        response.delete_cookie(COOKIE, path="/")
        return response

    @router.get("/media/{sha256}")
    def image(request: Request, sha256: str) -> Response:
        if person_of(request, accounts) is None:
            return Response("Sign in on the Review tab first.", 401)
        suffix = store.image_of(sha256)
        if suffix is None:
            return Response("No sample has this image.", 404)
        try:
            data, kind = media.shown(sha256, suffix)
        except MediaError as problem:
            return Response(str(problem), 404)
        # The name is the content's hash: what a browser has of it never changes.
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=31536000, immutable"})

    return router


def _add_files(router: APIRouter, store: ReviewStore, accounts: Accounts, media: Media) -> None:
    """Import and export over the page, for leads."""
    exporting = threading.Lock()

    @router.post("/import")
    async def import_(request: Request) -> Response:
        # Nothing of the body is read before it is known who sends it.
        if refusal := await run_in_threadpool(_refused, request, accounts):
            return refusal
        with tempfile.TemporaryDirectory(dir=_beside(media), prefix=EXCHANGE) as folder:
            archive = Path(folder) / "upload.zip"
            with archive.open("wb") as file:
                async for piece in request.stream():
                    file.write(piece)
            return await run_in_threadpool(_import, archive, Path(folder) / "unpacked", store, media)

    @router.get("/export.zip")
    def export_(request: Request, format: Annotated[list[str], Query()] = list(SFT)) -> Response:  # noqa: B006
        if refusal := _refused(request, accounts):
            return refusal
        chosen: tuple[Format, ...] = tuple(name for name in FORMATS if name in format)
        if not exporting.acquire(blocking=False):
            return Response("Another export is being made. Try again when it is done.", 503)
        _sweep(media)
        with contextlib.ExitStack() as stack:
            stack.callback(exporting.release)
            folder = Path(tempfile.mkdtemp(dir=_beside(media), prefix=EXCHANGE))
            cleaning = stack.enter_context(contextlib.ExitStack())
            cleaning.callback(shutil.rmtree, folder, ignore_errors=True)
            try:
                export(store, media, folder / "export", ExportConfig(chosen))
                pack(folder / "export", folder / "export.zip")
            except (ExportError, OSError) as problem:
                return Response(f"The export failed: {problem}", 500)
            sent = BackgroundTask(cleaning.pop_all().close)
            return FileResponse(folder / "export.zip", filename="trace-reviewed.zip", background=sent)


def _refused(request: Request, accounts: Accounts) -> Response | None:
    """The answer to who is no lead."""
    person = person_of(request, accounts)
    if person is None:
        return JSONResponse({"problem": "Sign in on the Review tab first."}, 401)
    return None if person.leads else JSONResponse({"problem": "Only a lead can do this."}, 403)


def _import(archive: Path, folder: Path, store: ReviewStore, media: Media) -> Response:
    problems: list[BadLine] = []
    try:
        done = import_samples(unpack(archive, folder), store, media, report=problems.append)
    except (ArchiveError, ImportProblem) as problem:
        return JSONResponse({"problem": _for_a_page(str(problem), folder)}, 400)
    told: dict[str, Any] = {"new": done.new, "known": done.known, "bad": done.bad}
    lines = [_for_a_page(f"line {line.number}: {line.problem}", folder) for line in problems[:MOST_PROBLEMS]]
    return JSONResponse(told | {"lines": lines})


def _for_a_page(text: str, folder: Path) -> str:
    """Where the server unpacked the archive is nobody's business."""
    return text.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "").replace(str(folder.resolve()), "archive")


def _beside(media: Media) -> Path:
    """The folder around the images: on their file system, so that files can be linked."""
    media.folder.parent.mkdir(parents=True, exist_ok=True)
    return media.folder.parent


def _sweep(media: Media) -> None:
    """Remove what a download that broke off left behind."""
    for folder in _beside(media).glob(f"{EXCHANGE}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > LEFT_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)
