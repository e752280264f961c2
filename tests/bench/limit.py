"""The limit of the hardware: what a plain matrix product reaches, and how many operations a text needs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import BertConfig

from export import graph

SIZE = 2048
SECONDS = 1.5


def matrix_product() -> float:
    """Operations a second of a square fp32 product on all cores: the median over some seconds.

    Of PyTorch's and ONNX Runtime's the faster one: on some CPUs one of them leaves half of it unused.
    """
    return max(map(_rate, (_of_pytorch(), _of_onnxruntime())))


def _of_pytorch() -> Callable[[], object]:
    a, b = torch.rand(SIZE, SIZE), torch.rand(SIZE, SIZE)
    return lambda: torch.mm(a, b)


def _of_onnxruntime() -> Callable[[], object]:
    a, b = np.random.default_rng(0).random((2, SIZE, SIZE), dtype=np.float32)
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [SIZE, SIZE])] for name in "ac"
    )
    product = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        inputs,
        outputs,
        [numpy_helper.from_array(b, "b")],
    )
    opset = helper.make_opsetid("", graph.OPSET)
    model = helper.make_model_gen_version(product, opset_imports=[opset])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"a": a})


def _rate(product: Callable[[], object]) -> float:
    product()
    durations: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        product()
        durations.append(time.perf_counter() - start)
    return 2 * SIZE**3 / median(durations)


@dataclass(frozen=True)
class Shape:
    """What decides how many operations a BERT takes."""

    layers: int
    hidden: int
    intermediate: int

    @classmethod
    def of(cls, config: BertConfig) -> "Shape":
        """The shape of a checkpoint."""
        return cls(config.num_hidden_layers, config.hidden_size, config.intermediate_size)

    def operations(self, tokens: int) -> int:
        """Multiplications and additions in the matrix products of a text, padding and all else left out.

        A layer has four products with hidden x hidden weights, two with hidden x intermediate, and two
        between its tokens; then come the pooler and the head, which take next to nothing.
        """
        weights = 4 * self.hidden**2 + 2 * self.hidden * self.intermediate
        between_tokens = 2 * tokens * self.hidden
        return 2 * self.layers * tokens * (weights + between_tokens) + 2 * self.hidden**2
