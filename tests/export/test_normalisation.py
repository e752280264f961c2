"""LayerNorm apart from the sum before it."""

import numpy as np
import pytest
from onnx import ModelProto

from export import graph, normalisation
from export.checkpoint import Checkpoint
from tests.export.test_graph import padded_batch, run


@pytest.fixture(scope="module")
def apart(checkpoint: Checkpoint, fused: ModelProto) -> ModelProto:
    """The tiny checkpoint's graph with each LayerNorm apart."""
    return normalisation.apart(fused, checkpoint.model.config)


def test_every_normalisation_is_split(apart: ModelProto) -> None:
    """Of two layers' four SkipLayerNormalizations none is left, and each became a LayerNormalization."""
    found = graph.operators(apart)

    assert (found["SkipLayerNormalization"], found["LayerNormalization"]) == (0, 4)


def test_answers_stay_the_same(checkpoint: Checkpoint, fused: ModelProto, apart: ModelProto) -> None:
    """Bias, residual, scale and shift are all still there: the probabilities are those of the fused graph."""
    batch = padded_batch(checkpoint.model.config.vocab_size)

    np.testing.assert_allclose(run(apart, *batch), run(fused, *batch), atol=1e-6)


def test_split_leaves_its_input_alone(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """The fused graph, which the GPU's is made of, is the same afterwards."""
    before = fused.SerializeToString(deterministic=True)
    normalisation.apart(fused, checkpoint.model.config)
    assert fused.SerializeToString(deterministic=True) == before
