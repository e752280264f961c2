"""The tiny checkpoint on its way through the exporter, each stage made once."""

from pathlib import Path

import pytest
from onnx import ModelProto

from export import checkpoint as checkpoint_module
from export import graph, precision
from export.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    """The tiny checkpoint, read."""
    return checkpoint_module.read(tiny_checkpoint)


@pytest.fixture(scope="session")
def fused(checkpoint: Checkpoint) -> ModelProto:
    """Its fused fp32 graph; copy it before changing it."""
    return graph.fused(checkpoint)


@pytest.fixture(scope="session")
def half(checkpoint: Checkpoint, fused: ModelProto) -> ModelProto:
    """Its fp16 graph, attention not packed; copy it before changing it."""
    return precision.half(fused, checkpoint.model.config)


@pytest.fixture(scope="session")
def packed(checkpoint: Checkpoint, half: ModelProto) -> ModelProto:
    """Its fp16 graph with packed attention; copy it before changing it."""
    return precision.packed(half, checkpoint.model.config)
