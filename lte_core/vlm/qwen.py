"""A local Qwen-VL (2.5 or 3): one look at an image, two questions about it.

The image is seen once: its vision features and the key/value states of the prompt up to the image's end are
kept, and both queries continue from there. Decoding is greedy and constrained to the reply's form. Rows of
different length are padded on the left, so a batch answers exactly as its images would one by one.

Positions are worked out here and passed in, never left to the model: transformers keeps `rope_deltas` as
state of the module, which two sessions at once would trample on. Loads nothing from disk (`load.py` does).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from lte_core.schema import ModelInfo, Size
from lte_core.vlm.base import Delta, Query, Question, Reply, VLMError
from lte_core.vlm.decoding import Features, Steps, Writing
from lte_core.vlm.grammar import make_guide
from lte_core.vlm.views import Views

if TYPE_CHECKING:
    import torch

IMAGE_PAD, VISION_END = "<|image_pad|>", "<|vision_end|>"


@dataclass(frozen=True)
class QwenConfig:
    """How a local model sees and answers. `relative_boxes`: Qwen3-VL states boxes in 0-1000, Qwen2.5-VL in pixels
    of its view."""

    views: Views = field(default_factory=Views)
    relative_boxes: bool = False
    constrained: bool = True
    batch_size: int = 8
    max_new_tokens: Mapping[Query, int] = field(default_factory=lambda: {Query.LOCATE: 1024, Query.EXAMINE: 768})


class Clock:
    """Seconds since the last lap, by name; waits for the device first, so that work is charged where it was done."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        if self._cuda:
            import torch

            torch.cuda.synchronize()
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now


