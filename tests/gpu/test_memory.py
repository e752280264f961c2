"""What counts as growing memory, and how the batches are drawn."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.gpu import batches, memory
from tests.gpu.batches import Batch
from tests.gpu.memory import Growth
from tests.gpu.models import Model

MB = 10**6
# 100 looks in 10,000 batches.
LOOKS = np.arange(100)


def noise(seed: int, scale: float) -> NDArray[np.float64]:
    """What comes and goes."""
    return np.random.default_rng(seed).normal(0, scale, len(LOOKS))


def points(of: NDArray[np.floating]) -> list[int]:
    """Whole bytes on a level of 2 GB."""
    return [int(2_000 * MB + one) for one in of]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("scale", [0, 1 * MB, 20 * MB])
def test_noise_is_flat(seed: int, scale: float) -> None:
    """Memory that only comes and goes is flat."""
    assert Growth.of(points(noise(seed, scale))).flat


@pytest.mark.parametrize("growing", [np.minimum(LOOKS, 40) * 50.0 * MB, (LOOKS > 30) * 500.0 * MB])
@pytest.mark.parametrize("seed", range(20))
def test_warming_up_is_flat(seed: int, growing: NDArray[np.float64]) -> None:
    """Memory that grows at first, slowly or by a step, and then stays is flat."""
    assert Growth.of(points(growing + noise(seed, MB))).flat


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("scale", [0, 1 * MB, 5 * MB])
def test_leak_is_not_flat(seed: int, scale: float) -> None:
    """Ten kilobytes lost at each batch, a megabyte between two looks, show through the noise."""
    assert not Growth.of(points(LOOKS * 1.0 * MB + noise(seed, scale))).flat


def test_leak_by_the_drivers_grain_is_not_flat() -> None:
    """A leak that shows as a step of 2 MiB now and then is one."""
    assert not Growth.of(points(LOOKS // 5 * float(memory.GRANULE))).flat


def test_shapes_change_under_the_budget() -> None:
    """The largest shape comes first, then random ones, none above the budget, and all looks are taken."""
    shapes: list[tuple[int, ...]] = []

    def answer(batch: Batch) -> NDArray[np.float32]:
        shapes.append(batch[0].shape)
        return np.zeros((len(batch[0]), 5), dtype=np.float32)

    seen = memory.watch(answer, "cpu", vocabulary=99, longest=64, token_budget=256, count=200, every=20)

    assert len(seen) == 10
    assert shapes[0] == (4, 64)
    assert len(set(shapes)) > 100
    assert all(rows * width <= 256 for rows, width in shapes)


def test_session_is_flat(small: Model) -> None:
    """A session on the CPU does not grow, and the report says so."""
    answer = batches.answered_by(batches.session(small.bundle, "cpu"))
    seen = memory.watch(answer, "cpu", vocabulary=100, longest=64, token_budget=512, count=1000, every=10)

    result = memory.report(seen, 1000)

    assert result.verdicts[0].held, result.verdicts[0].measured
    assert [row["batches"] for row in result.rows] == [10, 210, 410, 610, 810, 1000]
