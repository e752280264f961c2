"""Which texts share a micro-batch, and how many comments make a batch."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

# Two measurements of the same differ by as much, now and then.
AS_FAST = 0.97
CLEARLY_SLOWER = 0.85


def micro_batches(
    token_counts: NDArray[np.intp], token_budget: int, run_cost: float = math.inf
) -> list[NDArray[np.intp]]:
    """Cut texts into groups of similar length whose padded size stays within a budget.

    Sorting by length first is what keeps padding small: every text of a group is padded to its longest. A
    group also ends where the padding in it would cost more than another run: that is never worse than twice
    the best cut, as with renting until one has paid the price of buying.

    Args:
        token_counts: tokens of each text, [texts].
        token_budget: rows times longest row that a group may reach, tokens; a longer text goes alone.
        run_cost: what a run takes beside its tokens, in tokens; by default padding ends no group.

    Returns:
        Indices into `token_counts`, longest texts first; together they name every text once.
    """
    longest_first = np.argsort(-token_counts, kind="stable")
    counts = token_counts[longest_first]
    groups = []
    start = 0
    while start < len(counts):
        longest = int(counts[start])
        fitting = counts[start : start + max(1, token_budget // max(1, longest))]
        padding = np.cumsum(longest - fitting)
        rows = max(1, int(np.searchsorted(padding, run_cost, side="right")))
        groups.append(longest_first[start : start + rows])
        start += rows
    return groups


def fastest_budget(budgets: Sequence[int], rate: Callable[[int], float]) -> int:
    """Choose the token budget of micro-batches by trying each, smallest first, until more is clearly slower.

    Of those that are as fast as the fastest the smallest: it pads less, and holds less memory.

    Args:
        budgets: padded tokens, ascending.
        rate: measures how fast a budget is, in any unit; an exception says that the budget does not fit.

    Returns:
        One of the budgets; the smallest, unmeasured, where that does not fit.
    """
    rates: dict[int, float] = {}
    for budget in budgets:
        try:
            rates[budget] = rate(budget)
        except Exception:  # ONNX Runtime's exceptions share no public base class
            break
        if rates[budget] < CLEARLY_SLOWER * max(rates.values()):
            break
    return min((b for b in rates if rates[b] > AS_FAST * max(rates.values())), default=budgets[0])


class BatchBound:
    """The largest batch that the device classifies in a given time, from the rate seen as it runs.

    A batch that takes long delays every comment in it and holds a transaction open, so a backlog is worked
    off in pieces of `max_seconds`.
    """

    # The newest batch's share in the running rate: enough to follow a change of text length within a few
    # batches, too little for one odd batch to swing the size.
    WEIGHT = 0.3

    def __init__(self, *, max_seconds: float, max_comments: int, rate: float) -> None:
        """Start from a measured rate.

        Args:
            max_seconds: how long the device may take for one batch, seconds.
            max_comments: the most comments in a batch however fast the device is.
            rate: comments per second measured before the first batch.
        """
        self._max_seconds = max_seconds
        self._max_comments = max_comments
        self._rate = rate

    @property
    def comments(self) -> int:
        """How many comments the next batch may hold, at least one."""
        return max(1, min(self._max_comments, int(self._rate * self._max_seconds)))

    def observe(self, comments: int, seconds: float) -> None:
        """Take one classified batch into the rate."""
        self._rate += self.WEIGHT * (comments / seconds - self._rate)
