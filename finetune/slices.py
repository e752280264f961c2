"""Parts of the test split: where the model is worse than on the whole."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest  # type: ignore[import-untyped]

from finetune.evaluation import macro_f1
from finetune.held_out import HeldOut

LEAST = 20  # comments; of fewer an accuracy says nothing
MOST = 30  # values of the column, the commonest
LENGTHS = (16, 32, 64, 128, 256)  # tokens; where one slice ends and the next begins
CONFIDENCE = 0.95


class Slice(NamedTuple):
    """A part of a split.

    low, high: bounds of the accuracy (Wilson 1927, 95 % confidence)
    worse: whether the accuracy of the whole split lies above them
    """

    kind: str
    name: str
    comments: int
    accuracy: float
    low: float
    high: float
    macro_f1: float
    worse: bool


def slices(split: HeldOut, column: str, max_length: int) -> list[Slice]:
    """Return the slices with enough comments, by the column's values and by length."""
    predicted = split.probabilities.argmax(axis=1)
    overall = float((predicted == split.labels).mean())
    return [
        _measured(kind, name, predicted[among], split, among, overall)
        for kind, name, among in [*_by_value(split, column), *_by_length(split, max_length)]
        if among.sum() >= LEAST
    ]


def _by_value(split: HeldOut, column: str) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    values = np.array([value or "" for value in split.slices])
    names, counts = np.unique(values[values != ""], return_counts=True)
    for name in names[np.argsort(-counts, kind="stable")][:MOST]:
        yield column, str(name), values == name


def _by_length(split: HeldOut, max_length: int) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    bounds = [0, *(length for length in LENGTHS if length < max_length), max_length]
    for above, until in pairwise(bounds):
        name = f"{above + 1} to {until}" if above else f"up to {until}"
        yield (
            "tokens",
            name + (" (or cut to that)" if until == max_length else ""),
            ((split.tokens > above) & (split.tokens <= until)),
        )


def _measured(
    kind: str,
    name: str,
    predicted: NDArray[np.int64],
    split: HeldOut,
    among: NDArray[np.bool_],
    overall: float,
) -> Slice:
    right = int((predicted == split.labels[among]).sum())
    interval = binomtest(right, len(predicted)).proportion_ci(CONFIDENCE, method="wilson")
    return Slice(
        kind,
        name,
        len(predicted),
        right / len(predicted),
        interval.low,
        interval.high,
        macro_f1(predicted, split.labels[among], split.probabilities.shape[1]),
        overall > interval.high,
    )
