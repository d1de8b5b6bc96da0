"""Both queries around a scripted model: events, outcomes, batches, failures, cancelling."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PIL import Image

from lte_core.images import SourceImage, read_image
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.detector import (
    Cropped,
    DetectConfig,
    Done,
    ExamineText,
    Failure,
    Item,
    Located,
    LocateText,
    LocateThenExamine,
)
from lte_core.schema import Box, Crop, Detection, Size, Verdict
from lte_core.vlm.base import Query, Question, Reply, VLMError
from tests.conftest import EXAMINE, LOCATE, Answer, FakeVLM, png, scripted

NO_BOXES = "<explanation>calm</explanation><boxes>[]</boxes><verdict>real</verdict>"


def test_events_tell_each_step_in_order(source: SourceImage) -> None:
    vlm = FakeVLM()
    events = list(LocateThenExamine(vlm).stream(source, "a.png"))
    kinds = [type(event) for event in events]
    assert list(dict.fromkeys(kinds)) == [LocateText, Located, Cropped, ExamineText, Done]
    assert [event.text for event in events if isinstance(event, LocateText)][-1] == LOCATE
    assert [event.text for event in events if isinstance(event, ExamineText)][-1] == EXAMINE
    assert events[kinds.index(LocateText)] == LocateText(LOCATE[:40])
    assert events[kinds.index(LocateText) + 1] == LocateText(LOCATE[:80]), "the reply so far, not the new piece"

    done = events[-1]
    assert isinstance(done, Done)
    detection = done.detection
    assert detection.image == source.info("a.png")
    assert detection.model == vlm.info
    assert (detection.locate.verdict, detection.verdict, detection.flipped) == (Verdict.REAL, Verdict.GENERATED, True)
    assert (detection.locate.p_generated, detection.p_generated) == (0.4, 0.9)
    assert detection.crops == (
        Crop(Box(5, 7, 65, 43), "shop sign", (0,)),
        Crop(Box(67, 15, 98, 75), "hand", (1,)),
    )


def test_examine_sees_the_crops_and_is_not_told_the_first_answer(source: SourceImage) -> None:
    vlm = FakeVLM()
    events = list(LocateThenExamine(vlm).stream(source))
    [cropped] = [event for event in events if isinstance(event, Cropped)]
    (locate,), (examine,) = vlm.asked
    assert (locate.query, locate.crops) == (Query.LOCATE, ())
    assert examine.crops == cropped.images
    assert [image.size for image in examine.crops] == [(60, 36), (31, 60)]
    assert examine.crops[1].getpixel((0, 0)) == (250, 240, 20), "cut from the right half"
    assert "[1] shop sign\n[2] hand\n" in examine.prompt
    assert "closer look" not in examine.prompt, "E1"


def test_boxes_come_back_from_the_models_frame(source: SourceImage) -> None:
    detection = LocateThenExamine(FakeVLM(frame_wh=Size(1000, 1000))).detect(source)
    assert detection.locate.regions[0].box.xyxy == pytest.approx((1, 0.8, 6, 3.2))


def test_the_checkpoint_decides_prompts_context_and_calibration(source: SourceImage) -> None:
    vlm = FakeVLM(scripted(p_locate=0.9, p_examine=0.1))
    checkpoint = Checkpoint(crop_pad=0, temperature_locate=2, temperature_examine=0.5)
    detection = LocateThenExamine(vlm, checkpoint).detect(source)
    assert detection.crops[0].box == Box(10, 10, 60, 40)
    assert detection.locate.p_generated == pytest.approx(0.75)
    assert detection.p_generated == pytest.approx(1 / 82)


@pytest.mark.parametrize(
    ("answer", "verdicts", "problems", "crops"),
    [
        pytest.param(scripted(NO_BOXES), (Verdict.REAL, Verdict.GENERATED), (False, False), 0, id="no-boxes"),
        pytest.param(scripted("Sorry."), (None, Verdict.GENERATED), (True, False), 0, id="first-unreadable"),
        pytest.param(scripted(examine="Sorry."), (Verdict.REAL, None), (False, True), 2, id="second-unreadable"),
        pytest.param(scripted("", ""), (None, None), (True, True), 0, id="both-empty"),
    ],
)
def test_what_cannot_be_read_has_an_outcome(
    source: SourceImage,
    answer: Answer,
    verdicts: tuple[Verdict | None, Verdict | None],
    problems: tuple[bool, bool],
    crops: int,
) -> None:
    vlm = FakeVLM(answer)
    detection = LocateThenExamine(vlm).detect(source)
    assert (detection.locate.verdict, detection.verdict) == verdicts
    assert (detection.locate.problem is not None, detection.examine.problem is not None) == problems
    assert len(detection.crops) == len(vlm.asked[1][0].crops) == crops
    assert (detection.p_generated is None) == (detection.verdict is None)
    assert detection.flipped == (None not in verdicts)


def test_timings_name_the_queries_and_what_the_model_accounts_for(source: SourceImage) -> None:
    timings = LocateThenExamine(FakeVLM()).detect(source).timings_s
    assert list(timings) == ["locate", "locate.vision", "examine", "examine.decode", "total"]
    assert timings["total"] == pytest.approx(timings["locate"] + timings["examine"])
    assert (timings["locate.vision"], timings["examine.decode"]) == (0.5, 0.25)


@pytest.mark.parametrize(("known", "asked"), [("01", [Query.EXAMINE]), ("0", [Query.LOCATE, Query.EXAMINE])])
def test_a_first_look_that_is_known_is_not_asked_for_again(known: str, asked: list[Query]) -> None:
    before = [*LocateThenExamine(FakeVLM(batch_size=2)).detect_many(items(2))]
    took = {"locate": 5.0, "locate.vision": 1.0, "examine": 7.0, "total": 12.0}
    detections = [replace(result, timings_s=took) for result in before if isinstance(result, Detection)]
    earlier = {detection.image.path: detection for detection in detections if detection.image.path in known}
    vlm = FakeVLM(batch_size=2)
    after = [*LocateThenExamine(vlm, config=DetectConfig(first_look=earlier.get)).detect_many(items(2))]
    assert [questions[0].query for questions in vlm.asked] == asked
    for one, other in zip(before, after, strict=True):
        assert isinstance(one, Detection)
        assert isinstance(other, Detection)
        assert replace(other, timings_s={}) == replace(one, timings_s={})
        if len(asked) == 1:
            assert (other.timings_s["locate"], other.timings_s["locate.vision"]) == (5.0, 1.0)
            assert other.timings_s["total"] == 5.0 + other.timings_s["examine"] < 12


@pytest.mark.parametrize("after", [LocateText, Cropped, ExamineText])
def test_closing_the_stream_cancels_the_model(source: SourceImage, after: type) -> None:
    vlm = FakeVLM()
    events = LocateThenExamine(vlm).stream(source)
    next(event for event in events if isinstance(event, after))
    events.close()
    assert vlm.cancelled == (0 if after is Cropped else 1)
    assert len(vlm.asked) == (2 if after is ExamineText else 1)


def test_a_model_that_fails_raises(source: SourceImage) -> None:
    with pytest.raises(VLMError, match="out of memory"):
        LocateThenExamine(FakeVLM(fails_on((90, 120, 150)))).detect(source)


def fails_on(colour: tuple[int, int, int]) -> Answer:
    """Replies that name the picture's colour; fails on one colour."""

    def answer(question: Question, image: Image.Image) -> Reply:
        seen = image.getpixel((0, 0))
        if seen == colour:
            raise VLMError("The model is out of memory.")
        reply = scripted()(question, image)
        return Reply(reply.text.replace("<explanation>", f"<explanation>{seen} "), reply.p_generated)

    return answer


