"""Device memory over many batches of changing shapes: flat, or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import psutil
import torch

from consumer.bundle import Device
from tests.gpu import batches
from tests.gpu.batches import Answer
from tests.gpu.record import Result, Verdict

BATCHES = 10_000
EVERY = 100
# The driver gives memory by 2 MiB: a shape that comes late for the first time may still take one or two.
GRANULE = 2 * 2**20
FLOOR = 2 * GRANULE
# How much more than the points scatter counts as growth. A straight line's quarter scatters by a quarter of
# its growth, so any steady leak passes this.
SCATTERS = 2.0


@dataclass(frozen=True)
class Growth:
    """How memory went in the second half of the run, once all is warm: bytes.

    level: the median
    growth: from the median of its first half to that of its second, so over a quarter of the run
    scatter: the larger median distance from the median in either
    """

    level: float
    growth: float
    scatter: float

    @classmethod
    def of(cls, points: Sequence[int]) -> "Growth":
        """Of memory seen at equal distances."""
        half = points[len(points) // 2 :]
        early, late = half[: len(half) // 2], half[len(half) // 2 :]
        return cls(median(half), median(late) - median(early), max(_scatter(early), _scatter(late)))

    @property
    def flat(self) -> bool:
        """No more growth than the points scatter, or than the driver's grain."""
        return self.growth <= max(FLOOR, SCATTERS * self.scatter)


def _scatter(points: Sequence[int]) -> float:
    middle = median(points)
    return median(abs(point - middle) for point in points)


def used(device: Device) -> int:
    """Bytes in use: of the whole GPU, or by this process where there is none."""
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        return total - free
    return int(psutil.Process().memory_info().rss)


def watch(
    answer: Answer,
    device: Device,
    *,
    vocabulary: int,
    longest: int,
    token_budget: int,
    count: int = BATCHES,
    every: int = EVERY,
) -> list[int]:
    """Memory after each so many batches of random shapes, the largest shape first as the consumer has it.

    Args:
        answer: the model.
        device: whose memory to look at.
        vocabulary: of the model.
        longest: tokens of the longest text.
        token_budget: padded tokens of the largest batch.
        count: batches.
        every: batches between two looks.
    """
    draw = np.random.default_rng(0)
    answer(batches.padded(batches.drawn([longest] * max(1, token_budget // longest), vocabulary)))
    points = []
    for number in range(count):
        width = int(draw.integers(1, longest, endpoint=True))
        rows = int(draw.integers(1, max(1, token_budget // width), endpoint=True))
        lengths = [width, *draw.integers(1, width, rows - 1, endpoint=True).tolist()]
        answer(batches.padded(batches.drawn(lengths, vocabulary, seed=number)))
        if number % every == every - 1:
            points.append(used(device))
    return points


def report(points: Sequence[int], count: int) -> Result:
    """Memory on the way, and whether it is flat."""
    growth = Growth.of(points)
    marks = range(0, len(points), max(1, len(points) // 5))
    rows = [
        {"batches": (mark + 1) * count // len(points), "MB in use": points[mark] / 1e6}
        for mark in [*marks, len(points) - 1]
    ]
    verdict = Verdict(
        claim="memory is flat",
        measured=f"{growth.growth / 1e6:+.1f} MB on {growth.level / 1e6:,.0f} MB over the last quarter of"
        f" {count:,} batches",
        held=growth.flat,
        hard=True,
    )
    return Result(rows=rows, verdicts=[verdict])
