"""Which urgency a comment gets, and which routes are refused."""

import numpy as np
import pytest

from consumer.errors import SettingsError
from consumer.routing import Routing

LABELS = ("1", "2", "3", "4", "5")
ROUTES = "high: 1,2; medium: 3; low: 4,5"


def test_summed_probability_decides() -> None:
    """Two labels of one urgency outweigh a single label that is more probable than either."""
    routing = Routing.build(LABELS, ROUTES, "")

    assert routing.urgency(np.array([[0.3, 0.3, 0.4, 0.0, 0.0]], dtype=np.float32)) == ["high"]


def test_weights_shift_the_choice() -> None:
    """An urgency that is five times worse to miss wins with a fifth of the probability and a little."""
    probabilities = np.array([[0.18, 0.0, 0.0, 0.0, 0.82]], dtype=np.float32)

    assert Routing.build(LABELS, ROUTES, "").urgency(probabilities) == ["low"]
    assert Routing.build(LABELS, ROUTES, "high: 5").urgency(probabilities) == ["high"]


def test_tie_goes_to_the_more_urgent() -> None:
    """Of equal scores the urgency named first in the routes is chosen."""
    tie = np.array([[0.5, 0.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.5, 0.5, 0.0]], dtype=np.float32)

    assert Routing.build(LABELS, ROUTES, "").urgency(tie) == ["high", "medium"]


def test_weights_do_not_change_what_is_expected() -> None:
    """What an urgency's labels sum to is the same however much it is worth not to miss it."""
    probabilities = np.array([[0.1, 0.2, 0.3, 0.25, 0.15]], dtype=np.float32)

    for weights in ("", "high: 5; low: 0.5"):
        expected = Routing.build(LABELS, ROUTES, weights).summed(probabilities)
        np.testing.assert_allclose(expected, [[0.3, 0.3, 0.4]], rtol=1e-6)


def test_shares_of_counts() -> None:
    """An urgency's share is that of its labels among all; without counts there is none."""
    routing = Routing.build(LABELS, ROUTES, "high: 5")

    assert routing.shares((120, 80, 100, 200, 500)) == {"high": 0.2, "medium": 0.1, "low": 0.7}
    assert routing.shares(None) == {}


@pytest.mark.parametrize(
    ("routes", "weights", "message"),
    [
        ("high: 1,2; low: 4,5", "", "no urgency for label 3"),
        ("high: 1,2,3; medium: 3; low: 4,5", "", "label 3 is in two routes"),
        ("high: 1,2; medium: 3; low: 4,5,6", "", "the model has no label 6"),
        ("high 1,2; medium: 3; low: 4,5", "", "cannot read 'high 1,2'"),
        ("high: 1,2; high: 3; low: 4,5", "", "'high' stands twice"),
        ("very high: 1,2; medium: 3; low: 4,5", "", "cannot end a topic's name"),
        ("dead-letter: 1,2; medium: 3; low: 4,5", "", "cannot end a topic's name"),
        ("", "", "names no urgency"),
        (ROUTES, "urgent: 5", "no route is called urgent"),
        (ROUTES, "high: many", "cannot read 'high: many'"),
        (ROUTES, "high: -1", "not a positive number"),
        (ROUTES, "high: nan", "not a positive number"),
    ],
)
def test_wrong_routes_and_weights_are_refused(routes: str, weights: str, message: str) -> None:
    """Routes and weights that do not fit the model are refused with what is wrong."""
    with pytest.raises(SettingsError, match=message):
        Routing.build(LABELS, routes, weights)
