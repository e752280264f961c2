"""What it costs to miss fewer urgent comments: the weight of the most urgent route, as a decision.

The consumer sends a comment to the urgency with the largest weight times summed probability. With weight w
on the most urgent and 1 on the others, a comment goes there as soon as w reaches its ratio: the largest sum
of another urgency over that of the most urgent. Sorted ratios are so the whole curve of recall and precision.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

CURVE_POINTS = 300
ROUNDING = 1e-9  # 0.07 of 100 comments are 7, and the product is a digit above


class Cost(NamedTuple):
    """What the most urgent queue is like at a weight.

    recall: share of the urgent comments that are in it, 1 where there are none
    precision: share of the queue that is urgent, 1 for an empty queue
    traffic: share of all comments that are in it
    """

    weight: float
    recall: float
    precision: float
    traffic: float


def membership(names: Sequence[str], routes: Mapping[str, Sequence[str]]) -> NDArray[np.float64]:
    """Return [labels, urgencies]: 1 where the label belongs to the urgency, else 0."""
    return np.array([[float(name in route) for route in routes.values()] for name in names])


class Costs(NamedTuple):
    """The costs of every weight, for comments whose labels are known.

    ratios: [comments], ascending, the least weight with which each goes to the most urgent queue
    urgent: [urgent comments], those among them whose label belongs there
    """

    ratios: NDArray[np.float64]
    urgent: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        probabilities: NDArray[np.float64],
        labels: NDArray[np.integer],
        names: Sequence[str],
        routes: Mapping[str, Sequence[str]],
    ) -> Self:
        """Take probabilities [comments, labels] and the places of the true labels [comments]."""
        member = membership(names, routes)
        sums = probabilities @ member
        # A probability that is zero to the last digit is no certainty.
        ratios = sums[:, 1:].max(axis=1) / np.maximum(sums[:, 0], np.finfo(np.float64).tiny)
        return cls(np.sort(ratios), np.sort(ratios[member[labels, 0] > 0]))

    def at(self, weight: float) -> Cost:
        """Return the cost of a weight."""
        return self._at(np.array([weight]))[0]

    def curve(self) -> list[Cost]:
        """Return the costs of some weights, from the one that routes one comment to that of all."""
        weights = np.unique(self.ratios)
        some = np.linspace(0, len(weights) - 1, min(CURVE_POINTS, len(weights))).round().astype(int)
        return self._at(weights[some])

    def weight_for(self, minimum_recall: float) -> float:
        """Return the least weight, rounded up to three digits, that finds this share of the urgent ones."""
        number = int(np.ceil(minimum_recall * len(self.urgent) - ROUNDING))
        wanted = self.urgent[max(0, number - 1)]
        digit = 10.0 ** (np.floor(np.log10(wanted)) - 2)
        return float(f"{np.ceil(wanted / digit) * digit:.3g}")

    def _at(self, weights: NDArray[np.float64]) -> list[Cost]:
        queued = np.searchsorted(self.ratios, weights, side="right")
        found = np.searchsorted(self.urgent, weights, side="right")
        columns = (
            weights,
            found / len(self.urgent) if len(self.urgent) else np.ones_like(weights),
            np.where(queued > 0, found / np.maximum(queued, 1), 1.0),
            queued / len(self.ratios),
        )
        return [Cost(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
