"""LayerNorm apart from the sum before it."""

import copy

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

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


def test_answers_stay_the_same(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """Bias, residual, scale and shift are all still there: the probabilities are those of the fused graph."""
    model = with_other_vectors(fused)
    batch = padded_batch(checkpoint.model.config.vocab_size)
    expected = run(model, *batch)
    assert np.abs(expected - run(fused, *batch)).max() > 0.01

    got = run(normalisation.apart(model, checkpoint.model.config), *batch)

    np.testing.assert_allclose(got, expected, atol=1e-5)


def with_other_vectors(fused: ModelProto) -> ModelProto:
    """The graph with random biases, scales and shifts: untrained, they are zeros and ones."""
    model = copy.deepcopy(fused)
    draw = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 1 and values.dtype == np.float32:
            moved = values + draw.normal(scale=0.3, size=values.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    return model


def test_split_leaves_its_input_alone(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """The fused graph, which the GPU's is made of, is the same afterwards."""
    before = fused.SerializeToString(deterministic=True)
    normalisation.apart(fused, checkpoint.model.config)
    assert fused.SerializeToString(deterministic=True) == before
