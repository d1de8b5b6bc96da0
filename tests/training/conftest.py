"""A few scenes and the checkpoint that ships, for trainings of a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from lte_core.dataset.synth import write_dataset
from lte_core.inference.checkpoint import Checkpoint
from lte_core.training.lessons import TrainingData, read_data
from tests.training.small_runs import NANO_DIR


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of TRACE-synth with 24 scenes."""
    return write_dataset(tmp_path_factory.mktemp("scenes"), 24, seed=5, plain_share=0.0).parent


@pytest.fixture(scope="session")
def taught(scenes: Path) -> TrainingData:
    return read_data(scenes)


@pytest.fixture(scope="session")
def settings() -> Checkpoint:
    return Checkpoint.load(NANO_DIR)
