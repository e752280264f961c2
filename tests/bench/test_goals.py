"""Goals in the report."""

import pytest

from tests.bench import goals


@pytest.mark.parametrize(("measured", "said"), [(0.9, "met"), (0.89, "**missed**")])
def test_more_is_better(measured: float, said: str) -> None:
    """A goal is met at its bound and missed below."""
    line = goals.at_least("share of the limit", measured, 0.9)

    assert line == f"- share of the limit: {measured:.2f} (goal: 0.9 at least; {said})"


@pytest.mark.parametrize(("measured", "said"), [(5, "met"), (5.01, "**missed**")])
def test_less_is_better(measured: float, said: str) -> None:
    """A bound from above is met at it and missed beyond."""
    assert goals.at_most("seconds", measured, 5).endswith(f"(goal: 5 at most; {said})")
