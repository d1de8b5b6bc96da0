"""Real models as experts: lte-nano in this process, and behind `transformers serve`.

It knows neither question, so its replies are of little use; that they are asked for, kept and told is what counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lte_core.dataset.build import Experts as Names
from lte_core.inference.load import MODELS, NANO, weights_hash
from tests.dataset.commands import trace
from tests.dataset.expert_server import KEY, Experts, scenes, serving, truth_of
from tests.vlm import transformers_server

pytestmark = pytest.mark.slow


def replies(folder: Path, stage: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"raw/{stage}.jsonl").read_text().splitlines()]


def test_lte_nano_explains_and_grounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    drawn, out, model = scenes(tmp_path / "scenes", 2), tmp_path / "trace", str(MODELS / NANO)
    assert trace("collect", "--from", f"manifest:{drawn}", "--out", str(out)).exit_code == 0

    with transformers_server.serving(Path(model), tmp_path) as url:
        done = trace("annotate", "--data", str(out), "--model", model, "--base-url", url, "--concurrency", "2")
    assert done.exit_code == 3, done.output
    said = replies(out, "explanations")
    assert len(said) == 4
    assert {reply["model"] for reply in said} == {model}
    assert all(reply["tokens_in"] > 64 for reply in said), "the picture was seen: it alone is 64 tokens"
    assert set(json.loads((out / "annotate.json").read_text())["failures"]) <= {"malformed", "cut"}

    # Grounding in this process, of what careful experts said.
    with serving(Experts(truth_of(drawn))) as experts:
        assert trace("annotate", "--data", str(out), "--base-url", experts.url).exit_code == 0
    done = trace("ground", "--data", str(out), "--model", NANO)
    assert done.exit_code in (0, 3), done.output
    grounder = f"{NANO}@{(weights_hash(MODELS / NANO) or '')[:12]}"
    said = replies(out, "groundings")
    assert [reply["model"] for reply in said] == [grounder] * 4
    assert {tuple(reply["frame_wh"]) for reply in said} == {(224, 224)}
    assert Names.load(out) == Names("gpt-4o", grounder)
    assert trace("purify", "--data", str(out), "--embedder", "tfidf").exit_code in (0, 3)
