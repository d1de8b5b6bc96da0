"""The chat client against a scripted server: what is sent, what is read back, and every fault's sentence."""

from __future__ import annotations

import base64
import io
import json
import math
import socket
import traceback
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageChops

from lte_core.schema import Size
from lte_core.vlm.base import VLM, Delta, Query, Question, Reply, VLMError, finish
from lte_core.vlm.openai_chat import ChatVLM
from lte_core.vlm.server import ServerConfig, parse_address
from lte_core.vlm.views import Views
from tests.vlm.chat_server import (
    MODELS,
    REPLY,
    Answer,
    chunk,
    refuse,
    reset,
    say,
    say_with_odds,
    serving,
    status,
    stay_silent,
    stream,
    talk_until_hang_up,
)

KEY = "sk-a-secret-that-must-not-leak"


def config_for(url: str, **changes: Any) -> ServerConfig:
    return replace(ServerConfig(url, "lte-test", api_key=KEY, retries=0, timeout_s=5.0), **changes)


def picture(width: int = 100, height: int = 80) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert("RGB")


def question(*crops: Image.Image, query: Query = Query.EXAMINE) -> Question:
    return Question(query, "Real or generated?", crops)


def picture_in(part: dict[str, Any]) -> Image.Image:
    kind, data = part["image_url"]["url"].split(",", 1)
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def collect(writing: Generator[Delta, None, list[Reply]]) -> tuple[list[Reply], list[Delta]]:
    deltas: list[Delta] = []
    while True:
        try:
            deltas.append(next(writing))
        except StopIteration as done:
            return done.value, deltas


# What is sent


def test_one_user_turn_holds_the_image_then_the_crops_then_the_prompt() -> None:
    image, crop = picture(100, 80), picture(400, 300)
    with serving(say()) as server:
        session = ChatVLM(config_for(server.url, views=Views(max_pixels=2 * 56 * 56))).open([image])
        finish(session.ask([question(crop, query=Query.LOCATE)]))
        (sent,) = server.sent
    seen, seen_crop = picture_in(sent.parts[0]), picture_in(sent.parts[1])
    assert [part["type"] for part in sent.parts] == ["image_url", "image_url", "text"]
    assert sent.parts[2]["text"] == "Real or generated?"
    assert session.frames_wh == (Size(84, 56),) == (seen.size,)
    assert ImageChops.difference(seen, image.resize((84, 56), Image.Resampling.BICUBIC)).getbbox() is None
    assert seen_crop.size == (392, 308)
    assert sent.path == "/v1/chat/completions"
    assert sent.authorization == f"Bearer {KEY}"
    assert {name: sent.body[name] for name in ("model", "max_tokens", "temperature", "seed", "stream")} == {
        "model": "lte-test",
        "max_tokens": 1024,
        "temperature": 0.0,
        "seed": 0,
        "stream": True,
    }


@pytest.mark.parametrize(
    ("changes", "frame", "shown"),
    [
        pytest.param({}, Size(644, 420), Size(644, 420), id="pixels-of-the-picture-sent"),
        pytest.param({"model": "Qwen3-VL-8B"}, Size(1000, 1000), Size(640, 416), id="qwen3-relative"),
        pytest.param({"model": "Qwen3-VL-8B", "relative_boxes": False}, Size(640, 416), Size(640, 416), id="told"),
        pytest.param({"relative_boxes": True}, Size(1000, 1000), Size(644, 420), id="told-relative"),
        pytest.param({"views": Views(image_wh=Size(224, 224))}, Size(224, 224), Size(224, 224), id="fixed-view"),
    ],
)
def test_boxes_have_a_known_frame(changes: dict[str, Any], frame: Size, shown: Size) -> None:
    with serving(say()) as server:
        session = ChatVLM(config_for(server.url, **changes)).open([picture(640, 428)])
        finish(session.ask([question()]))
        assert session.frames_wh == (frame,)
        assert picture_in(server.sent[0].parts[0]).size == shown


