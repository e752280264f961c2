"""The sentences made to try a checkpoint, asked of classifiers whose faults are known."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from finetune import alike, behaviour
from finetune.behaviour import Outcome, check
from finetune.cases import NAMES, PLACES, UNLISTED_NAMES, UNLISTED_PLACES, Pair, capabilities
from finetune.evaluation import Probabilities

LABELS = ("1", "2", "3", "4", "5")
ROUTES = {"high": ("1", "2"), "medium": ("3",), "low": ("4", "5")}
SWAPS = ("names swapped", "places swapped", "pronouns swapped")


def classifier(label_of: Callable[[str], int]) -> behaviour.Classify:
    """A classifier that is certain."""

    def classify(texts: Sequence[str]) -> Probabilities:
        return np.eye(5)[[label_of(text) for text in texts]]

    return classify


def outcomes(label_of: Callable[[str], int]) -> dict[str, Outcome]:
    """How every capability goes with a classifier."""
    return {one.capability: one for one in check(classifier(label_of), LABELS, ROUTES)}


def test_every_capability_has_cases() -> None:
    """Each capability is there, with cases that differ, the same at each call."""
    tried = capabilities()
    assert [one.name for one in tried] == [
        *SWAPS,
        "unlisted names swapped",
        "unlisted places swapped",
        "typos",
        "a neutral sentence added",
        "ALL CAPS",
        "negation",
        "not bad at all",
        "sarcasm",
        "urgency without anger",
        "anger without urgency",
    ]
    assert all(len(set(one.cases)) == len(one.cases) >= 40 for one in tried)
    assert capabilities() == tried


def test_what_is_listed() -> None:
    """The names and places that must not matter are listed ones; the others show what is learnt."""
    assert {*NAMES} <= {*alike.NAMES}
    assert {*PLACES} <= {*alike.PLACES}
    assert not {*UNLISTED_NAMES, *UNLISTED_PLACES} & {*alike.NAMES, *alike.PLACES}


def test_pairs_differ() -> None:
    """The two texts of a pair are not the same."""
    pairs = [case for one in capabilities() for case in one.cases if isinstance(case, Pair)]
    assert all(pair.text != pair.changed for pair in pairs)


def test_who_reads_nothing() -> None:
    """A classifier with one answer passes every pair, and fails where that answer is wrong."""
    always_low = outcomes(lambda _: 4)
    assert all(always_low[name].failures == 0 and always_low[name].passed for name in SWAPS)
    assert always_low["sarcasm"].rate == always_low["negation"].rate == 1
    assert always_low["urgency without anger"].rate == 1
    assert always_low["not bad at all"].failures == always_low["anger without urgency"].failures == 0


@pytest.mark.parametrize(
    ("words", "name"),
    [(NAMES[:15], "names swapped"), (PLACES[:15], "places swapped"), (("she ", "her "), "pronouns swapped")],
)
def test_who_goes_by_names(words: Sequence[str], name: str) -> None:
    """A classifier to which some names, places or pronouns are urgent does not pass."""
    result = outcomes(
        lambda text: 0 if any(word in f"{text.lower()} " for word in map(str.lower, words)) else 4
    )[name]
    assert result.rate > 0.3
    assert not result.passed


def test_who_cannot_read_capitals() -> None:
    """A classifier to which capitals are urgent fails at capitals, and is only told so."""
    result = outcomes(lambda text: 0 if text.isupper() else 4)["ALL CAPS"]
    assert result.rate > 0.9
    assert result.passed


def test_failures_are_shown() -> None:
    """A failure says in words what came out, what would have been right, and of which text."""
    always_low = outcomes(lambda _: 4)
    assert always_low["sarcasm"].examples[0].startswith("low, should not be low: “")
    assert always_low["urgency without anger"].examples[0].startswith("low, should be high: “")
    capitals = outcomes(lambda text: 0 if text.isupper() else 4)["ALL CAPS"].examples[0]
    assert capitals.startswith("low: ")
    assert ", high: " in capitals


def test_table() -> None:
    """The table names each capability with its rate and says whether the limit is kept."""
    printed = behaviour.table(check(classifier(lambda text: 0 if "Lagos" in text else 4), LABELS, ROUTES))
    lines = {line.split("  ")[0]: line for line in printed.splitlines()}
    assert lines["names swapped"].endswith("ok below 1%")
    assert lines["places swapped"].endswith("NOT below 1%")
    assert "100.0%" in lines["sarcasm"]
