"""How good a classifier is, from its logits: calibration, and the measures of the test split."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]
from scipy.special import log_softmax, softmax  # type: ignore[import-untyped]
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from finetune import urgency

Logits = NDArray[np.floating[Any]]  # [comments, labels]
Probabilities = NDArray[np.float64]  # [comments, labels]
Numbers = NDArray[np.integer[Any]]  # [comments], each the place of a label in the list of labels

# Bins of equal width for the calibration error, as many as Guo et al. use.
CALIBRATION_BINS = 15
CHANCE_DRAWS = 100
# Of the normal prior of `fit_scaling`; of 0.25, 0.5, 1 and none the best with 80, 200 and 550 comments.
PRIOR_DEVIATION = 0.5


class Scaling(NamedTuple):
    """What makes probabilities out of logits that are too sure: a scale and a shift for each label."""

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    def apply(self, logits: Logits) -> NDArray[np.float64]:
        """Return the logits, scaled and shifted."""
        return np.asarray(logits * self.scale + self.shift, dtype=np.float64)


def fit_scaling(logits: Logits, labels: Numbers) -> Scaling:
    """Return the scaling that makes the labels likeliest, without moving far from one scale for all labels.

    Vector scaling of Guo et al., "On Calibration of Modern Neural Networks" (2017), with a normal prior on
    how far the logarithms of the scales are apart and on the shifts, so that a hundred comments are enough.
    With many comments of one label a model overfits the others more; one temperature for all cannot mend
    that. Fit it on comments that were not trained on.
    """
    comments, count = logits.shape
    rows = np.arange(comments)

    def parts(parameters: NDArray[np.float64]) -> Scaling:
        return Scaling(np.exp(parameters[:count]), parameters[count:])

    def loss(parameters: NDArray[np.float64]) -> float:
        likelihoods = log_softmax(parts(parameters).apply(logits), axis=1)[rows, labels]
        apart = parameters[:count] - parameters[:count].mean()
        prior = ((apart**2).sum() + (parameters[count:] ** 2).sum()) / (2 * PRIOR_DEVIATION**2)
        return float((prior - likelihoods.sum()) / comments)

    # The bounds keep a perfectly separated sample from asking for infinite certainty.
    bounds = [tuple(np.log([0.05, 20.0]))] * count + [(-5.0, 5.0)] * count
    return parts(minimize(loss, np.zeros(2 * count), method="L-BFGS-B", bounds=bounds).x)


def macro_f1(predicted: Numbers, labels: Numbers, count: int) -> float:
    """Return F1 averaged over `count` labels, each weighing the same however rare it is."""
    return float(f1_score(labels, predicted, labels=range(count), average="macro", zero_division=0.0))


def measure(
    probabilities: Probabilities,
    labels: Numbers,
    names: Sequence[str],
    routes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return every measure as JSON takes it; the ordinal ones only when the label names are numbers.

    `confusion` counts comments, rows true and columns predicted labels, in the order of `names`.
    """
    predicted = probabilities.argmax(axis=1)
    return {
        "comments": len(labels),
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": macro_f1(predicted, labels, len(names)),
        **_ordinal(predicted, labels, names),
        **calibration(probabilities, labels),
        "calibration_error_by_chance": calibration_error_by_chance(probabilities),
        "confusion": confusion_matrix(labels, predicted, labels=range(len(names))).tolist(),
        "urgency": _urgencies(probabilities, labels, names, routes),
    }


def probabilities_of(logits: Logits) -> Probabilities:
    """Return what logits mean."""
    return np.asarray(softmax(np.asarray(logits, dtype=np.float64), axis=1))


def calibration(probabilities: Probabilities, labels: Numbers) -> dict[str, float]:
    """Return the expected calibration error (Guo et al., eq. 3) and the Brier score (Brier 1950).

    The first is the mean gap between how sure the model is and how often it is right; the second the mean
    over comments of the squared distance to certainty of the true label, 0 to 2.
    """
    bins = reliability(probabilities, labels)
    gaps = [one["comments"] * abs(one["accuracy"] - one["confidence"]) for one in bins]
    distance = probabilities - np.eye(probabilities.shape[1])[labels]
    return {
        "expected_calibration_error": sum(gaps) / len(labels),
        "brier_score": float((distance**2).sum(axis=1).mean()),
    }


def reliability(probabilities: Probabilities, labels: Numbers) -> list[dict[str, float]]:
    """Return, for each bin of confidence that holds comments, how sure the model is and how often right."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return [
        {
            "comments": int((bins == one).sum()),
            "confidence": float(confidence[bins == one].mean()),
            "accuracy": float(right[bins == one].mean()),
        }
        for one in np.unique(bins)
    ]


def calibration_error_by_chance(probabilities: Probabilities) -> float:
    """Return the calibration error to be expected of so many comments if the probabilities were true.

    In bins of few comments accuracy strays from confidence by chance alone: labels are drawn from the
    probabilities a hundred times (Vaicenavicius et al., "Evaluating model calibration in classification",
    2019, call it consistency resampling).
    """
    draw = np.random.default_rng(0)
    limits = probabilities.cumsum(axis=1)[:, :-1]
    drawn = ((draw.random((len(probabilities), 1)) > limits).sum(axis=1) for _ in range(CHANCE_DRAWS))
    errors = [calibration(probabilities, labels)["expected_calibration_error"] for labels in drawn]
    return float(np.mean(errors))


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
    probabilities: Probabilities,
    labels: Numbers,
    names: Sequence[str],
    routes: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, float]]:
    """Recall and precision of each urgency, chosen as the consumer does with weights of 1."""
    member = urgency.membership(names, routes)
    # argmax takes the first of equals, and routes run from the most urgent on.
    predicted = (probabilities @ member).argmax(axis=1)
    true = member.argmax(axis=1)[labels]
    precision, recall, _, support = precision_recall_fscore_support(
        true, predicted, labels=range(len(routes)), zero_division=0.0
    )
    return {
        name: {"recall": float(recall[n]), "precision": float(precision[n]), "comments": int(support[n])}
        for n, name in enumerate(routes)
    }
