"""How fast kept replies are purified, without the sentence embedder, and in how much memory.

python -m tests.bench.purify [COUNT]
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lte_core.dataset.annotate import parse_account
from lte_core.dataset.build import Experts, Source, purify_folder
from lte_core.dataset.manifest import to_line
from lte_core.dataset.purify import PurifyConfig
from lte_core.dataset.raw import Key, Said, raw_file
from lte_core.dataset.stages import explanation_jobs, grounding_key
from lte_core.schema import Size, TraceSample, Verdict

CLUES = 4


class Constant:
    """Stands for an embedder: every pair is alike enough."""

    name = "constant"

    def similarities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [0.8] * len(pairs)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, count)
        started = time.perf_counter()
        counts = purify_folder(Source(folder, Experts.load(folder)), Constant(), PurifyConfig())
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        sys.stdout.write(
            f"{count:,} samples, {counts.kept:,} kept with {counts.boxes_kept:,} boxes, in {seconds:.1f} s, "
            f"{count / seconds:,.0f}/s; peak memory {peak:.0f} MB\n"
        )


def write(folder: Path, count: int) -> None:
    """Samples with two explanations of four clues, and two groundings of which a tenth of the boxes is one-sided."""
    rng = random.Random(0)
    for stage in ("explanations", "groundings"):
        raw_file(folder, stage).parent.mkdir(exist_ok=True)
    with (
        (folder / "manifest.jsonl").open("w") as manifest,
        raw_file(folder, "explanations").open("w") as explanations,
        raw_file(folder, "groundings").open("w") as groundings,
    ):
        for number in range(count):
            sample = TraceSample(f"s{number}", f"images/{number}.jpg", f"{number:064x}", 1024, 1024,
                                 Verdict.GENERATED, "", (), "bench")  # fmt: skip
            manifest.write(to_line(sample) + "\n")
            clues = [
                {"what": f"the fingers of hand {n} merge into the cup", "where": "lower left"} for n in range(CLUES)
            ]
            said = Said(json.dumps({"clues": clues, "summary": "The hands were not photographed"}))
            account = parse_account(said)
            for job in explanation_jobs([sample], "a"):
                explanations.write(_line(job.key, said))
            corners = [[x := rng.randint(0, 800), y := rng.randint(0, 800), x + 150, y + 120] for _ in clues]
            for pass_ in (1, 2):
                boxes = [
                    {"bbox_2d": [v + rng.randint(-4, 4) for v in c], "label": "merged fingers", "clue": n}
                    for n, c in enumerate(corners, 1)
                    if pass_ == 1 or rng.random() > 0.1
                ]
                groundings.write(_line(grounding_key(sample, account, "b", pass_),
                                       Said(json.dumps(boxes), frame_wh=Size(1024, 1024))))  # fmt: skip
    Experts("a", "b").save(folder)


def _line(key: Key, said: Said) -> str:
    about = {"sha256": key.sha256, "model": key.model, "prompt": key.prompt, "pass": key.pass_}
    frame = list(said.frame_wh) if said.frame_wh else None
    reply = {"text": said.text, "finish": said.finish, "tokens_in": 0, "tokens_out": 0, "frame_wh": frame}
    return json.dumps(about | reply) + "\n"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
