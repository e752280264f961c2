"""Padded against packed, and PackedAttention against PackedMultiHeadAttention, each in its own process."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.onnx_model_bert import BertOnnxModel

from consumer.bundle import Device
from consumer.errors import one_line
from export import graph, precision
from export.checkpoint import Checkpoint
from export.parity import LIMITS
from tests.gpu import process
from tests.gpu.batches import Batch
from tests.gpu.models import Model
from tests.gpu.record import Figure, Result, Verdict

# Below this many tokens ONNX Runtime leaves flash attention aside where Q, K and V come as one tensor; its
# default is 513, and no BERT has more. It is read when a session is made, hence the processes.
FLASH = "ORT_MIN_SEQ_LEN_FLASH_ATTENTION_PACKED_QKV"
SETTINGS: Sequence[Mapping[str, str]] = ({}, {FLASH: "0"})
# Each may be that far from fp32.
TOLERANCE = LIMITS["cuda"].tolerance
FAILED = "failed"
NOTHING = {"texts": "", "kernel": "", "texts/s": "", "with IO binding": "", "largest difference": ""}


def multi_head(checkpoint: Checkpoint) -> ModelProto:
    """The fused fp32 graph with Q, K and V as tensors of their own.

    Raises:
        FusionError: a fusion is missing.
    """
    config = checkpoint.model.config
    options = FusionOptions("bert")
    options.use_multi_head_attention = True
    model: ModelProto = optimizer.optimize_model(
        graph._trace(checkpoint),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=0,
        optimization_options=options,
    ).model
    model.opset_import.append(onnx.helper.make_opsetid(graph.CONTRIB_DOMAIN, 1))
    graph.check_operators(
        model,
        {
            "EmbedLayerNormalization": 1,
            "Attention": 0,
            "MultiHeadAttention": config.num_hidden_layers,
            "SkipLayerNormalization": 2 * config.num_hidden_layers,
            "BiasGelu": config.num_hidden_layers,
        },
    )
    return model


def packed_multi_head(checkpoint: Checkpoint) -> ModelProto:
    """That graph in fp16, without padding between its first and last layer.

    Raises:
        FusionError: the converter, which gives up silently, left a layer as it was.
    """
    config = checkpoint.model.config
    half = precision.half(multi_head(checkpoint), config)
    model = BertOnnxModel(half, config.num_attention_heads, config.hidden_size)
    model.topological_sort()
    model.convert_to_packing_mode()
    model.topological_sort()
    converted: ModelProto = model.model
    graph.check_operators(
        converted,
        {
            "MultiHeadAttention": 0,
            "PackedMultiHeadAttention": config.num_hidden_layers,
            "RemovePadding": 1,
            "RestorePadding": 1,
        },
    )
    return converted


def graphs(checkpoint: Checkpoint) -> dict[str, ModelProto]:
    """The graphs to compare; the first is what the others' answers are compared with."""
    config = checkpoint.model.config
    half = precision.half(graph.fused(checkpoint), config)
    return {
        "Attention, padded": half,
        "PackedAttention": precision.packed(half, config),
        "PackedMultiHeadAttention": packed_multi_head(checkpoint),
    }


def compare(
    model: Model,
    built: Mapping[str, ModelProto],
    device: Device,
    workloads: Mapping[str, Sequence[Batch]],
    directory: Path,
    *,
    seconds: float,
    settings: Sequence[Mapping[str, str]] = SETTINGS,
) -> list[dict[str, Figure]]:
    """A row for each workload, graph and setting of the environment.

    Args:
        model: whose bundle the graphs are opened in.
        built: by name.
        device: where.
        workloads: micro-batches by name.
        directory: where each process writes what it prints.
        seconds: of each measurement.
        settings: environment variables.
    """
    rows: list[dict[str, Figure]] = []
    first: dict[str, NDArray[np.float32]] = {}
    for number, (name, one) in enumerate(built.items()):
        of = model.with_graph(device, one, f"graph-{number}")
        for variables in settings:
            row: dict[str, Figure] = {
                "model": model.name,
                "attention": name,
                "flash from": variables.get(FLASH, "default"),
            }
            log = directory / f"gpu.attention-{model.bundle.directory.name}-{len(rows)}.log"
            try:
                found = process.measure(of, device, workloads, seconds=seconds, variables=variables, log=log)
            except Exception as error:
                # The others are worth measuring, and a crash ends only its own process.
                rows.append({**row, **NOTHING, "kernel": f"{FAILED}: {one_line(error)}"})
                continue
            for workload, measured in found.items():
                expected = first.setdefault(workload, measured.answers)
                texts = len(measured.answers)
                rows.append(
                    {
                        **row,
                        "texts": workload,
                        "kernel": measured.kernels,
                        "texts/s": texts / measured.seconds,
                        "with IO binding": texts / measured.bound,
                        "largest difference": float(np.abs(measured.answers - expected).max()),
                    }
                )
    return rows


def report(rows: Sequence[dict[str, Figure]]) -> Result:
    """All rows, whether every graph ran, and whether they agree; which is fastest is for a reader to see."""
    ran = [row for row in rows if not str(row["kernel"]).startswith(FAILED)]
    apart = [float(row["largest difference"]) for row in ran]
    verdicts = [
        Verdict(
            claim="every graph runs with every setting",
            measured=f"{len(rows) - len(ran)} failed",
            held=len(ran) == len(rows),
            hard=True,
        ),
        Verdict(
            claim="they give the same probabilities",
            measured=f"{max(apart, default=0):.2g} apart at most, {TOLERANCE:g} allowed",
            # Written so that NaN, which compares false with everything, does not hold.
            held=all(one <= TOLERANCE for one in apart),
            hard=True,
        ),
    ]
    return Result(rows=rows, verdicts=verdicts)
