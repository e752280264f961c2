"""Probabilities -> urgency -> topic."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consumer.errors import SettingsError

DEAD_LETTER = "dead-letter"
TOPIC_PART = re.compile(r"[A-Za-z0-9._-]+")


def parse_routes(routes: str) -> dict[str, tuple[str, ...]]:
    """Read `high: 1,2; medium: 3; low: 4,5`, most urgent first.

    Raises:
        SettingsError: the text has not that form, or names an urgency twice.
    """
    parsed: dict[str, tuple[str, ...]] = {}
    for part in filter(None, map(str.strip, routes.split(";"))):
        urgency, colon, labels = (piece.strip() for piece in part.partition(":"))
        names = tuple(filter(None, map(str.strip, labels.split(","))))
        if not (urgency and colon and names):
            raise SettingsError(
                f"--routes: cannot read {part!r}; write it as 'high: 1,2; medium: 3; low: 4,5'"
            )
        if not TOPIC_PART.fullmatch(urgency) or urgency == DEAD_LETTER:
            raise SettingsError(
                f"--routes: {urgency!r} cannot end a topic's name; use letters, digits, '.', '_' and '-',"
                f" and not {DEAD_LETTER!r}"
            )
        if urgency in parsed:
            raise SettingsError(f"--routes: the urgency {urgency!r} stands twice; name each once")
        parsed[urgency] = names
    if not parsed:
        raise SettingsError("--routes: names no urgency; write it as 'high: 1,2; medium: 3; low: 4,5'")
    return parsed


def parse_weights(weights: str) -> dict[str, float]:
    """Read `high: 5; medium: 2`.

    Raises:
        SettingsError: the text has not that form, or a weight is not a positive number.
    """
    parsed: dict[str, float] = {}
    for part in filter(None, map(str.strip, weights.split(";"))):
        urgency, _, number = (piece.strip() for piece in part.partition(":"))
        try:
            weight = float(number)
        except ValueError:
            raise SettingsError(
                f"--weights: cannot read {part!r}; write it as 'high: 5; medium: 2'"
            ) from None
        if not (urgency and 0 < weight < float("inf")):
            raise SettingsError(f"--weights: {part!r} is not a positive number for an urgency")
        parsed[urgency] = weight
    return parsed


@dataclass(frozen=True)
class Routing:
    """The decision rule: the urgency with the largest weight times summed probability.

    With weights as the cost of missing an urgency, this is the choice of least expected cost.

    `weighted_membership` is [labels, urgencies]: the urgency's weight where the label belongs to it, else 0.
    """

    urgencies: tuple[str, ...]
    weighted_membership: NDArray[np.float64]

    @classmethod
    def build(cls, labels: Sequence[str], routes: str, weights: str) -> "Routing":
        """Check routes and weights against a model's labels.

        Raises:
            SettingsError: a label is in no route or in two, or a route or weight names what does not exist.
        """
        by_urgency = parse_routes(routes)
        by_weight = parse_weights(weights)
        routed = [label for names in by_urgency.values() for label in names]
        if unknown := sorted(set(routed) - set(labels)):
            raise SettingsError(
                f"--routes: the model has no label {', '.join(unknown)}; it has {', '.join(labels)}"
            )
        if missing := [label for label in labels if label not in routed]:
            raise SettingsError(f"--routes: no urgency for label {', '.join(missing)}; put each in one route")
        if twice := sorted({label for label in routed if routed.count(label) > 1}):
            raise SettingsError(f"--routes: label {', '.join(twice)} is in two routes; put each in one")
        if unknown := sorted(set(by_weight) - set(by_urgency)):
            raise SettingsError(f"--weights: no route is called {', '.join(unknown)}")
        membership = np.zeros((len(labels), len(by_urgency)))
        for column, (urgency, names) in enumerate(by_urgency.items()):
            for label in names:
                membership[labels.index(label), column] = by_weight.get(urgency, 1.0)
        return cls(tuple(by_urgency), membership)

    def urgency(self, probabilities: NDArray[np.float32]) -> list[str]:
        """Choose an urgency for each comment; a tie goes to the more urgent.

        Args:
            probabilities: [comments, labels].
        """
        scores = probabilities.astype(np.float64) @ self.weighted_membership
        return [self.urgencies[column] for column in scores.argmax(axis=1)]

    def summed(self, of_labels: ArrayLike) -> NDArray[np.float64]:
        """Sum what labels have over the labels of each urgency, without weights.

        Args:
            of_labels: [..., labels].

        Returns:
            [..., urgencies].
        """
        summed: NDArray[np.float64] = np.asarray(of_labels, dtype=np.float64) @ (self.weighted_membership > 0)
        return summed

    def shares(self, counts: Sequence[int] | None) -> dict[str, float]:
        """The share that each urgency has of comments of which so many have each label; {} of None."""
        if counts is None:
            return {}
        of_urgencies = self.summed(counts)
        return dict(zip(self.urgencies, (of_urgencies / of_urgencies.sum()).tolist(), strict=True))
