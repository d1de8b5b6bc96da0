"""Leads put samples in and take them out over the page, as zip files; nobody else does."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from lte_core.dataset.manifest import to_line
from lte_core.schema import Box, Region
from review.archives import ArchiveError, pack, unpack
from review.export import FORMATS
from review.media import Media
from review.records import Action, State, Submission
from review.samples import MANIFEST, load_samples
from tests.review.conftest import Desk, sample
from tests.review.site import Site, picture, reviewed_site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    with reviewed_site(tmp_path / "data") as site:
        yield site


def zipped(files: dict[str, bytes | str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return file.getvalue()


def damaged(archive: bytes) -> bytes:
    """Its first file's compressed bytes are no deflate stream."""
    start = 30 + len("manifest.jsonl")
    return archive[:start] + b"\xff\xff\xff" + archive[start + 3 :]


def manifest_zip(first: int, count: int, folder: str = "") -> bytes:
    files: dict[str, bytes | str] = {}
    lines = []
    for number in range(first, first + count):
        data = picture(number)
        files[f"{folder}images/{number}.png"] = data
        lines.append(
            to_line(
                replace(sample(number), image=f"images/{number}.png", sha256=hashlib.sha256(data).hexdigest(),
                        regions=(Region(Box(10, 20, 60, 80), "hand"),))
            )
        )  # fmt: skip
    files[f"{folder}manifest.jsonl"] = "\n".join([*lines, "no sample"]) + "\n"
    return zipped(files)


def send(site: Site, name: str, body: bytes) -> httpx.Response:
    reviewer = site.signed_in(name)
    return reviewer.client.post("/review/import", content=body, headers={"content-type": "application/zip"})


def test_a_lead_imports_a_zip_and_is_told_of_bad_lines(site: Site) -> None:
    told = send(site, "lea", manifest_zip(10, 3, "trace/")).json()
    assert (told["new"], told["known"], told["bad"]) == (3, 0, 1)
    assert told["lines"][0].startswith("line 4: ")
    assert site.work.store.counts().total == 7
    assert send(site, "lea", manifest_zip(10, 3)).json()["known"] == 3
    eventually_gone(site)


@pytest.mark.parametrize(("name", "status"), [("ana", 403), (None, 401)])
@pytest.mark.parametrize(("method", "path"), [("POST", "/review/import"), ("GET", "/review/export.zip")])
def test_nobody_else_does(site: Site, name: str | None, status: int, method: str, path: str) -> None:
    reviewer = site.signed_in(name) if name else site.visitor()
    body = manifest_zip(10, 3) if method == "POST" else None
    answer = reviewer.client.request(method, path, content=body, headers={"content-type": "application/zip"})
    assert answer.status_code == status
    assert site.work.store.counts().total == 4


def test_another_site_cannot_make_a_lead_import(site: Site) -> None:
    lead = site.signed_in("lea")
    answer = lead.client.post("/review/import", content=manifest_zip(10, 3), headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert site.work.store.counts().total == 4


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no zip file"),
        (b"PK\x03\x04 torn", "no zip file"),
        (damaged(zipped({"manifest.jsonl": "x" * 999})), "no zip file"),
        (zipped({"manifest.jsonl": "{}", "ü.txt": "x"}).replace("ü".encode(), b"\xff\xfe"), "no zip file"),
        (zipped({"a.txt": "nothing"}), "no manifest.jsonl"),
        (zipped({"a.jsonl": "", "b.jsonl": ""}), "2 manifests"),
    ],
)
def test_what_is_no_archive_of_samples_is_said(site: Site, body: bytes, said: str) -> None:
    answer = send(site, "lea", body)
    assert answer.status_code == 400
    assert said in answer.json()["problem"]


def test_where_the_server_unpacks_is_not_told(site: Site) -> None:
    answer = send(site, "lea", zipped({"manifest.jsonl": '{"schema": "trace/1"}\n', "b.jsonl": ""}))
    told = answer.text + send(site, "lea", zipped({"x.json": "nonsense"})).text
    assert "x.json cannot be read" in told
    assert ".exchange-" not in told


