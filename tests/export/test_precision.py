"""The numbers of the fp16 graph for CUDA."""

import copy

import numpy as np
import onnxruntime
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper

from export import graph, precision
from export.checkpoint import Checkpoint
from export.errors import FusionError


def constants(model: ModelProto) -> dict[str, TensorProto]:
    """Initialisers and the tensors of Constant nodes."""
    found = {initializer.name: initializer for initializer in model.graph.initializer}
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                found[node.output[0]] = attribute.t
    return found


def test_each_attention_is_packed(packed: ModelProto) -> None:
    """Both layers have PackedAttention, between one RemovePadding and one RestorePadding."""
    found = graph.operators(packed)
    names = ("Attention", "PackedAttention", "RemovePadding", "RestorePadding")
    assert [found[name] for name in names] == [0, 2, 1, 1]


def test_weights_are_fp16_and_temperature_is_not(packed: ModelProto) -> None:
    """Every weight is fp16; the one fp32 constant is the temperature."""
    kinds = {name: tensor.data_type for name, tensor in constants(packed).items()}
    assert [name for name, kind in kinds.items() if kind == TensorProto.FLOAT] == ["temperature"]
    assert kinds["model.bert.embeddings.word_embeddings.weight"] == TensorProto.FLOAT16


def test_no_constant_is_outside_fp16(packed: ModelProto) -> None:
    """No constant, a mask's least of all, is infinite in fp16, and no node has a mask value of its own."""
    for name, tensor in constants(packed).items():
        value = numpy_helper.to_array(tensor)
        if value.dtype in (np.float16, np.float32):
            assert np.isfinite(value.astype(np.float16)).all(), name
    floats = [a.f for node in packed.graph.node for a in node.attribute if a.type == AttributeProto.FLOAT]
    assert max(map(abs, floats)) <= precision.LARGEST_FP16


def test_no_stale_shapes_are_left(packed: ModelProto) -> None:
    """Packing changes ranks, so no recorded shape of an inner value survives it."""
    assert list(packed.graph.value_info) == []


@pytest.mark.parametrize("value", [1e6, float("inf"), float("nan")])
def test_constant_outside_fp16_is_refused(value: float, checkpoint: Checkpoint, fused: ModelProto) -> None:
    """A weight that fp16 would clip is refused and named, and the fp32 graph stays as it was."""
    broken = copy.deepcopy(fused)
    weight = next(tensor for tensor in broken.graph.initializer if tensor.name.endswith("classifier.weight"))
    changed = numpy_helper.to_array(weight).copy()
    changed[0, 0] = value
    weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
    with pytest.raises(FusionError, match=r"classifier\.weight reaches"):
        precision.half(broken, checkpoint.model.config)


def test_attentions_with_different_masks_are_refused(checkpoint: Checkpoint, half: ModelProto) -> None:
    """Where the converter gives up without a word, packing is refused with the count."""
    broken = copy.deepcopy(half)
    attention = [node for node in broken.graph.node if node.op_type == "Attention"][1]
    attention.input[3] = ""
    with pytest.raises(FusionError, match="2 Attention instead of 0, 0 PackedAttention instead of 2"):
        precision.packed(broken, checkpoint.model.config)


def test_conversion_leaves_its_input_alone(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """The fp32 graph is the same before and after its conversion."""
    before = fused.SerializeToString(deterministic=True)
    precision.packed(precision.half(fused, checkpoint.model.config), checkpoint.model.config)
    assert fused.SerializeToString(deterministic=True) == before


def test_packed_graph_is_whole(packed: ModelProto) -> None:
    """ONNX Runtime on the CPU takes the packed graph up to the operators that only CUDA has."""
    with pytest.raises(Exception, match=r"NOT_IMPLEMENTED.*(RemovePadding|PackedAttention)"):
        onnxruntime.InferenceSession(packed.SerializeToString(), providers=["CPUExecutionProvider"])