def items(count: int, read: list[int] | None = None) -> Iterator[Item | Failure]:
    """Pictures of different colours and sizes; every fifth could not be read."""
    for index in range(count):
        if read is not None:
            read.append(index)
        if index % 5 == 4:
            yield Failure(str(index), "This is not a picture.")
        else:
            yield str(index), read_image(png((100 + index, 80), (index, 0, 0)))


def without_times(results: list[Detection | Failure]) -> list[tuple[object, ...]]:
    return [(r.path, r.error) if isinstance(r, Failure) else (r.image, r.locate, r.crops, r.examine) for r in results]


@pytest.mark.parametrize("count", [0, 1, 3, 13])
@pytest.mark.parametrize(("batch_size", "concurrency"), [(1, 1), (4, 1), (1, 4), (3, 2)])
def test_many_give_what_each_gives_alone_in_order(count: int, batch_size: int, concurrency: int) -> None:
    alone = LocateThenExamine(FakeVLM(fails_on((99, 0, 0))))
    expected = [item if isinstance(item, Failure) else alone.detect(item[1], item[0]) for item in items(count)]
    vlm = FakeVLM(fails_on((99, 0, 0)), batch_size=batch_size, concurrency=concurrency)
    results = list(LocateThenExamine(vlm).detect_many(items(count)))
    assert without_times(results) == without_times(expected)
    assert max(map(len, vlm.asked), default=0) <= batch_size
    assert vlm.most_running <= concurrency


