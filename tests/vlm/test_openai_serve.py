"""The chat client against a real server: `transformers serve` answers as the same weights do in this process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lte_core.images import read_image
from lte_core.inference.detector import LocateThenExamine
from lte_core.inference.load import MODELS, NANO, LoadConfig, load_model
from lte_core.schema import Detection, Size
from lte_core.training import nano
from lte_core.vlm.base import Delta, Query, Question, VLMError, finish
from lte_core.vlm.openai_chat import ChatVLM
from lte_core.vlm.processor import load_processor
from lte_core.vlm.server import ServerConfig
from lte_core.vlm.views import Views
from tests.vlm.transformers_server import serving

pytestmark = pytest.mark.slow

WORDS = ("the", "lettering", "is", "garbled", "weave", "repeats", "exactly", "nothing", "suspicious", "here")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of lte-nano's shape: large, so that the picture decides what is written, and never done."""
    torch.set_num_threads(1)
    directory = tmp_path_factory.mktemp("nano")
    tokenizer = nano.make_tokenizer(WORDS, ("lettering", "weave"))
    # The server's own template for Qwen looks for "assistant" and a line break, which lte-nano has no token for;
    # when it finds none, it repeats the whole prompt as part of the reply.
    tokenizer.response_template = {"start_anchor": "<|im_start|>assistant", "fields": {"content": {"close": nano.END}}}
    model = nano.make_model(tokenizer, seed=3)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim > 1 and "embed_tokens" not in name:
                weights.mul_(3)
        model.get_input_embeddings().weight[tokenizer.eos_token_id] = 0
    nano.save(model, tokenizer, directory)
    return directory


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerConfig]:
    with serving(checkpoint, tmp_path_factory.mktemp("serve")) as url:
        views = Views(image_wh=nano.IMAGE_WH, crop_wh=nano.CROP_WH)
        yield ServerConfig(url, str(checkpoint), api_key="none", views=views, locate_tokens=40, examine_tokens=24)


def picture(width: int, height: int, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.NEAREST)


IMAGE, OTHER = picture(448, 448, 1), picture(448, 448, 2)
LOCATE = Question(Query.LOCATE, "Locate")
EXAMINE = Question(Query.EXAMINE, "Examine", (picture(100, 60, 3), picture(64, 200, 4)))


def reply_here(checkpoint: Path, image: Image.Image, question: Question, tokens: int) -> str:
    """The same question to the same weights by transformers' own processor and `generate`."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    model: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()
    processor: Any = load_processor(checkpoint)
    crops = [crop.resize(nano.CROP_WH, Image.Resampling.BICUBIC) for crop in question.crops]
    pictures = [image.resize(nano.IMAGE_WH, Image.Resampling.BICUBIC), *crops]
    content = [{"type": "image"}] * len(pictures) + [{"type": "text", "text": question.prompt}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=[text], images=pictures, return_tensors="pt")
    written = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return str(processor.tokenizer.decode(written[0, inputs["input_ids"].shape[1] :]))


def test_both_queries_are_answered_as_in_this_process(server: ServerConfig, checkpoint: Path) -> None:
    session = ChatVLM(server).open([IMAGE])
    assert session.frames_wh == (Size(224, 224),)
    for question in (LOCATE, EXAMINE):
        (reply,) = finish(session.ask([question]))
        limit = server.max_tokens(question.query)
        assert reply.text == reply_here(checkpoint, IMAGE, question, limit)
        assert reply.text != reply_here(checkpoint, OTHER, question, limit), "negative control: another picture"
        assert (reply.tokens, reply.finish, reply.p_generated) == (limit, "length", None)
        assert 0 < reply.timings_s["first_token"] < reply.timings_s["total"]


def test_the_crops_reach_the_model(server: ServerConfig) -> None:
    session = ChatVLM(server).open([IMAGE])
    (with_crops,) = finish(session.ask([EXAMINE]))
    (without,) = finish(session.ask([replace(EXAMINE, crops=())]))
    (swapped,) = finish(session.ask([replace(EXAMINE, crops=EXAMINE.crops[::-1])]))
    assert len({with_crops.text, without.text, swapped.text}) == 3


def test_sessions_at_once_answer_as_they_do_alone(server: ServerConfig) -> None:
    vlm = ChatVLM(server)

    def ask(image: Image.Image) -> str:
        return finish(vlm.open([image]).ask([LOCATE]))[0].text

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(ask, [IMAGE, OTHER, IMAGE, OTHER]))
    assert together == [ask(IMAGE), ask(OTHER)] * 2


def test_a_reply_that_is_given_up_leaves_the_server_free(server: ServerConfig) -> None:
    def seconds() -> float:
        return finish(ChatVLM(server).open([IMAGE]).ask([LOCATE]))[0].timings_s["total"]

    alone = seconds()
    writing = ChatVLM(replace(server, locate_tokens=40 * server.locate_tokens)).open([IMAGE]).ask([LOCATE])
    assert isinstance(next(writing), Delta)
    writing.close()
    assert seconds() < 8 * alone, "the server, which writes one reply at a time, went on with the first"


def test_a_model_that_is_not_served_is_refused_in_the_servers_words(server: ServerConfig) -> None:
    with pytest.raises(VLMError, match=r"refuses the request \(400\): Server is pinned to .* requested 'other'"):
        finish(ChatVLM(replace(server, model="other")).open([IMAGE]).ask([LOCATE]))


def test_the_model_that_ships_judges_through_a_server_as_it_does_here(tmp_path: Path) -> None:
    """Nothing holds the server's replies to their form; the model was taught it."""
    local, checkpoint = load_model(NANO, LoadConfig(device="cpu", threads=1))
    examples = sorted(Path(__file__).parents[2].joinpath("demo", "examples").glob("*.jpg"))[:3]
    pictures = [(path.name, read_image(path)) for path in examples]
    here = [*LocateThenExamine(local, checkpoint).detect_many(pictures)]
    with serving(MODELS / NANO, tmp_path) as url:
        config = ServerConfig(url, str(MODELS / NANO), api_key="none", views=checkpoint.views)
        there = [*LocateThenExamine(ChatVLM(config), checkpoint).detect_many(pictures)]
    for ours, theirs in zip(here, there, strict=True):
        assert isinstance(ours, Detection)
        assert isinstance(theirs, Detection), theirs
        assert theirs.locate.regions == ours.locate.regions
        assert (theirs.locate.verdict, theirs.verdict) == (ours.locate.verdict, ours.verdict)
        assert theirs.examine.explanation == ours.examine.explanation
        assert theirs.crops
        assert theirs.p_generated is None, "this server gives no log-probabilities"
