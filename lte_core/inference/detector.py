"""Locate, crop, examine: one image as a stream of events, or many images in batches.

Both ways run the same generator, so a batch answers as its images would one by one. Reads no files (images
come in already open) and writes none.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace

from PIL import Image

from lte_core.images import SourceImage
from lte_core.inference.checkpoint import DEFAULT_CHECKPOINT, Checkpoint
from lte_core.inference.examine import CropConfig, cut_crops, examine_question, examine_result, plan_crops
from lte_core.inference.locate import locate_question, locate_result
from lte_core.schema import Crop, Detection, ExamineResult, LocateResult, Region, Size
from lte_core.vlm.base import VLM, Query, Question, Reply, Session, VLMError


@dataclass(frozen=True, slots=True)
class LocateText:
    """The first reply so far, as the model writes it: tags and all."""

    text: str


@dataclass(frozen=True, slots=True)
class Located:
    locate: LocateResult


@dataclass(frozen=True, slots=True)
class Cropped:
    """What Examine is shown beside the image. The words of its reply call `crops[n - 1]` "[n]"."""

    crops: tuple[Crop, ...]
    images: tuple[Image.Image, ...]


@dataclass(frozen=True, slots=True)
class ExamineText:
    """The second reply so far."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    detection: Detection


Event = LocateText | Located | Cropped | ExamineText | Done


@dataclass(frozen=True, slots=True)
class Failure:
    """An input without a result, and the sentence that says why."""

    path: str
    error: str


Item = tuple[str, SourceImage]
BATCH_PIXELS = 50_000_000  # of decoded pictures in a batch: 150 MB

RegionChoice = Callable[[str, LocateResult, Size], Sequence[Region]]
Cutter = Callable[[str, Image.Image, Sequence[Crop]], Sequence[Image.Image]]
FirstLook = Callable[[str], Detection | None]


@dataclass(frozen=True)
class DetectConfig:
    """How evaluation asks what the looks would do otherwise. `examine_instead(path, located, image_wh)` gives the
    regions whose crops Examine sees, in place of the located ones (annotated, random); `Crop.regions` then counts in
    what it gave. `cut_instead(path, image, crops)` gives the pixels of those crops. `first_look(path)` gives an earlier
    detection of the very image by the very model, whose first look, with its time, is taken as it is; Query 1 is asked
    of a batch that it does not know whole. `only` asks one of the two questions alone, Examine then without crops: the
    single round and the mere explanation that the paper compares with; what it says stands for both rounds."""

    crops: CropConfig = field(default_factory=CropConfig)
    examine_instead: RegionChoice | None = None
    cut_instead: Cutter | None = None
    first_look: FirstLook | None = None
    only: Query | None = None


