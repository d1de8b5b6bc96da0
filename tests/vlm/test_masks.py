"""The words that a form does not allow, and that nothing is compiled to forbid them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from lte_core.vlm.grammar import forbid

ROOT = Path(__file__).parents[2]


@given(st.lists(st.lists(st.booleans(), min_size=33, max_size=64), min_size=1, max_size=3), st.data())
def test_what_has_no_bit_is_forbidden_and_the_rest_is_untouched(rows: list[list[bool]], data: st.DataObject) -> None:
    vocabulary = data.draw(st.integers(1, min(map(len, rows))))
    words = [
        [sum(bit << at for at, bit in enumerate(row[start : start + 32])) for start in range(0, 64, 32)] for row in rows
    ]
    signed = [[word - (1 << 32) if word >> 31 else word for word in row] for row in words]
    logits = torch.randn(len(rows), vocabulary)
    masked = logits.clone()
    forbid(masked, torch.tensor(signed, dtype=torch.int32))
    for row, allowed in enumerate(rows):
        for token, may in enumerate(allowed[:vocabulary]):
            assert masked[row, token] == (logits[row, token] if may else float("-inf"))


def test_a_picture_is_judged_without_a_compiler_and_in_any_locale(tmp_path: Path) -> None:
    """PyTorch's compiler reads its own files in the locale's encoding."""
    environment = {**os.environ, "PATH": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": f"{tmp_path}/kernels"}
    environment |= {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}
    environment.pop("CXX", None)
    command = [sys.executable, "-m", "lte_core", "detect", "demo/examples/desk-flawed.jpg", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list((tmp_path / "kernels").glob("*"))