class QwenVL:
    """A loaded model, its tokenizer and image processor. Sessions take turns by a lock held for one step at a time."""

    concurrency = 1

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        info: ModelInfo,
        config: QwenConfig = QwenConfig(),
    ) -> None:
        self.model, self.tokenizer, self.image_processor = model.eval(), tokenizer, image_processor
        self.info, self.config = info, config
        self.lock = threading.Lock()
        self.image_token: int = model.config.image_token_id
        self.eos: set[int] = {tokenizer.eos_token_id}
        vocab_size = model.config.get_text_config().vocab_size
        self.guide = make_guide(tokenizer, vocab_size, tokenizer.eos_token_id) if config.constrained else None

    @property
    def batch_size(self) -> int:
        return self.config.batch_size

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    def open(self, images: Sequence[Image.Image]) -> QwenSession:
        return QwenSession(self, images)

    @contextmanager
    def working(self) -> Iterator[None]:
        """One step of one session at a time. Raises VLMError when it does not fit into memory."""
        import torch

        try:
            with self.lock, torch.inference_mode():
                yield
        except torch.OutOfMemoryError as problem:
            raise VLMError(
                "The model ran out of memory on this picture. Try a smaller one, fewer at a time, or a smaller model."
            ) from problem

    def view(self, image: Image.Image, *, crop: bool = False) -> Image.Image:
        """The picture at the size that the model sees."""
        factor = self.image_processor.patch_size * self.image_processor.merge_size
        return self.config.views.show(image, crop=crop, factor=factor)

    def look(self, views: Sequence[Image.Image]) -> Features:
        """Vision features of pictures that are already at their view's size."""
        from lte_core.vlm.vision import can_see_alike

        if can_see_alike(self.model.model.visual, [Size(*view.size) for view in views], self.device):
            return self._look_alike(views)
        pixels = self.image_processor(images=list(views), do_resize=False, return_tensors="pt")
        grids = pixels["image_grid_thw"].to(self.device)
        return Features(
            self.model.model.get_image_features(pixels["pixel_values"].to(self.device), grids, return_dict=True),
            grids,
        )

    def _look_alike(self, views: Sequence[Image.Image]) -> Features:
        import numpy as np
        import torch
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        from lte_core.vlm.vision import PATCH, see_alike

        processor, (width, height) = self.image_processor, views[0].size
        pixels = torch.from_numpy(np.stack([np.asarray(view.convert("RGB")) for view in views])).to(self.device)
        tokens = see_alike(self.model.model.visual, pixels, processor.image_mean, processor.image_std)
        grids = torch.tensor([[1, height // PATCH, width // PATCH]] * len(views), device=self.device)
        return Features(BaseModelOutputWithPooling(pooler_output=list(tokens)), grids)

    def prompt_ids(self, prompt: str, grids: torch.Tensor) -> tuple[list[int], int]:
        """Token ids of a user turn with the pictures of `grids` before its text, and how many of them are
        the prefix that does not depend on the text: everything up to the first picture's end."""
        # A label that the model wrote is part of the prompt: none may open a special token.
        content = [{"type": "image"}] * len(grids) + [{"type": "text", "text": prompt.replace("<|", "< |")}]
        turn = [{"role": "user", "content": content}]
        text = self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        merge = self.image_processor.merge_size**2
        pieces = text.split(IMAGE_PAD)
        for index, grid in enumerate(grids.tolist()):
            pieces[index] += IMAGE_PAD * (grid[0] * grid[1] * grid[2] // merge)
        head, tail = "".join(pieces).split(VISION_END, 1)
        # VISION_END is a special token, which no merge crosses: cut there, the halves tokenize as the whole does.
        prefix, rest = (self.tokenizer(part, add_special_tokens=False).input_ids for part in (head + VISION_END, tail))
        return prefix + rest, len(prefix)

    def positions(self, ids: Sequence[int], grids: torch.Tensor) -> torch.Tensor:
        """M-RoPE positions `[3, tokens]` (time, height, width) of one row."""
        import torch

        row = torch.tensor([list(ids)], device=self.device)
        kinds = (row == self.image_token).int()
        index: torch.Tensor = self.model.model.get_rope_index(row, mm_token_type_ids=kinds, image_grid_thw=grids)[0]
        return index[:, 0]


class QwenSession:
    """A batch of images seen once. Every `ask` starts again from the shared prefix."""

    def __init__(self, vlm: QwenVL, images: Sequence[Image.Image]) -> None:
        from transformers import DynamicCache

        self.vlm = vlm
        views = [vlm.view(image) for image in images]
        relative = vlm.config.relative_boxes
        self.frames_wh = [Size(1000, 1000) if relative else Size(*view.size) for view in views]
        clock = Clock(vlm.device)
        with vlm.working():
            features = vlm.look(views)
            clock.lap("vision")
            self._grids = features.grids
            rows = []
            for row in range(len(images)):
                ids, length = vlm.prompt_ids("", self._grids[row : row + 1])
                rows.append(ids[:length])
            self._cache = DynamicCache(config=vlm.model.config.get_text_config())
            self._steps = Steps(vlm, self._cache, len(images))
            positions = [vlm.positions(ids, self._grids[row : row + 1]) for row, ids in enumerate(rows)]
            self._steps.feed(rows, positions, features)
            clock.lap("prefill")
        self._prefix = self._steps.mark()
        self._timings = clock.laps

    def ask(self, questions: Sequence[Question]) -> Generator[Delta, None, list[Reply]]:

        vlm, clock = self.vlm, Clock(self.vlm.device)
        clock.laps, self._timings = self._timings, {}
        with vlm.working():
            self._steps.rewind(self._prefix)
            views = [vlm.view(crop, crop=True) for question in questions for crop in question.crops]
            crops = vlm.look(views) if views else None
            clock.lap("vision")
            rows, positions = self._continue(questions, crops)
            logits = self._steps.feed(rows, positions, crops)
            clock.lap("prefill")
        writing = Writing(vlm, self._steps, questions)
        while not writing.done:
            with vlm.working():
                deltas = writing.take(logits)
                logits = logits if writing.done else self._steps.feed(*writing.next_tokens())
            if "first_token" not in clock.laps:
                clock.laps["first_token"] = sum(clock.laps.values())
            yield from deltas
        clock.lap("decode")
        with vlm.working():
            chances = writing.verdict_odds()
        clock.lap("score")
        return [writing.reply(row, p, clock.laps) for row, p in enumerate(chances)]

    def _continue(
        self, questions: Sequence[Question], crops: Features | None
    ) -> tuple[list[list[int]], list[torch.Tensor]]:
        """Ids and positions of what follows the prefix, a row a question."""
        import torch

        rows, positions, taken = [], [], 0
        for row, question in enumerate(questions):
            grids = self._grids[row : row + 1]
            if crops is not None and question.crops:
                grids = torch.cat([grids, crops.grids[taken : taken + len(question.crops)]])
                taken += len(question.crops)
            ids, prefix = self.vlm.prompt_ids(question.prompt, grids)
            rows.append(ids[prefix:])
            positions.append(self.vlm.positions(ids, grids)[:, prefix:])
        return rows, positions