def test_no_name_in_an_archive_leaves_the_folder(tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    archive.write_bytes(zipped({"../../outside.txt": "x", "/root.txt": "x", "manifest.jsonl": ""}))
    manifest = unpack(archive, tmp_path / "in")
    assert manifest == tmp_path / "in" / "manifest.jsonl"
    assert {path.name for path in tmp_path.iterdir()} == {"evil.zip", "in"}


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "bomb.zip"
    archive.write_bytes(zipped({"manifest.jsonl": "0" * 5_000_000}))
    monkeypatch.setattr("review.archives.MOST_UNPACKED", 1_000_000)
    with pytest.raises(ArchiveError, match="more than"):
        unpack(archive, tmp_path / "in")
    assert not (tmp_path / "in").exists()


def test_a_lead_takes_reviewed_samples_away_with_an_account_of_the_rest(site: Site, tmp_path: Path) -> None:
    work = site.work
    task = work.store.next(work.ana)
    assert task
    work.store.decide(work.ana, Submission(task.id, task.version, Action.ACCEPT, "token-accept-1"))
    lead = site.signed_in("lea")
    answer = lead.client.get("/review/export.zip", params={"format": ["trl", "coco"]})
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert len(packed.read("manifest.jsonl").splitlines()) == 1
        account = json.loads(packed.read("EXPORT.json"))
        assert any(name.startswith("trl/") or "trl" in name for name in packed.namelist())
    assert "not reviewed" in json.dumps(account)
    assert lead.client.get("/review/export.zip", params={"format": ["trl", "coco"]}).content == answer.content
    eventually_gone(site)


def eventually_gone(site: Site) -> None:
    """The server clears up after the answer, which is here a moment earlier."""
    until = time.monotonic() + 10
    while any(path.name.startswith(".exchange") for path in site.folder.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_a_broken_download_left_is_swept_the_next_day(site: Site) -> None:
    left, fresh = site.folder / ".exchange-old", site.folder / ".exchange-new"
    left.mkdir()
    fresh.mkdir()
    os.utime(left, (0, 0))
    assert site.signed_in("lea").client.get("/review/export.zip").status_code == 200
    assert (left.exists(), fresh.exists()) == (False, True)


def test_an_export_comes_in_again_elsewhere(site: Site, tmp_path: Path) -> None:
    work = site.work
    while task := work.store.next(work.ana):
        work.store.decide(work.ana, Submission(task.id, task.version, Action.ACCEPT, f"token-accept-{task.id}"))
    packed = site.signed_in("lea").client.get("/review/export.zip").content
    with reviewed_site(tmp_path / "other", samples=0) as other:
        told = send(other, "lea", packed).json()
    assert (told["new"], told["bad"]) == (4, 0)


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "x.jpg").write_bytes(b"x" * 100)
    (tmp_path / "a" / "m.jsonl").write_text("{}\n" * 100)
    for name in ("1.zip", "2.zip"):
        pack(tmp_path / "a", tmp_path / name)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_the_page_offers_every_format() -> None:
    script = (Path(__file__).parents[2] / "review" / "lead.js").read_text(encoding="utf-8")
    listed = script[script.index("FORMATS = {") : script.index("};")]
    assert all(f"{name}: " in listed or f'"{name}": ' in listed for name in FORMATS)


def test_the_samples_that_ship_are_whole(work: Desk, tmp_path: Path) -> None:
    done = load_samples(work.store, Media(tmp_path / "images"))
    assert (done.new, done.bad) == (24, 0)
    assert MANIFEST.is_file()
    labels = [row.proposed.label for row in work.store.rows()]
    assert 8 <= sum(label == "generated" for label in labels) <= 16
    assert work.store.counts().by_state == {State.OPEN: 24}
