"""What files say about their origin: five states of signed credentials kept apart, and tags in the metadata."""

from __future__ import annotations

import datetime as dt
import io
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import c2pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lte_core.images import read_image
from lte_core.provenance import Credentials, CredentialState, MetadataTag, clean, read_provenance
from tests.pictures import DECODED, encode, png_chunk, scene
from tests.signing import AI, CAMERA, SOURCE_TYPE, Studio, open_studio


@pytest.fixture(scope="module")
def studio() -> Studio:
    return open_studio()


def credentials(data: bytes, trust_anchors: str = "") -> Credentials:
    return read_provenance(data, trust_anchors).credentials


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "tiff raw", "gif"])
def test_plain_pictures_have_no_credentials(name: str) -> None:
    found = credentials(DECODED[name][0])
    assert found.state is CredentialState.ABSENT
    assert "says nothing" in found.summary


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "tiff raw", "gif"])
def test_signed_pictures_of_an_unknown_signer_are_untrusted(studio: Studio, name: str) -> None:
    data, format, _ = DECODED[name]
    found = credentials(studio.sign(data, format))
    assert found.state is CredentialState.UNTRUSTED
    assert (found.issuer, found.claim_generator, found.ai_generated) == ("Test Studio", "Test generator", True)
    assert "say that AI made it" in found.summary
    assert "not confirmed" in found.summary


def test_a_signer_is_trusted_only_through_its_own_root(studio: Studio) -> None:
    signed = studio.sign(*DECODED["jpeg"][:2])
    found = credentials(signed, studio.root)
    assert found.state is CredentialState.TRUSTED
    assert "trusted" in found.summary
    assert credentials(signed, open_studio().root).state is CredentialState.UNTRUSTED


@pytest.mark.parametrize(
    ("source_type", "expected"),
    [
        pytest.param(AI, True, id="trained"),
        pytest.param(SOURCE_TYPE + "compositeWithTrainedAlgorithmicMedia", True, id="composite"),
        pytest.param(CAMERA, False, id="camera"),
    ],
)
def test_what_the_credentials_claim(studio: Studio, source_type: str, expected: bool) -> None:
    assert credentials(studio.sign(*DECODED["jpeg"][:2], source_type)).ai_generated is expected


@pytest.mark.parametrize("trusted", [False, True])
def test_a_picture_changed_after_signing_is_invalid(studio: Studio, trusted: bool) -> None:
    signed = bytearray(studio.sign(*DECODED["jpeg"][:2]))
    signed[-20] ^= 1
    found = credentials(bytes(signed), studio.root if trusted else "")
    assert found.state is CredentialState.INVALID
    assert "changed after signing" in found.summary
    assert found.issuer == "Test Studio"


def test_unreadable_credentials_are_invalid_and_not_absent(studio: Studio) -> None:
    signed = studio.sign(*DECODED["jpeg"][:2])
    at = signed.index(b"c2pa") + 60
    found = credentials(signed[:at] + b"\xff" * 400 + signed[at + 400 :])
    assert found.state is CredentialState.INVALID


def test_an_expired_certificate_is_untrusted_and_not_invalid() -> None:
    """The file is unchanged, and without a trusted time stamp nobody can say when it was signed."""
    studio = open_studio(valid=dt.timedelta(seconds=2))
    signed = studio.sign(*DECODED["jpeg"][:2])
    time.sleep(3.1)  # certificates count in whole seconds, the last one included
    with c2pa.Reader("image/jpeg", io.BytesIO(signed)) as reader:
        assert reader.get_validation_state() == "Invalid"
    assert credentials(signed).state is CredentialState.UNTRUSTED
    assert credentials(signed, studio.root).state is CredentialState.UNTRUSTED


def test_nothing_is_fetched(studio: Studio) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        data = studio.sign(*DECODED["jpeg"][:2], remote=f"http://127.0.0.1:{server.server_port}/manifest.c2pa")
        found = credentials(data)
        assert asked == []
        with pytest.raises(c2pa.C2paError):  # negative control: by default the library does ask
            c2pa.Reader("image/jpeg", io.BytesIO(data))
        assert asked == ["/manifest.c2pa"]
    finally:
        server.shutdown()
        server.server_close()
    assert found.state is CredentialState.UNCHECKED
    assert "another server" in found.summary


