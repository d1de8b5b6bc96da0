"""The names of what can be varied in an evaluation: how much of the method is used. Nothing else."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """How much of the method is used (the paper's ablation): both looks; one look that explains and grounds (E+G); one
    that only explains (E); the bare question, for a model that was not trained."""

    LTE = "lte"
    SINGLE = "single"
    EXPLAIN = "explain"
    BASE = "base"


BASELINE = "baseline"
"""What stands in place of a mode where another program gave the scores."""

WITH_BOXES = frozenset({Mode.LTE, Mode.SINGLE})
WITH_WORDS = frozenset({Mode.LTE, Mode.SINGLE, Mode.EXPLAIN})
