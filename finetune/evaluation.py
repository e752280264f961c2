"""How good a classifier is, from its logits: calibration, and the measures of the test split."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from scipy.special import log_softmax, softmax  # type: ignore[import-untyped]
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

Logits = NDArray[np.floating[Any]]  # [comments, labels]
Numbers = NDArray[np.integer[Any]]  # [comments], each the place of a label in the list of labels

# Bins of equal width for the calibration error, as many as Guo et al. use.
CALIBRATION_BINS = 15


def fit_temperature(logits: Logits, labels: Numbers) -> float:
    """Return the temperature that makes the labels likeliest when logits are divided by it.

    Temperature scaling of Guo et al., "On Calibration of Modern Neural Networks" (2017): it changes how sure
    the model is, never which label it finds most likely. Fit it on comments that were not trained on. The
    range, 0.05 to 20, keeps a perfectly separated sample from asking for infinite certainty.
    """

    def negative_log_likelihood(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scores[np.arange(len(labels)), labels].mean())

    bounds = np.log([0.05, 20.0])
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x))


def macro_f1(predicted: Numbers, labels: Numbers, count: int) -> float:
    """Return F1 averaged over `count` labels, each weighing the same however rare it is."""
    return float(f1_score(labels, predicted, labels=range(count), average="macro", zero_division=0.0))


def measure(
    logits: Logits,
    labels: Numbers,
    names: Sequence[str],
    temperature: float,
    routes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return every measure as JSON takes it; the ordinal ones only when the label names are numbers.

    `confusion` counts comments, rows true and columns predicted labels, in the order of `names`.
    """
    probabilities = softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)
    predicted = probabilities.argmax(axis=1)
    return {
        "comments": len(labels),
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": macro_f1(predicted, labels, len(names)),
        **_ordinal(predicted, labels, names),
        "expected_calibration_error": calibration_error(probabilities, labels),
        "confusion": confusion_matrix(labels, predicted, labels=range(len(names))).tolist(),
        "urgency": _urgencies(probabilities, labels, names, routes),
    }


def calibration_error(probabilities: NDArray[np.float64], labels: Numbers) -> float:
    """Return the mean gap between how sure the model is and how often it is right (Guo et al., eq. 3)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def _ordinal(predicted: Numbers, labels: Numbers, names: Sequence[str]) -> dict[str, float | None]:
    """The mean absolute error and Cohen's kappa with quadratic weights (Cohen 1968)."""
    try:
        values = np.array([float(name) for name in names])
    except ValueError:
        return {}
    # Kappa weighs by the distance of places, so they must be in the order of the numbers.
    rank = values.argsort().argsort()
    kappa = None
    if len(np.union1d(labels, predicted)) > 1:  # else undefined: neither agreement nor chance
        kappa = float(
            cohen_kappa_score(rank[labels], rank[predicted], weights="quadratic", labels=sorted(rank))
        )
    return {
        "mean_absolute_error": float(np.abs(values[labels] - values[predicted]).mean()),
        "quadratic_weighted_kappa": kappa,
    }


def _urgencies(
    probabilities: NDArray[np.float64],
    labels: Numbers,
    names: Sequence[str],
    routes: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, float]]:
    """Recall and precision of each urgency, chosen as the consumer does with weights of 1."""
    member = np.array([[name in route for route in routes.values()] for name in names])
    # argmax takes the first of equals, and routes run from the most urgent on.
    predicted = (probabilities @ member).argmax(axis=1)
    true = member.argmax(axis=1)[labels]
    precision, recall, _, support = precision_recall_fscore_support(
        true, predicted, labels=range(len(routes)), zero_division=0.0
    )
    return {
        urgency: {"recall": float(recall[n]), "precision": float(precision[n]), "comments": int(support[n])}
        for n, urgency in enumerate(routes)
    }