class LocateThenExamine:
    """The detector (LTE, section 3): one model asked twice, with its checkpoint's settings."""

    def __init__(
        self, vlm: VLM, checkpoint: Checkpoint = DEFAULT_CHECKPOINT, config: DetectConfig = DetectConfig()
    ) -> None:
        self.vlm, self.checkpoint = vlm, checkpoint
        pad = config.crops.pad if checkpoint.crop_pad is None else checkpoint.crop_pad
        self.config = replace(config, crops=replace(config.crops, pad=pad))

    def stream(self, source: SourceImage, path: str = "") -> Generator[Event, None, None]:
        """Judge one image, telling each step; the last event is Done. Closing the generator cancels the work.

        Raises VLMError when the model cannot answer.
        """
        with closing(self._judge([(path, source)])) as events:
            for _, event in events:
                yield event

    def detect(self, source: SourceImage, path: str = "") -> Detection:
        """Judge one image. Raises VLMError when the model cannot answer."""
        return _detections(self._judge([(path, source)]))[0]

    def detect_many(self, items: Iterable[Item | Failure]) -> Generator[Detection | Failure, None, None]:
        """Judge many images: one result an item, in order. Closing the generator cancels the work.

        Images are read from `items` as they are needed, so that memory stays bounded, and judged `vlm.batch_size` a
        session (fewer where they are large) and `vlm.concurrency` sessions at once. A Failure among the items (a file
        that could not be read) keeps its place. An image on which the model fails becomes a Failure; when a batch
        fails, its images are tried again one by one.
        """
        waiting = deque[Future[list[Detection | Failure]]]()
        stopped = threading.Event()
        pool = ThreadPoolExecutor(self.vlm.concurrency, thread_name_prefix="detect")
        try:
            for batch in _batches(items, self.vlm.batch_size):
                waiting.append(pool.submit(self._settle, batch, stopped.is_set))
                if len(waiting) > self.vlm.concurrency:  # one more than can run, read while the others do
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            stopped.set()
            # Not waiting: each session ends at its next piece of text, which from a silent server can take minutes.
            pool.shutdown(wait=False, cancel_futures=True)

    def _settle(self, batch: Sequence[Item | Failure], stopped: Callable[[], bool]) -> list[Detection | Failure]:
        """A result for each item, in order."""
        images = [item for item in batch if not isinstance(item, Failure)]
        results = iter(self._attempt(images, stopped))
        return [item if isinstance(item, Failure) else next(results) for item in batch]

    def _attempt(self, images: Sequence[Item], stopped: Callable[[], bool]) -> list[Detection | Failure]:
        if not images:
            return []
        try:
            return [*_detections(self._judge(images), stopped)]
        except VLMError as problem:
            if len(images) == 1 or stopped():
                return [Failure(path, str(problem)) for path, _ in images]
        return [result for image in images for result in self._attempt([image], stopped)]

    def _judge(self, batch: Sequence[Item]) -> Generator[tuple[int, Event], None, None]:
        """Both queries for a batch of images. Yields (row, event); every row ends with Done."""
        if self.config.only is not None:
            yield from self._judge_once(batch, self.config.only)
            return
        checkpoint, clock = self.checkpoint, _Clock(len(batch))
        pixels = [source.pixels for _, source in batch]
        sizes = [Size(*image.size) for image in pixels]
        session = self.vlm.open(pixels)
        locates = yield from self._locate(session, batch, clock)
        yield from ((row, Located(locate)) for row, locate in enumerate(locates))

        crops = [
            plan_crops(self._chosen(path, found, size), size, self.config.crops)
            for (path, _), found, size in zip(batch, locates, sizes, strict=True)
        ]
        cut = self.config.cut_instead or (lambda path, image, plan: cut_crops(image, plan))
        images = [tuple(cut(path, source.pixels, plan)) for (path, source), plan in zip(batch, crops, strict=True)]
        shown = list(zip(crops, images, strict=True))
        yield from ((row, Cropped(*both)) for row, both in enumerate(shown))
        questions = [examine_question(plan, cuts, checkpoint) for plan, cuts in shown]
        replies = yield from _ask(session, questions, ExamineText)
        examines = [examine_result(reply, checkpoint.temperature_examine) for reply in replies]
        clock.lap(Query.EXAMINE, replies)

        for row, (path, source) in enumerate(batch):
            image, timings_s = source.info(path), clock.timings_s(row)
            yield row, Done(Detection(image, self.vlm.info, locates[row], crops[row], examines[row], timings_s))

    def _locate(
        self, session: Session, batch: Sequence[Item], clock: _Clock
    ) -> Generator[tuple[int, Event], None, list[LocateResult]]:
        """The first look at each image: an earlier one, or Query 1's."""
        look = self.config.first_look or (lambda path: None)
        known = [detection for path, _ in batch if (detection := look(path)) is not None]
        if len(known) == len(batch):
            clock.take(Query.LOCATE, [detection.timings_s for detection in known])
            return [detection.locate for detection in known]
        question, temperature = locate_question(self.checkpoint), self.checkpoint.temperature_locate
        replies = yield from _ask(session, [question] * len(batch), LocateText)
        clock.lap(Query.LOCATE, replies)
        return [
            locate_result(reply, frame_wh, Size(*source.pixels.size), temperature)
            for reply, frame_wh, (_, source) in zip(replies, session.frames_wh, batch, strict=True)
        ]

    def _judge_once(self, batch: Sequence[Item], query: Query) -> Generator[tuple[int, Event], None, None]:
        """One query for a batch of images, as both rounds of each result."""
        checkpoint, clock = self.checkpoint, _Clock(len(batch))
        session = self.vlm.open([source.pixels for _, source in batch])
        asked = locate_question(checkpoint) if query is Query.LOCATE else examine_question((), (), checkpoint)
        event = LocateText if query is Query.LOCATE else ExamineText
        replies = yield from _ask(session, [asked] * len(batch), event)
        clock.lap(query, replies)
        for row, (path, source) in enumerate(batch):
            image, reply, frame_wh = source.info(path), replies[row], session.frames_wh[row]
            if query is Query.LOCATE:
                first = locate_result(reply, frame_wh, image.size, checkpoint.temperature_locate)
                final = ExamineResult(first.explanation, first.verdict, first.p_generated, first.reply, first.problem)
            else:
                final = examine_result(reply, checkpoint.temperature_examine)
                first = LocateResult(
                    final.explanation, (), final.verdict, final.p_generated, final.reply, final.problem
                )
            yield row, Done(Detection(image, self.vlm.info, first, (), final, clock.timings_s(row)))

    def _chosen(self, path: str, located: LocateResult, size: Size) -> Sequence[Region]:
        instead = self.config.examine_instead
        return located.regions if instead is None else instead(path, located, size)


