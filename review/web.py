"""The routes beside Gradio's page: signing in and out, and the images under review.

Other sites are refused before anything arrives here (`demo/security.py`). Draws no page.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, Response

from review.accounts import Accounts, AccountsConfig, SignInError
from review.media import Media, MediaError
from review.records import Person
from review.store import ReviewStore

COOKIE = "lte_review"


def person_of(request: Request, accounts: Accounts) -> Person | None:
    """Who sends this request, by the cookie of their sign-in."""
    return accounts.person(request.cookies.get(COOKIE))


def routes(store: ReviewStore, accounts: Accounts, media: Media) -> APIRouter:
    """All routes, below /review."""
    router = APIRouter(prefix="/review")

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
