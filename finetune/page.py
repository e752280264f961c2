"""`report.html`: one file that opens from disk and says how good a checkpoint is, and where it is not."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from finetune import checkpoint, figures, held_out, urgency
from finetune.evaluation import reliability
from finetune.held_out import HeldOut
from finetune.slices import slices

WRONG = 20  # comments shown
WEIGHTS = (1.0, 2.0, 5.0, 10.0)


class Wrong(NamedTuple):
    """A comment of which the model was sure, and wrong."""

    text: str
    label: str
    predicted: str
    confidence: float


def render(directory: Path) -> str:
    """Return the page of a checkpoint, from its `training.json` and its held-out comments.

    Raises:
        CheckpointError: one of them is missing or damaged.
    """
    record = checkpoint.read_record(directory)
    labels = record["labels"]
    validation, test = (
        held_out.read(directory / f"{name}.parquet", labels) for name in ("validation", "test")
    )
    cost = urgency.Costs.of(test.probabilities, test.labels, labels, record["routes"])
    marked = [cost.at(weight) for weight in WEIGHTS]
    pictures = {
        "labels": figures.labels(record["data"]["labels"]),
        "lengths": figures.lengths([*validation.tokens, *test.tokens], record["max_length"]),
        "learning": figures.learning(record["history"]),
        "reliability": figures.reliability(
            record["measures"]["before_scaling"]["reliability"], reliability(test.probabilities, test.labels)
        ),
        "misses": figures.misses(cost.curve(), marked, next(iter(record["routes"]))),
    }
    environment = Environment(
        loader=PackageLoader("finetune", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        record=record,
        most_urgent=next(iter(record["routes"])),
        marked=marked,
        wrong=_wrong(test, labels),
        slices=slices(test, record["slice_column"], record["max_length"]),
        pictures={name: Markup(picture) for name, picture in pictures.items()},  # noqa: S704 made here
    )


def _wrong(split: HeldOut, labels: list[str]) -> list[Wrong]:
    """The comments whose wrong label the model was surest of."""
    predicted, confidence = split.probabilities.argmax(axis=1), split.probabilities.max(axis=1)
    places = np.flatnonzero(predicted != split.labels)
    surest = places[np.argsort(-confidence[places], kind="stable")][:WRONG]
    return [
        Wrong(
            split.texts[place],
            labels[split.labels[place]],
            labels[predicted[place]],
            float(confidence[place]),
        )
        for place in surest
    ]
