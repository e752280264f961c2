"""The limit of the hardware: what a plain matrix product reaches, and how many operations a text needs."""

import time
from dataclasses import dataclass
from statistics import median

import torch
from transformers import BertConfig

SIZE = 2048
SECONDS = 3.0


def matrix_product() -> float:
    """Operations a second of a square fp32 product on all cores: the median over some seconds."""
    a, b = torch.rand(SIZE, SIZE), torch.rand(SIZE, SIZE)
    torch.mm(a, b)
    durations: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b)
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
