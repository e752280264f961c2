"""Fused graph -> the same with LayerNorm apart from the sum before it, for CPUs.

ONNX Runtime has one operator for both, SkipLayerNormalization, which saves a GPU a trip to its memory. On a
CPU it takes several times as long as the sum and LayerNormalization by themselves.
"""

import copy

from onnx import ModelProto, NodeProto, helper
from transformers import BertConfig

from export.graph import check_operators


def apart(fused: ModelProto, config: BertConfig) -> ModelProto:
    """Split every SkipLayerNormalization; the answers stay the same but for the last digits.

    Raises:
        FusionError: one was not found.
    """
    model = copy.deepcopy(fused)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes += _split(node) if node.op_type == "SkipLayerNormalization" else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    check_operators(model, {"SkipLayerNormalization": 0, "LayerNormalization": 2 * config.num_hidden_layers})
    return model


def _split(node: NodeProto) -> list[NodeProto]:
    states, residual, gamma, beta, *bias = node.input
    [output] = node.output
    epsilon = next(attribute.f for attribute in node.attribute if attribute.name == "epsilon")
    nodes = []
    if bias:
        nodes.append(helper.make_node("Add", [states, *bias], [f"{output}/biased"], name=f"{output}/biased"))
        states = f"{output}/biased"
    return [
        *nodes,
        helper.make_node("Add", [states, residual], [f"{output}/sum"], name=f"{output}/sum"),
        helper.make_node(
            "LayerNormalization",
            [f"{output}/sum", gamma, beta],
            [output],
            name=output,
            axis=-1,
            epsilon=epsilon,
        ),
    ]
