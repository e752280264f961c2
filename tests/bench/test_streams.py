"""What is made of the moments at which results came."""

import numpy as np
import pytest

from tests.bench.streams import Arrivals, table


def test_rate_counts_whole_lumps() -> None:
    """The first lump only starts the clock: its comments were computed before it."""
    seen = Arrivals(np.array([10.0] * 50 + [11.0] * 30 + [12.0] * 30), np.arange(110))

    assert seen.rate == pytest.approx(30.0)
    assert seen.counted.tolist() == list(range(50, 110))


def test_warm_up_is_left_out() -> None:
    """What came in the first seconds counts for nothing."""
    seen = Arrivals(np.array([10.0] * 5 + [12.0] * 5 + [13.0] * 20 + [14.0] * 20), np.arange(50)).after(2.0)

    assert seen.rate == pytest.approx(20.0)
    assert seen.numbers.tolist() == list(range(5, 50))


def test_table_is_markdown() -> None:
    """Text stands left, figures right."""
    assert table([{"who": "a", "comments/s": "9"}]) == [
        "| who | comments/s |",
        "| --- | ---: |",
        "| a | 9 |",
    ]
