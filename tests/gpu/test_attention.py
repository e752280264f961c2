"""The graphs whose attention is compared, and the processes that measure them."""

import os
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from scipy.special import softmax  # type: ignore[import-untyped]

from export import graph, parity
from tests.conftest import comments
from tests.export.test_packing import OPERATORS
from tests.gpu import attention, batches, process
from tests.gpu.models import Model
from tests.gpu.record import Figure

Array = NDArray[Any]


class PackedMultiHeadAttention(OpRun):
    """Attention of each row's tokens among themselves, Q, K and V [tokens, hidden] without their biases."""

    op_domain = "com.microsoft"

    def _run(
        self,
        query: Array,
        key: Array,
        value: Array,
        bias: Array,
        offset: Array,
        cumulated: Array,
        attention_bias: Array | None = None,
        mask_filter_value: float | None = None,
        num_heads: int | None = None,
    ) -> tuple[Array]:
        assert num_heads is not None
        biased = [part + one for part, one in zip((query, key, value), np.split(bias, 3), strict=True)]
        out = np.empty(query.shape, dtype=np.float32)
        for start, end in pairwise(cumulated):
            # [tokens, heads x size] -> [heads, tokens, size]
            q, k, v = (
                part[start:end].astype(np.float32).reshape(end - start, num_heads, -1).swapaxes(0, 1)
                for part in biased
            )
            scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
            out[start:end] = (softmax(scores, axis=-1) @ v).swapaxes(0, 1).reshape(end - start, -1)
        return (out.astype(query.dtype),)


def test_packed_multi_head_graph_is_whole(small: Model) -> None:
    """Of two layers, both have PackedMultiHeadAttention, and padding is removed and restored once."""
    operators = graph.operators(attention.packed_multi_head(small.checkpoint))

    counted = {name: operators[name] for name in operators if "Attention" in name or "Padding" in name}
    assert counted == {"PackedMultiHeadAttention": 2, "RemovePadding": 1, "RestorePadding": 1}


def test_packed_multi_head_graph_answers_as_pytorch(small: Model) -> None:
    """On the CPU, texts of different lengths get PyTorch's probabilities from it, to fp16's precision."""
    texts = comments(6)
    input_ids, attention_mask = batches.padded(small.tokens(texts))
    built = attention.packed_multi_head(small.checkpoint)
    operators: Any = [*OPERATORS, PackedMultiHeadAttention]
    evaluator: Any = ReferenceEvaluator(built, new_ops=operators)

    [got] = evaluator.run(None, {"input_ids": input_ids, "attention_mask": attention_mask})

    expected = parity.reference(small.checkpoint, texts, advance=lambda count: None)
    assert np.abs(got - expected).max() < parity.LIMITS["cuda"].difference


def test_graphs_are_compared_and_failures_kept(small: Model, tmp_path: Path) -> None:
    """Graphs that run get rates and agree; one that cannot run here is a row that says why."""
    built = {
        "Attention": graph.fused(small.checkpoint),
        "MultiHeadAttention": attention.multi_head(small.checkpoint),
        "packed": attention.packed_multi_head(small.checkpoint),
    }
    ready = batches.grouped(batches.drawn([3, 9, 9, 20], vocabulary=100), 64)
    workloads = {"few": ready, "fewer": ready[:1]}

    rows = attention.compare(small, built, "cpu", workloads, tmp_path, seconds=0.01, settings=[{}])

    ran, failed = rows[:4], rows[4:]
    assert [(row["attention"], row["texts"]) for row in ran] == [
        ("Attention", "few"),
        ("Attention", "fewer"),
        ("MultiHeadAttention", "few"),
        ("MultiHeadAttention", "fewer"),
    ]
    assert all(float(row["texts/s"]) > 0 and float(row["with IO binding"]) > 0 for row in ran)
    assert len(failed) == 1
    assert "RemovePadding" in str(failed[0]["kernel"])
    runs, agree = attention.report(rows).verdicts
    assert (runs.held, agree.held) == (False, True)


def test_graphs_that_disagree_are_seen() -> None:
    """Probabilities further apart than fp16 explains do not pass, and neither does NaN."""
    rows: list[dict[str, Figure]] = [
        {"kernel": "", "largest difference": apart} for apart in (0.0, 0.03, float("nan"))
    ]

    assert [attention.report([row]).verdicts[1].held for row in rows] == [True, False, False]


def test_process_has_its_own_environment(tmp_path: Path) -> None:
    """The variable is set where the session is made, not here, and what that process prints is in its log."""
    log = tmp_path / "log"

    variables = {attention.FLASH: "0"}
    command = f"printenv {attention.FLASH}"

    assert process.apart(partial(os.system, command), variables=variables, log=log) == 0
    assert log.read_text() == "0\n"
    assert attention.FLASH not in os.environ


def test_kernels_are_read() -> None:
    """Every kernel that ONNX Runtime names is told, once."""
    said = "Operator=A Node=1 DataType=fp16 SdpaKernel=FLASH_ATTENTION\nOperator=A SdpaKernel=MATH\n" * 2

    assert process.kernels(said) == "FLASH_ATTENTION, MATH"
    assert process.kernels("nothing") == ""
