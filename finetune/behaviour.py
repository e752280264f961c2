"""`python -m finetune check CHECKPOINT`: what a model does with sentences made to try it."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np

from finetune import checkpoint, inference
from finetune.cases import Capability, Demand, Pair, capabilities
from finetune.evaluation import Probabilities
from finetune.urgency import membership

MOST_FAILURES = 0.01  # names, places and pronouns say nothing about how urgent a comment is
EXAMPLES = 3  # of failures, to see what kind they are
QUOTED = 160  # characters of each

Classify = Callable[[Sequence[str]], Probabilities]


class Outcome(NamedTuple):
    """How a capability went.

    limit: the most failures there may be, as a share; None where none is set
    examples: some of the failures, in words
    """

    capability: str
    cases: int
    failures: int
    limit: float | None
    examples: list[str]

    @property
    def rate(self) -> float:
        """The share of cases that failed."""
        return self.failures / self.cases

    @property
    def passed(self) -> bool:
        """Whether the failures stay below the limit, if there is one."""
        return self.limit is None or self.rate < self.limit


def main(argv: Sequence[str]) -> int:
    """Check a checkpoint and print what came out; 1 if names, places or pronouns matter to it, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune check",
        description="Ask a checkpoint about sentences made to try it: names, typos, negation, sarcasm.",
    )
    parser.add_argument("checkpoint", type=Path, help="the directory that `python -m finetune` wrote")
    directory = parser.parse_args(argv).checkpoint
    record = checkpoint.read_record(directory)
    outcomes = check(inference.load(directory), record["labels"], record["routes"])
    print(table(outcomes))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def check(classify: Classify, labels: Sequence[str], routes: Mapping[str, Sequence[str]]) -> list[Outcome]:
    """Return how every capability went; `classify` gives probabilities [texts, labels]."""
    member = membership(labels, routes)
    tried = capabilities()
    texts = list(
        dict.fromkeys(text for capability in tried for case in capability.cases for text in _texts(case))
    )
    places = dict(zip(texts, (classify(texts) @ member).argmax(axis=1).tolist(), strict=True))
    return [_outcome(capability, places, list(routes)) for capability in tried]


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as text for people, with examples of what failed."""
    lines = [f"{'':<26}{'cases':>8}{'failed':>8}{'rate':>9}"]
    for outcome in outcomes:
        limit = (
            ""
            if outcome.limit is None
            else f"  {'ok' if outcome.passed else 'NOT'} below {outcome.limit:.0%}"
        )
        lines.append(
            f"{outcome.capability:<26}{outcome.cases:>8,}{outcome.failures:>8,}{outcome.rate:>9.1%}{limit}"
        )
        lines += [f"    {example}" for example in outcome.examples]
    return "\n".join(lines)


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the outcomes as `training.json` takes them."""
    return [{**outcome._asdict(), "rate": outcome.rate} for outcome in outcomes]


def _texts(case: Pair | Demand) -> tuple[str, ...]:
    return (case.text, case.changed) if isinstance(case, Pair) else (case.text,)


def _outcome(capability: Capability, places: Mapping[str, int], urgencies: list[str]) -> Outcome:
    found = [told for case in capability.cases if (told := _failure(case, places, urgencies))]
    # Evenly from all of them, since neighbours come from one template.
    shown = np.unique(np.linspace(0, len(found) - 1, min(EXAMPLES, len(found))).astype(int))
    return Outcome(
        capability.name,
        len(capability.cases),
        len(found),
        MOST_FAILURES if capability.required else None,
        [found[place] for place in shown],
    )


def _failure(case: Pair | Demand, places: Mapping[str, int], urgencies: list[str]) -> str:
    """What is wrong, in words; empty if nothing is."""
    place = places[case.text]
    if isinstance(case, Pair):
        changed = places[case.changed]
        if place == changed:
            return ""
        return f"{urgencies[place]}: {_quote(case.text)}, {urgencies[changed]}: {_quote(case.changed)}"
    named = urgencies.index(urgencies[case.place])
    if (place == named) == case.only:
        return ""
    return (
        f"{urgencies[place]}, should {'' if case.only else 'not '}be {urgencies[named]}: {_quote(case.text)}"
    )


def _quote(text: str) -> str:
    return f"“{shorten(text, QUOTED, placeholder=' …')}”"
