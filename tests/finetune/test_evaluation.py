"""Scaling and the measures, against values worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest

from finetune.evaluation import (
    calibration,
    calibration_error_by_chance,
    fit_scaling,
    measure,
    probabilities_of,
    reliability,
)

ROUTES = {"high": ("1", "2"), "medium": ("3",), "low": ("4", "5")}
STARS = ("1", "2", "3", "4", "5")


def certain(predicted: list[int], count: int = 5) -> np.ndarray[Any, Any]:
    """Logits that leave no doubt."""
    return 50.0 * np.eye(count)[predicted]


def measured(true: list[int], predicted: list[int], names: tuple[str, ...] = STARS) -> dict[str, Any]:
    """The measures of certain predictions, by the places of labels."""
    routes = ROUTES if names == STARS else {name: (name,) for name in names}
    return measure(np.eye(len(names))[predicted], np.array(true), names, routes)


def drawn(count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Logits and labels that were drawn with the probabilities the logits mean."""
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(count, 5))
    limits = np.exp(logits).cumsum(axis=1) / np.exp(logits).sum(axis=1, keepdims=True)
    return logits, (limits[:, :-1] < draw.random((count, 1))).sum(axis=1)


def test_scaling_undoes_overconfidence() -> None:
    """Logits that were tripled are given back their scale, and no shift."""
    logits, labels = drawn(20_000)
    scaling = fit_scaling(3 * logits, labels)
    assert scaling.scale == pytest.approx(1 / 3, rel=0.1)
    assert scaling.shift == pytest.approx(0, abs=0.05)


def test_scaling_undoes_a_shift_of_one_label() -> None:
    """A label that is overrated, and too sure of itself, is put back among the others."""
    logits, labels = drawn(20_000)
    wrong = logits.copy()
    wrong[:, 2] = 2 * logits[:, 2] + 1
    scaled = fit_scaling(wrong, labels).apply(wrong)
    assert probabilities_of(scaled) == pytest.approx(probabilities_of(logits), abs=0.07)
    assert np.abs(probabilities_of(wrong) - probabilities_of(logits)).max() > 0.3


def test_few_comments_move_little() -> None:
    """Ten comments that are all of one label are no reason to give the others up."""
    logits, _ = drawn(10)
    scaled = fit_scaling(logits, np.full(10, 4)).apply(logits)
    assert probabilities_of(scaled)[:, :4].sum(axis=1).min() > 0.02


def test_scaling_is_bounded() -> None:
    """A sample without an error does not ask for infinite certainty."""
    assert fit_scaling(certain([0, 1, 2]), np.array([0, 1, 2])).scale.max() <= 20