@pytest.mark.parametrize(("batch_size", "concurrency"), [(1, 1), (4, 1), (1, 4), (3, 2)])
def test_a_failure_of_the_model_costs_only_its_own_image(batch_size: int, concurrency: int) -> None:
    vlm = FakeVLM(fails_on((7, 0, 0)), batch_size=batch_size, concurrency=concurrency)
    results = list(LocateThenExamine(vlm).detect_many(items(13)))
    failed = {r.path: r.error for r in results if isinstance(r, Failure)}
    assert failed == {"4": "This is not a picture.", "7": "The model is out of memory.", "9": "This is not a picture."}
    assert [r.path if isinstance(r, Failure) else r.image.path for r in results] == [str(i) for i in range(13)]


def test_large_images_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = FakeVLM(batch_size=4)
    monkeypatch.setattr("lte_core.inference.detector.BATCH_PIXELS", 8500)  # items have 8000 pixels, and 80 more each
    results = list(LocateThenExamine(vlm).detect_many(items(13)))
    assert [r.path if isinstance(r, Failure) else r.image.path for r in results] == [str(i) for i in range(13)]
    # 0 and 1; 2 and 3; 5 (4 is none) and 6; 7 alone has 8560; and so on.
    assert list(map(len, vlm.asked))[::2] == [2, 2, 2, 1, 1, 1, 1, 1]


def test_sessions_really_run_at_once() -> None:
    together = threading.Barrier(3, timeout=5)

    def answer(question: Question, image: Image.Image) -> Reply:
        together.wait()
        return scripted()(question, image)

    results = list(LocateThenExamine(FakeVLM(answer, concurrency=3)).detect_many(list(items(4))[:3]))
    assert all(isinstance(result, Detection) for result in results)


@pytest.mark.parametrize(("batch_size", "concurrency"), [(1, 1), (4, 1), (1, 4), (3, 2)])
def test_images_are_read_only_as_they_are_needed(batch_size: int, concurrency: int) -> None:
    read: list[int] = []
    vlm = FakeVLM(batch_size=batch_size, concurrency=concurrency)
    for given, _ in enumerate(LocateThenExamine(vlm).detect_many(items(60, read)), 1):
        # Batches that run, one more that waits, and the one whose results are being given out.
        assert len(read) - given <= batch_size * (concurrency + 2)


def test_closing_the_results_stops_the_sessions() -> None:
    both, long = threading.Barrier(3, timeout=5), "<explanation>" + "on and on " * 100_000

    def answer(question: Question, image: Image.Image) -> Reply:
        if image.size[0] > 100:
            both.wait()
            return Reply(long)
        return scripted()(question, image)

    vlm = FakeVLM(answer, concurrency=2)
    results = LocateThenExamine(vlm).detect_many(items(30))
    next(results)
    both.wait()
    results.close()
    deadline = time.monotonic() + 5
    while vlm.running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (vlm.running, vlm.cancelled) == (0, 2)
    assert len(vlm.asked) < 10


def test_a_mistake_in_the_code_is_not_taken_for_a_bad_image() -> None:
    def answer(question: Question, image: Image.Image) -> Reply:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(LocateThenExamine(FakeVLM(answer)).detect_many(items(3)))