def test_without_the_library_credentials_are_unchecked(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = studio.sign(*DECODED["png"][:2])
    monkeypatch.setitem(sys.modules, "c2pa", None)
    found = credentials(signed)
    assert found.state is CredentialState.UNCHECKED
    assert "c2pa-python" in found.summary


def test_a_file_of_endless_pieces_is_left_unchecked() -> None:
    whole = DECODED["png"][0]
    found = credentials(whole[:33] + png_chunk(b"abCd", b"") * 150_000 + whole[33:])
    assert found.state is CredentialState.UNCHECKED
    assert "too many small pieces" in found.summary


SIGNED = {"JPEG": b"", "PNG": b""}


@given(
    format=st.sampled_from(sorted(SIGNED)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=12), st.integers(0, 12)), max_size=6),
    end=st.floats(0.01, 1),
)
@settings(deadline=None, max_examples=150)
def test_damaged_files_raise_nothing(format: str, edits: list[tuple[float, bytes, int]], end: float) -> None:
    data = SIGNED[format] = SIGNED[format] or open_studio().sign(encode(scene(), format), format)
    for fraction, some, removed in edits:
        at = int(fraction * len(data))
        data = data[:at] + some + data[at + removed :]
    found = read_provenance(data[: int(end * len(data))])
    assert found.credentials.state in set(CredentialState)
    assert found.credentials.summary.endswith(".")


def exif(tags: dict[int, Any], comment: bytes = b"") -> bytes:
    block = Image.Exif()
    for tag, value in tags.items():
        block[tag] = value
    if comment:
        block.get_ifd(0x8769)[0x9286] = comment
    return block.tobytes()


def png_with(key: str, value: str, compressed: bool = False, international: bool = False) -> bytes:
    info = PngInfo()
    if international:
        info.add_itxt(key, value, zip=compressed)
    else:
        info.add_text(key, value, zip=compressed)
    return encode(scene(), "PNG", pnginfo=info)


def xmp(body: str) -> bytes:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{body}</rdf:RDF></x:xmpmeta>'.encode()


def jpeg_with(marker: int, body: bytes) -> bytes:
    jpeg = encode(scene(), "JPEG")
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def iptc(field: int, text: bytes) -> bytes:
    dataset = struct.pack(">BBBH", 0x1C, 2, field, len(text)) + text
    return b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(dataset)) + dataset


def said(source: str, key: str, value: str, named: bool) -> list[MetadataTag]:
    return [MetadataTag(source, key, value, named)]


