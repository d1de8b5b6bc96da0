"""On an accelerator: the model that ships judges there as it does on a CPU. Left out where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lte_core.images import read_image
from lte_core.inference.detector import LocateThenExamine
from lte_core.inference.load import NANO, LoadConfig, load_model
from lte_core.schema import Detection

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("demo", "examples").glob("*.jpg"))


@pytest.mark.parametrize(("dtype", "apart"), [("float32", 0.01), ("bfloat16", 0.2)])
def test_a_gpu_judges_the_examples_as_a_cpu_does(dtype: str, apart: float) -> None:
    found = {}
    for device, width in (("cpu", "float32"), ("cuda", dtype)):
        vlm, checkpoint = load_model(NANO, LoadConfig(device=device, dtype=width))
        pictures = [(path.name, read_image(path)) for path in EXAMPLES]
        found[device] = [*LocateThenExamine(vlm, checkpoint).detect_many(pictures)]
    for ours, theirs in zip(found["cpu"], found["cuda"], strict=True):
        assert isinstance(ours, Detection)
        assert isinstance(theirs, Detection)
        assert theirs.p_generated == pytest.approx(ours.p_generated, abs=apart)
        assert theirs.verdict == ours.verdict