def test_no_metadata_of_the_picture_is_sent() -> None:
    image = picture()
    image.info = {"icc_profile": b"a profile", "exif": b"Exif\x00\x00a place", "comment": "a name"}
    with serving(say()) as server:
        finish(ChatVLM(config_for(server.url)).open([image]).ask([question()]))
        assert picture_in(server.sent[0].parts[0]).info == {}


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        pytest.param(KEY, "sk-other-secret", KEY, id="given"),
        pytest.param(None, " sk-from-the-shell\n", "sk-from-the-shell", id="from-the-environment"),
        pytest.param(None, "", "none", id="none"),
    ],
)
def test_the_key_is_the_given_one_or_the_environments(
    given: str | None, environment: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", environment)
    with serving(say()) as server:
        finish(ChatVLM(config_for(server.url, api_key=given)).open([picture()]).ask([question()]))
        assert server.sent[0].authorization == f"Bearer {expected}"


# What is read back


def test_text_arrives_as_it_is_written_and_again_as_a_whole() -> None:
    usage = json.dumps({"id": "1", "choices": [], "usage": {"completion_tokens": 17, "prompt_tokens": 9}})
    with serving(
        stream(chunk("", None), chunk("Fur "), chunk("is fine."), chunk(finish="stop"), usage, "[DONE]")
    ) as server:
        vlm: VLM = ChatVLM(config_for(server.url, concurrency=3))
        (reply,), deltas = collect(vlm.open([picture()]).ask([question()]))
    assert deltas == [Delta(0, "Fur "), Delta(0, "is fine.")]
    assert (reply.text, reply.finish, reply.tokens, reply.p_generated) == ("Fur is fine.", "stop", 17, None)
    assert 0 < reply.timings_s["first_token"] <= reply.timings_s["total"]
    assert (vlm.info.name, vlm.info.sha256, vlm.batch_size, vlm.concurrency) == ("lte-test", None, 1, 3)


def test_two_images_are_asked_in_order() -> None:
    with serving(say("first reply"), say("second reply")) as server:
        session = ChatVLM(config_for(server.url)).open([picture(), picture(80, 100)])
        replies = finish(session.ask([question(), question()]))
    assert [reply.text for reply in replies] == ["first reply", "second reply"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(say(finish="length"), id="the-server-says-so"),
        pytest.param(stream(*[chunk("word " * 8)] * 50, then=talk_until_hang_up), id="the-server-never-stops"),
    ],
)
def test_a_reply_cut_at_the_limit_says_so(answer: Answer) -> None:
    with serving(answer) as server:
        session = ChatVLM(config_for(server.url, examine_tokens=16)).open([picture()])
        (reply,) = finish(session.ask([question()]))
    assert reply.finish == "length"


def test_half_a_surrogate_pair_does_not_get_through() -> None:
    with serving(stream(chunk("a \ud83d cat"), chunk(finish="stop"))) as server:
        (reply,) = finish(ChatVLM(config_for(server.url)).open([picture()]).ask([question()]))
    assert reply.text.encode() == b"a ? cat"


def test_p_generated_comes_from_the_log_probabilities_that_were_asked_for() -> None:
    answer = say_with_odds(("<verdict>", {}), ("real", {"real": math.log(0.8), "generated": math.log(0.2)}))
    with serving(answer) as server:
        (reply,) = finish(ChatVLM(config_for(server.url)).open([picture()]).ask([question()]))
        assert (server.sent[0].body["logprobs"], server.sent[0].body["top_logprobs"]) == (True, 20)
    assert reply.p_generated == pytest.approx(0.2)
    assert reply.tokens == 2


@pytest.mark.parametrize(
    ("refusal", "left_out"),
    [
        pytest.param(refuse(400, "This model does not support logprobs"), {"logprobs", "top_logprobs"}, id="openai"),
        pytest.param(
            status(422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}), {"seed"}, id="strict-schema"
        ),
    ],
)
def test_an_extra_that_the_server_refuses_is_left_out_from_then_on(refusal: Answer, left_out: set[str]) -> None:
    extras = {"logprobs", "top_logprobs", "seed", "stream_options"}
    with serving(refusal, say()) as server:
        session = ChatVLM(config_for(server.url)).open([picture()])
        replies = finish(session.ask([question()])) + finish(session.ask([question()]))
        assert [extras & set(sent.body) for sent in server.sent] == [extras, extras - left_out, extras - left_out]
    assert [reply.text for reply in replies] == [REPLY, REPLY]


def test_a_refusal_that_quotes_the_request_does_not_cost_the_extras() -> None:
    quote = refuse(400, "cannot parse {'logprobs': True, 'seed': 0, 'stream_options': {}}")
    with serving(quote, quote, say()) as server:
        session = ChatVLM(config_for(server.url)).open([picture()])
        with pytest.raises(VLMError, match="cannot parse"):
            finish(session.ask([question()]))
        finish(session.ask([question()]))
        assert server.sent[-1].body["logprobs"] is True


