"""The weight of the most urgent route as a decision, against counts made by hand and the consumer's rule."""

import numpy as np
import pytest

from consumer.routing import Routing
from finetune.urgency import Cost, Costs

NAMES = ("1", "2", "3", "4", "5")
ROUTES = {"high": ("1", "2"), "medium": ("3",), "low": ("4", "5")}
# The least weights are 0.25, 1, 1.5, 4 and 9; the first, the third and the fourth comment are urgent.
PROBABILITIES = np.array(
    [
        [0.5, 0.3, 0.2, 0.0, 0.0],
        [0.2, 0.2, 0.4, 0.2, 0.0],
        [0.2, 0.2, 0.0, 0.3, 0.3],
        [0.1, 0.1, 0.0, 0.3, 0.5],
        [0.0, 0.1, 0.0, 0.3, 0.6],
    ]
)
LABELS = np.array([0, 2, 1, 1, 4])


@pytest.fixture
def costs() -> Costs:
    """The costs of five comments."""
    return Costs.of(PROBABILITIES, LABELS, NAMES, ROUTES)


def test_cost_of_a_weight(costs: Costs) -> None:
    """Recall, precision and share of traffic are those of the comments that the weight sends there."""
    assert costs.at(2.0) == Cost(2.0, pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(3 / 5))


def test_a_tie_is_urgent(costs: Costs) -> None:
    """At the weight where both urgencies weigh the same the comment is urgent."""
    assert costs.at(1.0).traffic == pytest.approx(2 / 5)


def test_an_empty_queue(costs: Costs) -> None:
    """A queue without a comment misses all, and holds nothing wrong."""
    assert costs.at(0.1) == Cost(0.1, 0.0, 1.0, 0.0)


def test_curve(costs: Costs) -> None:
    """The curve goes from the first comment that a weight routes to all of them."""
    curve = costs.curve()
    assert [one.weight for one in curve] == pytest.approx([0.25, 1, 1.5, 4, 9])
    assert [one.recall for one in curve] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1, 1])
    assert [one.traffic for one in curve] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])


def test_a_long_curve() -> None:
    """Of many comments the curve has some points, the first and the last among them."""
    ratios = np.linspace(1, 2, 10_000)
    curve = Costs(ratios, ratios[::2]).curve()
    assert len(curve) == 300
    assert (curve[0].weight, curve[-1].weight) == (1, 2)


@pytest.mark.parametrize(
    ("recall", "weight"), [(0.3, 0.25), (1 / 3, 0.25), (0.34, 1.5), (0.95, 4.0), (1.0, 4.0)]
)
def test_weight_for_a_recall(costs: Costs, recall: float, weight: float) -> None:
    """The advised weight is the least that finds so many of the urgent comments, rounded up if at all."""
    advised = costs.weight_for(recall)
    assert advised == pytest.approx(weight, rel=0.01)
    assert costs.at(advised).recall >= recall - 1e-12


def test_shares_that_are_whole_numbers_of_comments() -> None:
    """0.07 of a hundred comments are seven, although the product in floating point is more."""
    urgent = np.linspace(1, 100, 100)
    for count in range(1, 101):
        assert Costs(urgent, urgent).weight_for(count / 100) == count


def test_the_consumer_decides_the_same() -> None:
    """For random probabilities and weights the costs are those of the consumer's own routing."""
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet(np.ones(5), size=2000).astype(np.float32).astype(np.float64)
    labels = draw.integers(0, 5, size=2000)
    costs = Costs.of(probabilities, labels, NAMES, ROUTES)
    for weight in (0.3, 1.0, 2.5, 7.0, 40.0):
        routing = Routing.build(NAMES, "high: 1,2; medium: 3; low: 4,5", f"high: {weight}")
        queued = np.array(routing.urgency(probabilities.astype(np.float32))) == "high"
        cost = costs.at(weight)
        assert cost.traffic == pytest.approx(queued.mean())
        assert cost.recall == pytest.approx(queued[labels <= 1].mean())
