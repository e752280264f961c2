"""`python -m finetune advise`: the weight that finds enough of the urgent comments, and what it costs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import binomtest  # type: ignore[import-untyped]

from finetune import checkpoint, held_out
from finetune.errors import CheckpointError
from finetune.urgency import Costs

CONFIDENCE = 0.95


def main(argv: Sequence[str]) -> int:
    """Print the advice; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune advise",
        description="Name the --weights of the consumer that finds a share of the urgent comments on the "
        "validation split, and say what it costs on the test split.",
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="DIR", help="what `python -m finetune` wrote"
    )
    parser.add_argument(
        "--minimum-recall",
        type=_share,
        required=True,
        metavar="X",
        help="the share of urgent comments to be found, above 0 and at most 1",
    )
    options = parser.parse_args(argv)
    print(advise(options.checkpoint, options.minimum_recall))
    return 0


def advise(directory: Path, minimum_recall: float) -> str:
    """Return the advice for a checkpoint, in words.

    Raises:
        CheckpointError: it is incomplete, or its validation or test split has no urgent comment.
    """
    record = checkpoint.read_record(directory)
    labels, routes = record["labels"], record["routes"]
    urgency = next(iter(routes))
    costs = {}
    for name in ("validation", "test"):
        split = held_out.read(directory / f"{name}.parquet", labels)
        costs[name] = Costs.of(split.probabilities, split.labels, labels, routes)
        if not len(costs[name].urgent):
            raise CheckpointError(f"the {name} split has no comment of {urgency}: fine-tune on more comments")
    weight = costs["validation"].weight_for(minimum_recall)
    urgent = len(costs["test"].urgent)
    lines = [
        f"--weights '{urgency}: {weight:g}'",
        "",
        f"{'on':<12}{'weight':>8}{'recall':>9}{'precision':>11}{'traffic':>9}",
    ]
    for name, one in (("validation", weight), ("test", weight), ("test", 1.0)):
        cost = costs[name].at(one)
        lines.append(f"{name:<12}{one:>8g}{cost.recall:>9.3f}{cost.precision:>11.3f}{cost.traffic:>9.3f}")
    found = round(costs["test"].at(weight).recall * urgent)
    low, high = binomtest(found, urgent).proportion_ci(CONFIDENCE, method="wilson")
    lines += [
        "",
        f"recall: of the comments of {urgency}, how many are routed there; precision: of those routed there, "
        "how many are of it; traffic: of all comments, how many are routed there.",
        f"The test split has {urgent:,} comments of {urgency}: its recall means {low:.3f} to {high:.3f} "
        f"({CONFIDENCE:.0%} confidence).",
    ]
    return "\n".join(lines)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 1")
    return share
