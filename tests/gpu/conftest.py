"""A model small enough for a CPU, made as the measured ones are."""

from pathlib import Path

import pytest

from export import checkpoint
from tests.gpu import models
from tests.gpu.models import Model


@pytest.fixture(scope="session")
def small(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The tiny checkpoint, two layers 32 wide that read 64 tokens, with its graph for the CPU."""
    directory = tmp_path_factory.mktemp("gpu") / "small"
    return models.of_checkpoint("small", checkpoint.read(tiny_checkpoint), directory, "cpu")