def _batches(items: Iterable[Item | Failure], most: int) -> Iterator[list[Item | Failure]]:
    """At most so many at a time; an item that brings them to `BATCH_PIXELS` is the last."""
    batch: list[Item | Failure] = []
    pixels = 0
    for item in items:
        batch.append(item)
        pixels += 0 if isinstance(item, Failure) else item[1].pixels.width * item[1].pixels.height
        if len(batch) >= most or pixels >= BATCH_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


class _Clock:
    """Seconds by query, in all and as the model accounts for them. Each image is charged an equal share of its
    batch's, so that the times of many images add up."""

    def __init__(self, rows: int) -> None:
        self._last = time.perf_counter()
        self._rows: list[dict[str, float]] = [{} for _ in range(rows)]

    def lap(self, query: Query, replies: Sequence[Reply]) -> None:
        now, rows = time.perf_counter(), len(self._rows)
        for timings, reply in zip(self._rows, replies, strict=True):
            timings[query.value] = (now - self._last) / rows
            timings |= {f"{query}.{name}": seconds / rows for name, seconds in reply.timings_s.items()}
        self._last = now

    def take(self, query: Query, earlier: Sequence[Mapping[str, float]]) -> None:
        """What a query took before stands for what it would have taken now."""
        for timings, taken in zip(self._rows, earlier, strict=True):
            timings |= {name: seconds for name, seconds in taken.items() if name.partition(".")[0] == query.value}
        self._last = time.perf_counter()

    def timings_s(self, row: int) -> dict[str, float]:
        timings = self._rows[row]
        return timings | {"total": sum(timings.get(query, 0.0) for query in Query)}


def _ask(
    session: Session, questions: Sequence[Question], event: type[LocateText | ExamineText]
) -> Generator[tuple[int, Event], None, list[Reply]]:
    """Ask, telling each row's reply as it grows."""
    texts = [""] * len(questions)
    with closing(session.ask(questions)) as writing:
        while True:
            try:
                row, text = next(writing)
            except StopIteration as done:
                replies: list[Reply] = done.value
                return replies
            texts[row] += text
            yield row, event(texts[row])


def _detections(
    events: Generator[tuple[int, Event], None, None], stopped: Callable[[], bool] = lambda: False
) -> list[Detection]:
    """Run to the end, or until `stopped`, and keep the results."""
    detections = []
    for _, event in events:
        if isinstance(event, Done):
            detections.append(event.detection)
        if stopped():
            events.close()
    return detections
