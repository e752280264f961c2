"""Checkpoint -> fused ONNX graph, with temperature and softmax inside."""

import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnx import ModelProto
from onnxruntime.transformers import optimizer
from transformers import BertForSequenceClassification

from export.checkpoint import Checkpoint
from export.errors import FusionError

# The first with LayerNormalization as one operator, which the fusions then find; no later one offers more.
OPSET = 17
CONTRIB_DOMAIN = "com.microsoft"


class _Probabilities(torch.nn.Module):
    """The model with everything between its logits and the probabilities."""

    temperature: torch.Tensor

    def __init__(self, model: BertForSequenceClassification, temperature: float) -> None:
        super().__init__()
        self.model = model
        # A buffer becomes an initializer, which the fp16 conversion can leave in fp32.
        self.register_buffer("temperature", torch.tensor(temperature))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        # Left to its default, token_type_ids comes out as a dozen nodes that slice a stored buffer.
        outputs = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=torch.zeros_like(input_ids)
        )
        return torch.softmax(outputs.logits / self.temperature, dim=-1)


def fused(checkpoint: Checkpoint) -> ModelProto:
    """Trace the model and fuse it.

    Returns:
        A graph from int32 `input_ids` and `attention_mask` [batch, sequence], right-padded, to float32
        `probabilities` [batch, labels]. The same checkpoint gives the same bytes.

    Raises:
        FusionError: a fusion is missing.
    """
    config = checkpoint.model.config
    optimized = optimizer.optimize_model(
        _trace(checkpoint),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=0,
    )
    model: ModelProto = optimized.model
    model.opset_import.append(onnx.helper.make_opsetid(CONTRIB_DOMAIN, 1))
    _strip(model)
    check_operators(
        model,
        {
            "EmbedLayerNormalization": 1,
            "Attention": config.num_hidden_layers,
            "SkipLayerNormalization": 2 * config.num_hidden_layers,
            "BiasGelu": config.num_hidden_layers,
        },
    )
    return model


def operators(model: ModelProto) -> Counter[str]:
    """How often each operator occurs."""
    return Counter(node.op_type for node in model.graph.node)


def check_operators(model: ModelProto, expected: Mapping[str, int]) -> None:
    """Refuse a graph in which a fusion is missing: it would answer rightly, and silently be slow.

    Raises:
        FusionError: an operator does not occur as often as expected.
    """
    found = operators(model)
    if wrong := [
        f"{found[name]} {name} instead of {count}" for name, count in expected.items() if found[name] != count
    ]:
        raise FusionError(
            f"the optimized graph has {', '.join(wrong)}; the fusions match BERT with the activation"
            " 'gelu' as the versions in constraints.txt export it: install those, or use another base model"
        )


def save(model: ModelProto, path: Path) -> int:
    """Write a graph as one file, the same bytes for the same graph, and return its size in bytes."""
    return path.write_bytes(model.SerializeToString(deterministic=True))


def _trace(checkpoint: Checkpoint) -> ModelProto:
    # Two rows of unlike length, so that the trace holds masking and no dimension looks constant.
    # The fused embedding takes no other integers, and would have them converted in every run.
    input_ids = torch.ones((2, 8), dtype=torch.int32)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, 5:] = 0
    shape = {0: "batch", 1: "sequence"}
    with TemporaryDirectory() as directory, warnings.catch_warnings():
        # The tracer warns of every branch it takes; whether it took the right one, the comparison shows.
        warnings.simplefilter("ignore")
        path = Path(directory) / "traced.onnx"
        torch.onnx.export(
            _Probabilities(checkpoint.model, checkpoint.temperature).eval(),
            (input_ids, attention_mask),
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=["probabilities"],
            dynamic_axes={"input_ids": shape, "attention_mask": shape, "probabilities": {0: "batch"}},
            opset_version=OPSET,
            # The newer exporter leaves attention in a form that the optimizer does not fuse.
            dynamo=False,
        )
        return onnx.load(path)


def _strip(model: ModelProto) -> None:
    """Remove what tells of the machine that exported: source locations and free text."""
    for element in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        element.ClearField("doc_string")
        element.ClearField("metadata_props")
