"""The example pictures: six synthetic scenes, three of them with a planted flaw, each known by its file name.

Run as a program, draws them anew with TRACE-synth: python -m demo.examples
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("examples")


@dataclass(frozen=True, slots=True)
class Example:
    """One example picture. `flawed` says whether something in it was made wrong on purpose."""

    path: Path
    caption: str
    flawed: bool


def list_examples(folder: Path = FOLDER) -> tuple[Example, ...]:
    """The pictures in the folder, by name: `desk-flawed.jpg` is a desk with a flaw, `desk-clean.jpg` one without."""
    examples = []
    for path in sorted(folder.glob("*.jpg")):
        caption, _, kind = path.stem.rpartition("-")
        if kind not in ("clean", "flawed") or not caption:
            raise ValueError(f"expected a name such as desk-clean.jpg or desk-flawed.jpg, got {path.name} in {folder}")
        examples.append(Example(path, caption.replace("-", " "), kind == "flawed"))
    return tuple(examples)


SCENES = {
    "shop front": True, "kitchen": False, "desk": True, "window sill": False, "market stall": True, "gallery": False,
}  # fmt: skip


def write_examples(folder: Path = FOLDER) -> None:
    """Draw a scene of every theme in SCENES, flawed or not: of each the first that the generator draws."""
    import numpy as np

    from lte_core.dataset.synth import compose, encode
    from lte_core.schema import Verdict

    folder.mkdir(parents=True, exist_ok=True)
    missing = dict(SCENES)
    for seed in itertools.takewhile(lambda _: missing, range(1000)):
        rng = np.random.default_rng(seed)
        scene = compose(rng)
        flawed = scene.label is Verdict.GENERATED
        if missing.get(scene.theme) is flawed:
            del missing[scene.theme]
            name = f"{scene.theme.replace(' ', '-')}-{'flawed' if flawed else 'clean'}.jpg"
            (folder / name).write_bytes(encode(scene, rng))
    if missing:
        raise ValueError(f"expected the themes {sorted(missing)} among the first 1000 scenes, found none")


if __name__ == "__main__":
    write_examples()
