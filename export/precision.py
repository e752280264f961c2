"""Fused fp32 graph -> fp16 graph -> graph with packed attention, for CUDA."""

import copy

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST
from onnxruntime.transformers.onnx_model_bert import BertOnnxModel
from transformers import BertConfig

from export.errors import FusionError
from export.graph import check_operators

LARGEST_FP16 = float(np.finfo(np.float16).max)
# From the logits on in fp32: near 1, fp16 probabilities are 0.0005 apart and a row would not sum to 1.
FP32_OPERATORS = ("Div", "Softmax")


def half(fused: ModelProto, config: BertConfig) -> ModelProto:
    """Convert weights and activations to fp16; inputs, outputs, temperature and softmax stay as they are.

    Raises:
        FusionError: a constant is outside fp16's range, where the conversion would clip it without a word.
    """
    _check_range(fused)
    model = BertOnnxModel(copy.deepcopy(fused), config.num_attention_heads, config.hidden_size)
    model.convert_float_to_float16(
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *FP32_OPERATORS],
        max_finite_val=LARGEST_FP16,
    )
    converted: ModelProto = model.model
    return converted


def packed(half_model: ModelProto, config: BertConfig) -> ModelProto:
    """Drop the padding before the first layer and restore it after the last, so that no layer computes it.

    Raises:
        FusionError: the converter, which gives up silently, left a layer as it was.
    """
    model = BertOnnxModel(copy.deepcopy(half_model), config.num_attention_heads, config.hidden_size)
    model.topological_sort()
    model.convert_to_packing_mode()
    model.topological_sort()
    converted: ModelProto = model.model
    check_operators(
        converted,
        {
            "Attention": 0,
            "PackedAttention": config.num_hidden_layers,
            "RemovePadding": 1,
            "RestorePadding": 1,
        },
    )
    return converted


def _check_range(model: ModelProto) -> None:
    for name, tensor in _constants(model):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        largest = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0))
        # Written so that NaN, which compares false with everything, is refused too.
        if not largest <= LARGEST_FP16:
            raise FusionError(
                f"the constant {name} reaches {largest:g}, and fp16 ends at {LARGEST_FP16:g}: this model"
                " cannot run in fp16, export it with --variants cpu"
            )


def _constants(model: ModelProto) -> list[tuple[str, TensorProto]]:
    found = [(initializer.name, initializer) for initializer in model.graph.initializer]
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                found.append((node.name, attribute.t))
            elif attribute.type == AttributeProto.FLOAT:
                value = np.array(attribute.f, dtype=np.float32)
                found.append((f"{node.name}.{attribute.name}", numpy_helper.from_array(value)))
    return found