A1111 = "a cat on a mat, " * 20 + "\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7"
SD_EXIF = exif({}, b"UNICODE\0" + A1111.encode("utf-16-be"))
SOFT = exif({0x010F: "Fairchild", 0x0110: "Box 3", 0x0131: "Adobe Photoshop 26", 0x010E: "Holiday in Kent"})
CREDIT = '<rdf:Description photoshop:Credit="Made with Google AI" xmp:CreatorTool="Paint 3"/>'
SOURCE = f"<rdf:Description><Iptc4xmpExt:DigitalSourceType>{AI}</Iptc4xmpExt:DigitalSourceType></rdf:Description>"
TAGGED: dict[str, tuple[bytes, list[MetadataTag]]] = {
    "nothing": (encode(scene(), "PNG"), []),
    "AUTOMATIC1111": (png_with("parameters", A1111), said("PNG text", "parameters", clean(A1111), True)),
    "ComfyUI": (
        png_with("prompt", '{"3": {"class_type": "KSampler"}}', compressed=True),
        said("PNG text", "prompt", '{"3": {"class_type": "KSampler"}}', True),
    ),
    "ComfyUI, international": (
        png_with("workflow", '{"nodes": []}', compressed=True, international=True),
        said("PNG text", "workflow", '{"nodes": []}', True),
    ),
    "Midjourney": (
        png_with("Description", "a fox --v 6 Job ID: 3f0d7a2e-1c"),
        said("PNG text", "Description", "a fox --v 6 Job ID: 3f0d7a2e-1c", True),
    ),
    "NovelAI": (png_with("Software", "NovelAI"), said("PNG text", "Software", "NovelAI", True)),
    "an editor is neutral": (
        png_with("Software", "GIMP 3.0"),
        said("PNG text", "Software", "GIMP 3.0", False),
    ),
    "a description is nobody's business": (png_with("Description", "Grandmother, 1962"), []),
    "user comment in JPEG": (
        encode(scene(), "JPEG", exif=SD_EXIF),
        said("EXIF", "UserComment", clean(A1111), True),
    ),
    "user comment in WebP": (
        encode(scene(), "WEBP", exif=SD_EXIF),
        said("EXIF", "UserComment", clean(A1111), True),
    ),
    "user comment in AVIF": (
        encode(scene(), "AVIF", exif=SD_EXIF, speed=10),
        said("EXIF", "UserComment", clean(A1111), True),
    ),
    "camera": (
        encode(scene(), "JPEG", exif=SOFT),
        [
            MetadataTag("EXIF", "Make", "Fairchild", False),
            MetadataTag("EXIF", "Model", "Box 3", False),
            MetadataTag("EXIF", "Software", "Adobe Photoshop 26", False),
        ],
    ),
    "exif in PNG": (
        encode(scene(), "PNG", exif=exif({0x0131: "DALL-E 3"})),
        said("EXIF", "Software", "DALL-E 3", True),
    ),
    "exif in TIFF": (
        encode(scene(), "TIFF", exif=exif({0x0131: "Ideogram"})),
        said("EXIF", "Software", "Ideogram", True),
    ),
    "xmp attributes": (
        jpeg_with(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(CREDIT)),
        [
            MetadataTag("XMP", "Credit", "Made with Google AI", True),
            MetadataTag("XMP", "CreatorTool", "Paint 3", False),
        ],
    ),
    "xmp source type": (encode(scene(), "WEBP", xmp=xmp(SOURCE)), said("XMP", "DigitalSourceType", AI, True)),
    "xmp source type of a camera": (
        encode(scene(), "WEBP", xmp=xmp(SOURCE.replace(AI, CAMERA))),
        said("XMP", "DigitalSourceType", CAMERA, False),
    ),
    "xmp, compressed in PNG": (
        png_with("XML:com.adobe.xmp", xmp(SOURCE).decode(), compressed=True, international=True),
        said("XMP", "DigitalSourceType", AI, True),
    ),
    "iptc credit": (
        jpeg_with(0xED, iptc(110, b"Made with Google AI")),
        said("IPTC", "Credit", "Made with Google AI", True),
    ),
    "iptc credit of a person": (jpeg_with(0xED, iptc(110, b"A. Person")), []),
}


@pytest.mark.parametrize(("data", "expected"), TAGGED.values(), ids=TAGGED)
def test_metadata_that_tells_of_an_origin(data: bytes, expected: list[MetadataTag]) -> None:
    assert list(read_provenance(read_image(data)).metadata) == expected


@pytest.mark.parametrize(
    ("software", "named"),
    [
        ("Stable Diffusion XL", True),
        ("gpt-image-1", True),
        ("Adobe Firefly", True),
        ("FLUX.1 [dev]", True),
        ("Imagen 4", True),
        ("nano-banana", True),
        ("Gemini", True),
        ("Editor de imagen", False),
        ("f.lux", False),
        ("Sony A7 firmware 3", False),
    ],
)
def test_known_generators(software: str, named: bool) -> None:
    (tag,) = read_provenance(png_with("Software", software)).metadata
    assert tag.names_generator is named


@given(st.text(max_size=3000))
def test_values_are_one_short_clean_line(text: str) -> None:
    line = clean(text)
    assert len(line) <= 200
    assert line == line.strip()
    assert line.isprintable()


def many_texts() -> Iterator[bytes]:
    for i in range(5000):
        yield png_chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"%d " % i + b"Steps: 1, " * 100_000))


def test_hostile_metadata_is_bounded() -> None:
    whole = encode(scene(), "PNG")
    data = whole[:33] + b"".join(chunk for chunk, _ in zip(many_texts(), range(150), strict=False)) + whole[33:]
    tags = read_provenance(data).metadata
    assert len(tags) == 40
    assert all(len(tag.value) <= 200 for tag in tags)
