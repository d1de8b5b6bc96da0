"""How fast samples go in and come out, and in how much memory.

python -m tests.bench.review_exchange [COUNT]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from lte_core.dataset.manifest import to_line
from lte_core.images import measure_image
from lte_core.schema import Box, Region, TraceSample, Verdict
from review.accounts import Accounts
from review.crops import CutAhead
from review.database import open_database
from review.export import export
from review.importing import import_samples
from review.media import Media
from review.records import Action, Submission
from review.store import ReviewStore
from tests.review.conftest import PASSWORD


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, count)
        engine = open_database(f"sqlite:///{folder / 'review.db'}")
        store, media = ReviewStore(engine), Media(folder / "data")
        timed("import", count, lambda: import_samples(folder / "manifest.jsonl", store, media))
        person = Accounts(engine).add("ana", PASSWORD)
        for number in range(count):
            task = store.next(person)
            assert task is not None
            store.decide(person, Submission(task.id, task.version, Action.ACCEPT, f"t{number}"))
        ahead = CutAhead(store, media)
        timed("crops, as decisions are saved", count, lambda: [ahead(n).result() for n in range(1, count + 1)])
        timed("export", count, lambda: export(store, media, folder / "out"))
        engine.dispose()


def write(folder: Path, count: int) -> None:
    """Scenes of 448 px, a JPEG of some 40 kB each."""
    (folder / "images").mkdir()
    noise = Image.effect_noise((448, 448), 60).convert("RGB")
    with (folder / "manifest.jsonl").open("w") as lines:
        for number in range(count):
            path = folder / "images" / f"{number}.jpg"
            noise.putpixel((number % 448, number // 448), (255, 0, 0))
            noise.save(path, quality=60)
            regions = (Region(Box(20, 30, 120, 140), "hand"), Region(Box(200, 210, 330, 300), "sign"))
            lines.write(
                to_line(
                    TraceSample(
                        f"s{number:06d}", f"images/{number}.jpg", measure_image(path).sha256, 448, 448,
                        Verdict.GENERATED, "[1] six fingers; [2] no letters", regions, "bench",
                    )
                ) + "\n"
            )  # fmt: skip


def timed(name: str, count: int, work: object) -> None:
    assert callable(work)
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    sys.stdout.write(f"{name}: {count:,} in {seconds:.1f} s, {count / seconds:,.0f}/s; peak memory {peak:.0f} MB\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