def test_closing_the_generator_hangs_up() -> None:
    with serving(stream(chunk("word "), then=talk_until_hang_up)) as server:
        writing = ChatVLM(config_for(server.url)).open([picture()]).ask([question()])
        assert next(writing) == Delta(0, "word ")
        assert not server.hung_up.is_set()
        writing.close()
        assert server.hung_up.wait(5)


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(refuse(429, "slow down", retry_after_ms="1"), id="429"),
        pytest.param(refuse(503, "loading", retry_after_ms="1"), id="503"),
        pytest.param(reset, id="reset"),
    ],
)
def test_a_passing_fault_is_retried(fault: Answer) -> None:
    with serving(fault, say()) as server:
        session = ChatVLM(config_for(server.url, retries=1)).open([picture()])
        (reply,) = finish(session.ask([question()]))
        assert len(server.sent) == 2
    assert reply.text == REPLY


@pytest.mark.parametrize(
    ("answer", "models", "expected"),
    [
        pytest.param(refuse(401, f"bad key {KEY}"), MODELS, r"refuses the API key \(401\).*OPENAI_API_KEY", id="401"),
        pytest.param(refuse(403, "no"), MODELS, r"refuses the API key \(403\)", id="403"),
        pytest.param(refuse(404, "no such model"), MODELS, r"does not offer lte-test.*qwen-a, qwen-b\.", id="404"),
        pytest.param(status(404, "<html>"), status(404, "<html>"), r"often ends in /v1", id="404-no-models"),
        pytest.param(refuse(404, "no"), status(200, "<html>"), r"often ends in /v1", id="404-models-page"),
        pytest.param(refuse(404, "no"), status(200, {"data": 3}), r"often ends in /v1", id="404-models-garbled"),
        pytest.param(
            refuse(400, "image_url is only supported by certain models"),
            MODELS,
            r"Choose a vision model",
            id="400-blind",
        ),
        pytest.param(refuse(400, "At most 1 image(s) may be provided"), MODELS, r"several images", id="400-one-image"),
        pytest.param(
            refuse(400, "longer than the maximum model length of 8192 with multimodal tokens"),
            MODELS,
            r"no room.*Lower LTE_MAX_PIXELS",
            id="400-context",
        ),
        pytest.param(
            status(400, {"detail": "Server is pinned to X"}), MODELS, r"\(400\): Server is pinned to X\.", id="400"
        ),
        pytest.param(refuse(413, "too big"), MODELS, r"too large \(413\)\. Lower LTE_MAX_PIXELS", id="413"),
        pytest.param(status(413, "<html>nginx"), MODELS, r"too large \(413\)", id="413-page"),
        pytest.param(refuse(429, "quota"), MODELS, r"over its limit.*\(429\): quota\. Wait", id="429"),
        pytest.param(refuse(500, f"died with {KEY}"), MODELS, r"failed.*\(500\): died with \*\*\*", id="500"),
        pytest.param(refuse(500, "x" * 290 + KEY), MODELS, r"x\*\*\*\. Its log", id="500-key-at-the-cut"),
        pytest.param(status(502, "<html>Bad gateway"), MODELS, r"\(502\): no reason given", id="502-page"),
        pytest.param(
            status(307, None, location="http://other.invalid/v1"), MODELS, r"sends us on to http://other", id="redirect"
        ),
        pytest.param(reset, MODELS, r"The connection to http.* broke: .+\. Try again", id="reset"),
        pytest.param(stream(chunk("Fur"), then=reset), MODELS, r"broke: .+\. Try again", id="reset-midway"),
        pytest.param(stream(chunk("Fur")), MODELS, r"broke off in the middle", id="ends-midway"),
        pytest.param(
            stream(chunk("Fur"), json.dumps({"error": {"message": f"out of memory {KEY}"}})),
            MODELS,
            r"gave up on the reply: out of memory \*\*\*\.",
            id="error-event",
        ),
        pytest.param(stream(chunk("Fur"), "{not json"), MODELS, r"not JSON", id="not-json"),
        pytest.param(stream("3", '"text"', "[]", "null"), MODELS, r"broke off", id="not-chunks"),
        pytest.param(status(200, "<html>Welcome"), MODELS, r"answered with text/html.*/v1", id="web-page"),
        pytest.param(status(200, {"choices": []}), MODELS, r"answered with application/json", id="not-a-stream"),
        pytest.param(stream("[DONE]"), MODELS, r"instead of a stream", id="nothing"),
        pytest.param(say(" \n"), MODELS, r"empty reply \(why it stopped: stop\)", id="empty"),
        pytest.param(say("", "content_filter"), MODELS, r"content_filter", id="filtered"),
    ],
)
def test_a_fault_becomes_a_sentence_without_the_key(answer: Answer, models: Answer, expected: str) -> None:
    with serving(answer, models=models) as server:
        vlm = ChatVLM(config_for(server.url))
        with pytest.raises(VLMError, match=expected) as caught:
            finish(vlm.open([picture()]).ask([question()]))
    printed = "".join(traceback.format_exception(caught.value))
    assert KEY not in printed + repr(vlm) + repr(vlm.config) + repr(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(stay_silent, id="at-once"),
        pytest.param(stream(chunk("Fur"), then=stay_silent), id="midway"),
    ],
)
def test_silence_ends_in_a_timeout(answer: Answer) -> None:
    with (
        serving(answer) as server,
        pytest.raises(VLMError, match=r"was silent for 0\.2 s"),
    ):
        finish(ChatVLM(config_for(server.url, timeout_s=0.2)).open([picture()]).ask([question()]))


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param(
            f"http://127.0.0.1:{closed_port()}/v1", r"Nothing answers at http.*Start the server", id="refused"
        ),
        pytest.param("http://no-such-host.invalid/v1", r"No server has the name no-such-host\.invalid", id="dns"),
    ],
)
def test_a_server_that_is_not_there(url: str, expected: str) -> None:
    with pytest.raises(VLMError, match=expected):
        finish(ChatVLM(config_for(url)).open([picture()]).ask([question()]))


