"""lte-nano from nothing: scenes, base, then the chain that trains any model (`chain.py`).

Each step is skipped when its result is there, so an interrupted run goes on. Calibrates and measures nothing.

    python -m lte_core train nano --out runs/nano [--photos DIR]
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lte_core.dataset.synth import VOCABULARY, Kind, write_dataset
from lte_core.dataset.synth.write import PHOTO_SUFFIXES
from lte_core.files import link_or_copy
from lte_core.inference.checkpoint import Checkpoint
from lte_core.inference.prompts import Prompts
from lte_core.runs import commit
from lte_core.schema import Size
from lte_core.training import nano
from lte_core.training.chain import LteConfig, Tell, read_recipe, train_lte
from lte_core.training.lessons import read_data
from lte_core.training.pretrain import PretrainConfig, Pretraining
from lte_core.training.pretrain import Progress as PretrainProgress
from lte_core.training.scenes import examples

TEST_SEED = 9001
NOTE = (
    "A small demonstration model trained on synthetic scenes. It knows six kinds of drawn defects and very little "
    "about real pictures."
)


@dataclass(frozen=True)
class NanoRecipe:
    """How much of everything. The training scenes have seed `train_seed`; the recipe `nano` says how LTE is taught."""

    train_scenes: int = 30_000
    train_seed: int = 1
    base: PretrainConfig = field(default_factory=lambda: PretrainConfig(see_samples=12_000, speak_samples=90_000))
    lte: LteConfig = field(default_factory=lambda: read_recipe("nano"))


def single_round(recipe: NanoRecipe) -> NanoRecipe:
    """The control: a model of the same size that looks once, at every pixel of the scene."""
    assert recipe.lte.sft is not None
    sft = replace(recipe.lte.sft, examine=False)
    return replace(recipe, base=replace(recipe.base, image_wh=nano.FULL_WH), lte=LteConfig(sft=sft))


def checkpoint(image_wh: Size = nano.IMAGE_WH) -> Checkpoint:
    """The settings that travel with a nano that sees the image at this size."""
    return Checkpoint(
        prompts=Prompts("Locate", "Examine"),
        image_wh=image_wh,
        crop_wh=nano.CROP_WH,
        crop_pad=0.06,
        coordinate_step=nano.coordinate_step(image_wh),
        max_new_tokens_locate=256,
        max_new_tokens_examine=128,
        note=NOTE,
        card="README.md",
    )


def build(out: Path, photos: Path | None, recipe: NanoRecipe, say: Callable[[str], None], tell: Tell) -> Path:
    """All steps up to the trained model; gives its directory. Raises SynthError or TrainingError."""
    data, base, model = out / "train", out / "base", out / "lte-nano"
    write_dataset(data, recipe.train_scenes, recipe.train_seed, photos, workers=recipe.base.threads)
    say(f"{recipe.train_scenes} scenes are in {data}")
    tokenizer = nano.make_tokenizer(VOCABULARY, [kind.value for kind in Kind], recipe.base.image_wh)
    Pretraining(examples(data), tokenizer, base, recipe.base).run(lambda p: say(progress_line(p)))
    checkpoint(recipe.base.image_wh).save(base)
    say(f"the base is in {base}")
    train_lte(read_data(data), base, model, recipe.lte, tell)
    replace(Checkpoint.load(model), note=NOTE, card="README.md").save(model)
    record = {"recipe": asdict(recipe), "commit": commit()}
    (model / "recipe.json").write_text(json.dumps(record, indent=2) + "\n")
    return model


def halves(photos: Path, out: Path) -> tuple[Path, Path]:
    """Every other photo of a folder for training, and the rest for the test scenes: folders in `out`."""
    found = sorted(path for path in photos.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    folders = out / "photos" / "train", out / "photos" / "test"
    for number, path in enumerate(found):
        link_or_copy(path.absolute(), folders[number % 2] / f"{number:05}{path.suffix.lower()}")
    return folders


def test_scenes(out: Path, count: int, photos: Path | None) -> Path:
    """Scenes that training never saw, of another seed and with other photos. No plain pictures: they would flatter
    every number."""
    return write_dataset(out / "test", count, TEST_SEED, photos, plain_share=0.0).parent


def progress_line(progress: PretrainProgress) -> str:
    means = " ".join(f"{name} {value:.3f}" for name, value in progress.means.items())
    return f"{progress.stage} {progress.seen}/{progress.of} at {progress.rate:.1f}/s  {means}"
