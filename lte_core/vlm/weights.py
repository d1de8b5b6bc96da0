"""The model in a directory with its tokenizer: all of it, or an error that says what is wrong.

transformers starts what a file lacks at random and says so only in its log: such a model answers, and answers nonsense.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoTokenizer

DAMAGE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RuntimeError, ImportError,
    SafetensorError, StrictDataclassError,
)  # fmt: skip
"""What transformers raises for a file that is cut, is no JSON, or says what no model can be."""


def read_weights(directory: Path, **options: Any) -> Any:
    """The model. Raises ValueError when tensors are missing, and what is in DAMAGE."""
    model, told = AutoModelForImageTextToText.from_pretrained(directory, output_loading_info=True, **options)
    if missing := sorted(told["missing_keys"]):
        raise ValueError(f"{len(missing)} of its tensors are missing, such as {missing[0]}")
    return model


def read_tokenizer(directory: Path) -> Any:
    """The tokenizer. Raises ValueError without a chat template, and what is in DAMAGE."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    if not tokenizer.chat_template:
        raise ValueError("its tokenizer has no chat template (chat_template.jinja)")
    return tokenizer


def first_line(problem: BaseException) -> str:
    """What an error says, where it says more than a line."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