def test_https_to_a_plain_server_says_so() -> None:
    with serving(say()) as server, pytest.raises(VLMError, match=r"No safe connection.*http or https"):
        finish(ChatVLM(config_for(server.url.replace("http:", "https:"))).open([picture()]).ask([question()]))


def test_a_strip_too_thin_to_see_is_refused_before_anything_is_sent() -> None:
    with serving(say()) as server, pytest.raises(VLMError, match=r"too thin.*4020x20.*Cut it"):
        ChatVLM(config_for(server.url)).open([picture(4020, 20)])


def test_a_key_that_no_header_can_carry_is_refused_without_showing_it() -> None:
    with pytest.raises(VLMError, match="OPENAI_API_KEY") as caught:
        ChatVLM(config_for("http://localhost/v1", api_key="sk-секрет"))
    assert "секрет" not in str(caught.value)


# Addresses


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param("lte-nano", None, id="shipped"),
        pytest.param("Qwen/Qwen2.5-VL-7B-Instruct", None, id="hub"),
        pytest.param("/models/http", None, id="directory"),
        pytest.param("http://gpu:8000/v1#lte", ServerConfig("http://gpu:8000/v1", "lte"), id="plain"),
        pytest.param(
            "https://api.example.com/v1/#Qwen/Qwen3-VL-8B:a@main",
            ServerConfig("https://api.example.com/v1", "Qwen/Qwen3-VL-8B:a@main"),
            id="hub-name-and-slash",
        ),
        pytest.param("HTTP://[::1]:80/v1# lte ", ServerConfig("HTTP://[::1]:80/v1", "lte"), id="ipv6"),
        pytest.param("http://gpu/v1#a#b", ServerConfig("http://gpu/v1", "a#b"), id="second-hash"),
    ],
)
def test_an_address_names_server_and_model(model: str, expected: ServerConfig | None) -> None:
    assert parse_address(model) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param("http://gpu/v1", r"names no model.*http://gpu/v1/models lists", id="no-model"),
        pytest.param("http://gpu/v1#", r"names no model", id="empty-model"),
        pytest.param("http:///v1#lte", r"no usable host", id="no-host"),
        pytest.param("http://my gpu/v1#lte", r"no usable host", id="space"),
        pytest.param("http://gpu:80000/v1#lte", r"not an address.*http\(s\)://host/v1#model-name", id="port"),
        pytest.param("http://[::1/v1#lte", r"not an address", id="bracket"),
        pytest.param("http://me:hush@gpu/v1#lte", r"takes no password.*OPENAI_API_KEY", id="password"),
        pytest.param("http://gpu/v1?key=hush#lte", r"takes no password or query", id="query"),
    ],
)
def test_an_address_that_cannot_be_used_says_how_to_write_one(model: str, expected: str) -> None:
    with pytest.raises(VLMError, match=expected) as caught:
        parse_address(model)
    assert "hush" not in str(caught.value)


# What the environment says about the network


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("ALL_PROXY", "socks5://127.0.0.1:1080", id="a proxy that needs a package"),
        pytest.param("ALL_PROXY", "socks://127.0.0.1:1080/", id="an unknown kind of proxy"),
        pytest.param("SSL_CERT_FILE", "/nonexistent/ca.pem", id="no certificates"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(VLMError, match=f"proxy or certificates cannot be used to reach .* Correct .*{variable}"):
        ChatVLM(config_for("http://far.example/v1"))


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_stands_before_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with serving(say()) as server:
        [reply] = finish(ChatVLM(config_for(server.url)).open([picture()]).ask([question()]))
    assert reply.text == REPLY
