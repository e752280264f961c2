"""Fused fp32 graph -> int8 graph, for CPUs.

Every product with a layer's weights runs in 8 bits. Each token is quantised by a scale of its own, as in
ZeroQuant (Yao et al., 2022): it is taken from that token as it comes, so it needs no calibration texts and
knows nothing of the other texts in the batch. Each column of a weight has a scale too. The rest stays in
fp32: embeddings, attention between tokens, LayerNorm, pooler and classifier.

Activations are unsigned and weights signed, the combination for which ONNX Runtime has VNNI and AMX kernels.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from transformers import BertConfig

from export.graph import CONTRIB_DOMAIN, check_operators

# An activation is stored as 128 + round(127 * value / largest of its token), which is 1 to 255.
LARGEST = 127
ZERO_POINT = 128
# Without VNNI the products of inputs 0 and 1, 2 and 3 and so on are added in 16 bits (VPMADDUBSW), and what
# does not fit saturates. 255 * 128 fits: where no such pair of weights adds up to more, every CPU gets the
# same integers, those that VNNI gets in 32 bits.
LARGEST_PAIR = 128

_Product = tuple[list[NodeProto], list[TensorProto]]
# The scale of an activation once it is divided by its token's largest.
_STEP = numpy_helper.from_array(np.array(1 / LARGEST, dtype=np.float32), "activation_step")
_ZERO_POINT = numpy_helper.from_array(np.array(ZERO_POINT, dtype=np.uint8), "activation_zero_point")


def int8(fused: ModelProto, config: BertConfig) -> ModelProto:
    """Quantise the weights of every layer; inputs and outputs stay as they are.

    Raises:
        FusionError: a layer was left as it was.
    """
    model = copy.deepcopy(fused)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    added = [_STEP, _ZERO_POINT]
    for node in model.graph.node:
        if node.op_type == "Attention":
            projected = f"{node.output[0]}/projected"
            new, tensors = _product(node.input[0], weights.pop(node.input[1]), projected)
            new += _attention(node, projected)
        elif node.op_type == "MatMul" and node.input[1] in weights:
            new, tensors = _product(node.input[0], weights.pop(node.input[1]), node.output[0])
        else:
            new, tensors = [node], []
        nodes += new
        added += tensors
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend([*weights.values(), *added])
    layers = config.num_hidden_layers
    check_operators(
        model,
        {"Attention": 0, "MatMul": 0, "MultiHeadAttention": layers, "MatMulIntegerToFloat": 4 * layers},
    )
    return model


def columns(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise a weight, each column by the finest scale at which no sum of two products saturates.

    The pair of the same sign with the largest sum sets the scale. That leaves most columns nearly 8 bits,
    where the usual remedy, 7 bits for all weights, doubles the error of each.

    Args:
        weight: [inputs, outputs].

    Returns:
        [inputs, outputs], and the scale of each output.
    """
    firsts = np.arange(0, len(weight), 2)
    above = np.add.reduceat(np.maximum(weight, 0), firsts, axis=0).max(axis=0)
    below = np.add.reduceat(np.maximum(-weight, 0), firsts, axis=0).max(axis=0)
    # Each of a pair may be rounded up by a half.
    scales = np.maximum(above, below) / np.float32(LARGEST_PAIR - 1)
    scales[scales == 0] = 1
    return np.rint(weight / scales).astype(np.int8), scales


def _product(activation: str, weight: TensorProto, output: str) -> _Product:
    """The nodes of activation @ weight, and their tensors."""
    quantised, scales = columns(numpy_helper.to_array(weight))
    tensors = [
        numpy_helper.from_array(quantised, f"{weight.name}/int8"),
        numpy_helper.from_array(scales, f"{weight.name}/scales"),
    ]
    magnitude, largest, divided, integers, product = (
        f"{output}/{name}" for name in ("magnitude", "largest", "divided", "integers", "product")
    )
    nodes = [
        _node("Abs", [activation], magnitude),
        _node("ReduceMax", [magnitude], largest, axes=[-1], keepdims=1),
        # A token of zeros is divided by zero: whatever integers that gives, the last node makes them zeros.
        _node("Div", [activation, largest], divided),
        _node("QuantizeLinear", [divided, _STEP.name, _ZERO_POINT.name], integers),
        _node(
            "MatMulIntegerToFloat",
            [integers, tensors[0].name, _STEP.name, tensors[1].name, _ZERO_POINT.name],
            product,
            domain=CONTRIB_DOMAIN,
        ),
        _node("Mul", [product, largest], output),
    ]
    return nodes, tensors


def _attention(node: NodeProto, projected: str) -> list[NodeProto]:
    """What an Attention node does once its input is projected."""
    parts = [f"{node.output[0]}/{name}" for name in ("query", "key", "value")]
    heads = next(attribute.i for attribute in node.attribute if attribute.name == "num_heads")
    return [
        helper.make_node("Split", [projected], parts, name=f"{projected}/split", axis=-1),
        _node(
            "MultiHeadAttention",
            [*parts, node.input[2], node.input[3]],
            node.output[0],
            domain=CONTRIB_DOMAIN,
            num_heads=heads,
        ),
    ]


def _node(
    operator: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any
) -> NodeProto:
    return helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes)
