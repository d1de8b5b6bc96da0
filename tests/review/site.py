"""The whole app with a review in it on a real port, and a reviewer's browser without a browser."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from lte_core.schema import TraceSample, Verdict
from review.database import open_database
from review.incoming import Incoming
from review.keys import read_keys
from review.media import Media
from review.tab import Review
from tests.demo.fakes import FakeVLM, scene, served
from tests.review.conftest import PASSWORD, Desk, make_desk, sample

DESK = "rv-desk"


@dataclass
class Site:
    """The app's address, the review in it, and its folder of data."""

    url: str
    work: Desk
    media: Media
    folder: Path

    def visitor(self) -> Reviewer:
        client = httpx.Client(base_url=self.url, timeout=20, headers={"origin": self.url})
        return Reviewer(client, client.get("/config").json())

    def signed_in(self, name: str) -> Reviewer:
        visitor = self.visitor()
        assert visitor.sign_in(name).status_code == 200
        return visitor


@dataclass
class Reviewer:
    """Sends what the page sends."""

    client: httpx.Client
    config: dict[str, Any]

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        return self.client.post("/review/sign-in", data={"name": name, "password": password})

    def asks(self, **act: Any) -> dict[str, Any]:
        """What the page is told to show."""
        desk = next(c["id"] for c in self.config["components"] if c["props"].get("elem_id") == DESK)
        event = next(e for e in self.config["dependencies"] if desk in e["inputs"] and desk in e["outputs"])
        body = {"data": [act], "fn_index": event["id"], "session_hash": "test"}
        answer = self.client.post("/gradio_api/run/predict", json=body)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()["data"][0]
        return shown


def picture(number: int, size: tuple[int, int] = (200, 100)) -> bytes:
    """A picture of its own for every number."""
    image = scene(size)
    image.putpixel((0, 0), (number % 256, number // 256, 9))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def with_picture(media: Media, number: int, size: tuple[int, int] = (200, 100), **changes: Any) -> Incoming:
    """A sample whose image is in the store."""
    kept = media.keep(picture(number, size))
    label = Verdict.GENERATED if number % 2 else Verdict.REAL
    plain: TraceSample = replace(
        sample(number, label), sha256=kept.measured.sha256, width=size[0], height=size[1], **changes
    )
    return Incoming(plain, kept.suffix, {"similarity": 0.5, "min_iou": 0.6})


@contextmanager
def reviewed_site(folder: Path, samples: int = 4, size: tuple[int, int] = (200, 100)) -> Iterator[Site]:
    engine = open_database(f"sqlite:///{folder / 'review.db'}")
    work, media = make_desk(engine), Media(folder / "images")
    work.store.add([with_picture(media, number, size) for number in range(samples)])
    review = Review(work.store, work.accounts, media, read_keys(""))
    try:
        with served(FakeVLM(), review=review) as url:
            yield Site(url, work, media, folder)
    finally:
        engine.dispose()
