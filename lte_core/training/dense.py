"""A nano model with throw-away heads, and a forward pass over packed rows.

Seeing is `vlm/vision.py`. The heads give a model that starts from nothing a dense signal (what is in each cell, is it
defective, where is its box); they are never saved. Makes no batches and holds no loop (`packing.py`, `pretrain.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn

from lte_core.training.nano import CELL, STEPS
from lte_core.vlm.vision import PATCH, see_alike

if TYPE_CHECKING:
    from lte_core.training.packing import Batch

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Losses(NamedTuple):
    """What one step minimises, by its parts, and how often the heads were right."""

    total: Tensor
    parts: dict[str, float]


class DenseNano(nn.Module):
    """The model, plus heads that say for each visual cell and each crop what it shows.

    `classes` counts background, and each kind of object sound and defective: 1 + 2 * kinds.
    """

    def __init__(self, model: Any, classes: int) -> None:
        super().__init__()
        self.model = model
        self.visual, self.text = model.model.visual, model.model.language_model
        width: int = model.config.text_config.hidden_size
        self.classes = classes
        self.early_layer = min(2, len(self.text.layers) - 1)
        self.cell = nn.Linear(width, classes + 4)
        self.crop = nn.Linear(width, classes)
        self.early_cell = nn.Linear(width, classes + 4 * (STEPS + 1))
        self.early_crop = nn.Linear(width, classes)

    def look(self, pixels: Tensor) -> Tensor:
        """uint8 `[images, side, side, 3]`, side a multiple of 112, to merged tokens `[images, cells, width]`."""
        return see_alike(self.visual, pixels, MEAN, STD)

    def read(self, embedded: Tensor, positions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Language model over `[rows, tokens, width]`; the last and an early layer's hidden states."""
        rotary = self.text.rotary_emb(embedded, positions)
        hidden = early = embedded
        for index, layer in enumerate(self.text.layers):
            hidden = layer(hidden, attention_mask=mask, position_embeddings=rotary)
            early = hidden if index == self.early_layer - 1 else early
        return self.text.norm(hidden), early

    def seeing(self, batch: Batch) -> tuple[Losses, Tensor, Tensor]:
        """The vision heads' losses, and the merged tokens of the images and of the crops."""
        images, crops = self.look(batch.images), self.look(batch.crops)
        cells = self.cell(images).float()
        names, offsets = cells[..., : self.classes], cells[..., self.classes :]
        known = batch.cell_class > 0
        kinds = F.cross_entropy(names.flatten(0, 1), batch.cell_class.flatten())
        # A sum over a count: a batch of pictures with nothing in them has no mean.
        boxes = F.smooth_l1_loss(offsets[known], batch.cell_offsets()[known], beta=0.2, reduction="sum")
        boxes = boxes / known.sum().clamp(min=1) / 4
        guesses = self.crop(crops.mean(1)).float()
        crop_kinds = F.cross_entropy(guesses, batch.crop_class)
        parts = {
            "cell": kinds.item(),
            "offset": boxes.item(),
            "crop": crop_kinds.item(),
            "defect_seen": _defect_accuracy(names[known], batch.cell_class[known]),
            "crop_right": (guesses.argmax(-1) == batch.crop_class).float().mean().item(),
        }
        return Losses(kinds + boxes + crop_kinds, parts), images, crops

    def forward(self, batch: Batch) -> Losses:
        """Seeing and both replies at once, every part weighted alike but for the early heads (a half)."""
        seen, images, crops = self.seeing(batch)
        embedded = self.text.embed_tokens(batch.ids).to(images.dtype)
        flat = embedded.reshape(-1, embedded.shape[-1])
        in_image, in_crop = batch.image_tokens()
        flat = flat.index_copy(0, in_image.flatten().nonzero()[:, 0], images.flatten(0, 1))
        flat = flat.index_copy(0, in_crop.flatten().nonzero()[:, 0], crops.flatten(0, 1))
        hidden, early = self.read(flat.view_as(embedded), batch.positions, batch.mask)
        replies, parts = self._replies(hidden, batch)
        hints = self._early(early[in_image], early[batch.crop_ends()], batch)
        return Losses(seen.total + replies + 0.5 * hints, seen.parts | parts | {"early": hints.item()})

    def _replies(self, hidden: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        target, branch = batch.ids[:, 1:], batch.target[:, 1:]
        chosen = branch > 0
        logits = F.linear(hidden[:, :-1][chosen], self.text.embed_tokens.weight).float()
        loss = F.cross_entropy(logits, target[chosen], reduction="none")
        locate, examine = (loss[branch[chosen] == which].mean() for which in (1, 2))
        return locate + examine, {"locate": locate.item(), "examine": examine.item()}

    def _early(self, cells: Tensor, crops: Tensor, batch: Batch) -> Tensor:
        names = self.early_cell(cells).float()
        kinds, known = batch.cell_class.flatten(), batch.cell_class.flatten() > 0
        bins = (batch.cell_box.reshape(-1, 4) / batch.side * STEPS).round().long().clamp(0, STEPS)
        written = names[known][:, self.classes :].reshape(-1, STEPS + 1)
        return (
            F.cross_entropy(names[:, : self.classes], kinds)
            + F.cross_entropy(written, bins[known].flatten(), reduction="sum") / max(1, len(written))
            + F.cross_entropy(self.early_crop(crops).float(), batch.crop_class)
        )

    @torch.no_grad()
    def whiten_patches(self, pixels: list[Tensor]) -> float:
        """Start the patch embedding from the principal components of real patches. Returns the variance kept."""
        weight = self.visual.patch_embed.proj.weight
        mean, std = (torch.tensor(v) * 255 for v in (MEAN, STD))
        rows = []
        for images in pixels:
            count, side = images.shape[:2]
            scaled = ((images.float() - mean) / std).permute(0, 3, 1, 2)
            cut = scaled.reshape(count, 3, side // PATCH, PATCH, side // PATCH, PATCH)
            rows.append(cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, 3 * PATCH * PATCH))
        sample = torch.cat(rows)
        values, vectors = torch.linalg.eigh(sample.T @ sample / len(sample))
        values, vectors = values.flip(0), vectors.flip(1)
        width = weight.shape[0]
        kernel = (vectors[:, :width] / (values[:width] + 3e-3).sqrt()).T * 0.5
        halves = kernel.reshape(width, 3, 1, PATCH, PATCH) / 2
        weight.copy_(halves.expand(-1, -1, 2, -1, -1))
        return float(values[:width].sum() / values.sum())


def _defect_accuracy(names: Tensor, kinds: Tensor) -> float:
    """How often the sound/defective question is answered right in cells whose object is known."""
    with torch.no_grad():
        sound = 1 + 2 * ((kinds - 1) // 2)
        pair = torch.stack([names.gather(1, (sound + d)[:, None])[:, 0] for d in (0, 1)], dim=-1)
        return (pair.argmax(-1) == (kinds - 1) % 2).float().mean().item()


def cell_centres(side: int) -> Tensor:
    """`[cells, 4]`: each cell's centre as (x, y, x, y) pixels of a square view."""
    along = torch.arange(side // CELL) * CELL + CELL / 2
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y, x, y], dim=-1).reshape(-1, 4)
