"""What the packed graph computes, followed on the CPU with the contributed operators written in NumPy.

ONNX Runtime has these operators for CUDA only. Their definitions here follow the published operator schemas,
so that the wiring (which lengths, which offsets, what is restored where) is proven without a GPU.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from scipy.special import erf, softmax

from export import parity
from export.checkpoint import Checkpoint

Array = NDArray[Any]


def normalized(x: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
    """Layer normalisation in fp32, back in the input's precision."""
    wide = x.astype(np.float32)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(wide.var(axis=-1, keepdims=True) + epsilon)
    return (scaled * gamma + beta).astype(x.dtype)


class EmbedLayerNormalization(OpRun):
    """Sum of three embeddings, normalised, and the length of each row."""

    op_domain = "com.microsoft"

    def _run(
        self,
        ids: Array,
        segments: Array,
        words: Array,
        positions: Array,
        segment_table: Array,
        gamma: Array,
        beta: Array,
        mask: Array,
        epsilon: float | None = None,
        mask_index_type: int | None = None,
    ) -> tuple[Array, ...]:
        embedded = words[ids] + positions[: ids.shape[1]] + segment_table[segments]
        lengths = mask.sum(axis=1).astype(np.int32)
        return tuple(
            [normalized(embedded, gamma, beta, epsilon or 1e-12), lengths][: len(self.onnx_node.output)]
        )


class RemovePadding(OpRun):
    """Rows [batch, sequence, hidden] -> their tokens one after the other [tokens, hidden]."""

    op_domain = "com.microsoft"

    def _run(self, rows: Array, lengths: Array) -> tuple[Array, ...]:
        batch, sequence, hidden = rows.shape
        kept = (np.arange(sequence) < lengths[:, None]).ravel()
        flat = np.arange(batch * sequence, dtype=np.int32)
        offset = np.concatenate([flat[kept], flat[~kept]]).reshape(batch, sequence)
        cumulated = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        longest = np.array([lengths.max()], dtype=np.int32)
        return rows.reshape(-1, hidden)[kept], offset, cumulated, longest


class RestorePadding(OpRun):
    """The inverse; padding comes back as zeros."""

    op_domain = "com.microsoft"

    def _run(self, tokens: Array, offset: Array) -> tuple[Array]:
        rows = np.zeros((offset.size, tokens.shape[1]), dtype=tokens.dtype)
        rows[offset.ravel()[: len(tokens)]] = tokens
        return (rows.reshape(*offset.shape, tokens.shape[1]),)


class PackedAttention(OpRun):
    """Self-attention of each row's tokens among themselves."""

    op_domain = "com.microsoft"

    def _run(
        self,
        tokens: Array,
        weights: Array,
        bias: Array,
        offset: Array,
        cumulated: Array,
        attention_bias: Array | None = None,
        num_heads: int | None = None,
    ) -> tuple[Array]:
        assert num_heads is not None
        projected = tokens.astype(np.float32) @ weights.astype(np.float32) + bias
        out = np.empty((len(tokens), weights.shape[1] // 3), dtype=np.float32)
        for start, end in pairwise(cumulated):
            # [tokens, 3 x heads x size] -> query, key and value, each [heads, tokens, size]
            query, key, value = (
                part.reshape(end - start, num_heads, -1).swapaxes(0, 1)
                for part in np.split(projected[start:end], 3, axis=-1)
            )
            scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
            out[start:end] = (softmax(scores, axis=-1) @ value).swapaxes(0, 1).reshape(end - start, -1)
        return (out.astype(tokens.dtype),)


class SkipLayerNormalization(OpRun):
    """Sum of input, residual and bias, normalised."""

    op_domain = "com.microsoft"

    def _run(
        self, x: Array, skip: Array, gamma: Array, beta: Array, bias: Array, epsilon: float | None = None
    ) -> tuple[Array]:
        return (normalized(x + skip + bias, gamma, beta, epsilon or 1e-12),)


class BiasGelu(OpRun):
    """The exact Gelu of input and bias."""

    op_domain = "com.microsoft"

    def _run(self, x: Array, bias: Array) -> tuple[Array]:
        wide = (x + bias).astype(np.float32)
        return ((wide * (1 + erf(wide / np.sqrt(2))) / 2).astype(x.dtype),)


OPERATORS = [
    EmbedLayerNormalization,
    RemovePadding,
    RestorePadding,
    PackedAttention,
    SkipLayerNormalization,
    BiasGelu,
]


def test_packed_graph_answers_as_pytorch(checkpoint: Checkpoint, packed: ModelProto) -> None:
    """Texts of different lengths in one padded batch get PyTorch's probabilities, to fp16's precision."""
    texts = [
        "late",
        "the food was cold and the waiter rude !",
        "thank you , great hotel",
        "broken again " * 20,
    ]
    lengths = [len(encoding) for encoding in checkpoint.tokenizer.encode_batch(texts)]
    input_ids = np.zeros((len(texts), max(lengths)), dtype=np.int32)
    for row, encoding in zip(input_ids, checkpoint.tokenizer.encode_batch(texts), strict=True):
        row[: len(encoding)] = encoding.ids
    attention_mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int32)
    evaluator = ReferenceEvaluator(packed, new_ops=OPERATORS)
    got = evaluator.run(None, {"input_ids": input_ids, "attention_mask": attention_mask})[0]
    expected = parity.reference(checkpoint, texts, advance=lambda count: None)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < parity.LIMITS["cuda"].difference
