"""`python -m finetune measure`: a table of how good checkpoints are, on their test split or others."""

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune import checkpoint, inference
from finetune.data import LABEL_COLUMN, TEXT_COLUMN, read_rows
from finetune.errors import DataError
from finetune.evaluation import measure

Measures = Mapping[str, Any]

MODEL = "this model"


def main(argv: Sequence[str]) -> int:
    """Print the table; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune measure",
        description="Print how good checkpoints are as a Markdown table, of several the mean and the spread. "
        "Without --data of the test split of each, with its baselines, as training.json has it. Beside the "
        "calibration error stands what a perfectly calibrated model would show on so few comments by chance.",
    )
    parser.add_argument(
        "checkpoints", type=Path, nargs="+", metavar="CHECKPOINT", help="what `python -m finetune` wrote"
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="other comments to measure on, in any format that fine-tuning reads",
    )
    for name, default, what in (
        ("--text-column", TEXT_COLUMN, "the column with the comment (default: %(default)s)"),
        ("--label-column", LABEL_COLUMN, "the column with the label (default: %(default)s)"),
        ("--headline-column", None, "a column to put before the comment, on its own line"),
    ):
        parser.add_argument(name, default=default, metavar="NAME", help=what)
    options = parser.parse_args(argv)
    records = [checkpoint.read_record(directory) for directory in options.checkpoints]
    if options.data:
        columns = {name: vars(options)[name] for name in ("text_column", "label_column", "headline_column")}
        runs = [
            {MODEL: _on_data(directory, record, options.data, columns)}
            for directory, record in zip(options.checkpoints, records, strict=True)
        ]
    else:
        runs = [{MODEL: record["measures"], **record["baselines"]} for record in records]
    print(table(runs, next(iter(records[0]["routes"]))))
    return 0


def table(runs: Sequence[Mapping[str, Measures]], urgency: str) -> str:
    """Return a row for each name: the mean, and ± the standard deviation; the name says if some runs lack it.

    Args:
        runs: each with the measures of the model and of its baselines, by name.
        urgency: the most urgent.
    """
    columns: dict[str, Callable[[Measures], float | None]] = {
        "accuracy": lambda one: one["accuracy"],
        "macro-F1": lambda one: one["macro_f1"],
        "mean error": lambda one: one.get("mean_absolute_error"),
        "kappa": lambda one: one.get("quadratic_weighted_kappa"),
        "calibration error": lambda one: one["expected_calibration_error"],
        "by chance": lambda one: one.get("calibration_error_by_chance"),
        "Brier": lambda one: one["brier_score"],
        f"recall of {urgency}": lambda one: one["urgency"][urgency]["recall"],
        f"precision of {urgency}": lambda one: one["urgency"][urgency]["precision"],
    }
    lines = [f"| | comments | {' | '.join(columns)} |", "| --- |" + " ---: |" * (1 + len(columns))]
    for name in dict.fromkeys(name for run in runs for name in run):
        measured = [run[name] for run in runs if name in run]
        cells = [_spread([column(one) for one in measured]) for column in columns.values()]
        of_runs = "" if len(measured) == len(runs) else f" ({len(measured)} of {len(runs)})"
        lines.append(f"| {name}{of_runs} | {_comments(measured)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _comments(measured: Sequence[Measures]) -> str:
    return " to ".join(f"{count:,}" for count in sorted({one["comments"] for one in measured}))


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean = f"{statistics.fmean(known):.3f}"
    return f"{mean} ± {statistics.stdev(known):.3f}" if len(known) > 1 else mean


def _on_data(
    directory: Path, record: Mapping[str, Any], files: Sequence[Path], columns: Mapping[str, Any]
) -> Measures:
    labels = record["labels"]
    rows = [row for path in files for row in read_rows(path, **columns, labels=labels) if row.problem is None]
    if not rows:
        raise DataError(
            f"no usable row in {', '.join(map(str, files))}: check --text-column and --label-column"
        )
    probabilities = inference.load(directory)([row.text for row in rows])
    return measure(
        probabilities, np.array([labels.index(row.label) for row in rows]), labels, record["routes"]
    )