def test_accuracy_and_confusion() -> None:
    """The confusion matrix has a row for each true label, in the order of the labels."""
    measures = measured([0, 0, 1, 4], [0, 1, 1, 3])
    assert measures["comments"] == 4
    assert measures["accuracy"] == 0.5
    assert measures["confusion"] == [
        [1, 1, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
    ]


def test_macro_f1() -> None:
    """Macro-F1 is the plain mean over all labels; one never seen and never predicted counts as 0."""
    # F1 of label 1: 2/3; of label 2: 2/3; of the others: 0.
    assert measured([0, 0, 1, 4], [0, 1, 1, 3])["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 5)


def test_mean_absolute_error() -> None:
    """The mean absolute error is in the unit of the labels, not in their places."""
    assert measured([0, 1, 2], [2, 1, 2], ("0", "10", "50"))["mean_absolute_error"] == pytest.approx(50 / 3)


def test_quadratic_weighted_kappa() -> None:
    """Kappa is 1 less the ratio of observed to expected squared distance."""
    # Observed: (0 + 0 + 4) / 3. Expected, of 1, 2, 3 against 1, 2, 1: the mean of 0 1 0, 1 0 1 and 4 1 4.
    expected = 1 - (4 / 3) / (12 / 9)
    assert measured([0, 1, 2], [0, 1, 0])["quadratic_weighted_kappa"] == pytest.approx(expected)


def test_kappa_goes_by_the_numbers() -> None:
    """The order in which labels are listed does not change kappa, only the numbers they name."""
    ordered = measured([0, 1, 2, 2], [0, 1, 1, 0], ("1", "2", "3"))
    shuffled = measured([1, 2, 0, 0], [1, 2, 2, 1], ("3", "1", "2"))
    assert ordered["quadratic_weighted_kappa"] == pytest.approx(shuffled["quadratic_weighted_kappa"])


def test_kappa_of_a_single_label_is_undefined() -> None:
    """Kappa is None, which JSON can say, where it would be zero by zero."""
    assert measured([2, 2], [2, 2])["quadratic_weighted_kappa"] is None


def test_names_have_no_ordinal_measures() -> None:
    """Labels that are no numbers have neither error nor kappa."""
    measures = measured([0, 1], [0, 1], ("angry", "calm"))
    assert not {"mean_absolute_error", "quadratic_weighted_kappa"} & measures.keys()


def test_calibration_error() -> None:
    """The calibration error is the gap between confidence and accuracy, bin by bin, weighed by size."""
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    # Four at 0.9 of which three are right, two at 0.6 of which both are.
    error = calibration(probabilities, np.array([0, 0, 0, 1, 0, 0]))["expected_calibration_error"]
    assert error == pytest.approx((4 * 0.15 + 2 * 0.4) / 6)


def test_reliability() -> None:
    """Each bin that holds comments has their number, their mean confidence and their accuracy."""
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    assert reliability(probabilities, np.array([0, 0, 0, 1, 0, 0])) == [
        {"comments": 2, "confidence": pytest.approx(0.6), "accuracy": 1.0},
        {"comments": 4, "confidence": pytest.approx(0.9), "accuracy": 0.75},
    ]


def test_brier_score() -> None:
    """The Brier score sums the squared distance over all labels: 0 when certain and right, 2 when wrong."""
    labels = np.array([0, 0])
    assert calibration(np.array([[1.0, 0.0], [1.0, 0.0]]), labels)["brier_score"] == 0
    assert calibration(np.array([[0.0, 1.0], [0.0, 1.0]]), labels)["brier_score"] == 2
    half = calibration(np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]]), labels)["brier_score"]
    assert half == pytest.approx((0.09 + 0.04 + 0.01) / 2)


def test_calibration_error_by_chance() -> None:
    """By chance alone the error is what labels drawn from the probabilities give: large for few comments."""
    draw = np.random.default_rng(0)
    few, many = (np.abs(draw.dirichlet(np.ones(5), size=count)) for count in (200, 20_000))
    assert calibration_error_by_chance(few) == pytest.approx(10 * calibration_error_by_chance(many), rel=0.3)
    assert calibration_error_by_chance(np.array([[1.0, 0.0]])) == 0


def test_logits_are_probabilities() -> None:
    """Logits mean the probabilities whose logarithms they are, up to a number for all."""
    assert probabilities_of(np.array([[math.log(9) + 7, 7]])) == pytest.approx(np.array([[0.9, 0.1]]))


def test_urgency_sums_probabilities() -> None:
    """The urgency is that of the largest sum, which need not be the likeliest label's."""
    measures = measure(np.array([[0.3, 0.25, 0.4, 0.03, 0.02]]), np.array([1]), STARS, ROUTES)
    assert measures["urgency"]["high"] == {"recall": 1.0, "precision": 1.0, "comments": 1}
    assert measures["confusion"][1][2] == 1


def test_urgency_ties_go_to_the_more_urgent() -> None:
    """Of equal sums the urgency listed first is chosen."""
    measures = measure(np.array([[0.5, 0.5]]), np.array([1]), ("a", "b"), {"high": ["b"], "low": ["a"]})
    assert measures["urgency"]["high"] == {"recall": 1.0, "precision": 1.0, "comments": 1}


def test_urgency_recall_and_precision() -> None:
    """Recall is of the truly urgent, precision of those called urgent."""
    urgency = measured([0, 1, 1, 2, 3, 4], [1, 0, 3, 0, 4, 4])["urgency"]
    assert urgency["high"] == {
        "recall": pytest.approx(2 / 3),
        "precision": pytest.approx(2 / 3),
        "comments": 3,
    }
    assert urgency["medium"] == {"recall": 0.0, "precision": 0.0, "comments": 1}
    assert urgency["low"] == {"recall": 1.0, "precision": pytest.approx(2 / 3), "comments": 2}
