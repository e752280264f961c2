"""Comments not trained on, with what the model makes of them: `validation.parquet` and `test.parquet`."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray
from pyarrow import parquet

from finetune.errors import CheckpointError
from finetune.evaluation import Numbers, Probabilities

_COLUMNS = ("text", "label", "slice", "tokens", "probabilities")


class HeldOut(NamedTuple):
    """A split.

    texts: [comments]
    labels: [comments], places in the list of labels
    slices: [comments], the values of the column that is measured apart, None where there is none
    tokens: [comments], special ones included, after cutting
    probabilities: [comments, labels], calibrated
    """

    texts: list[str]
    labels: Numbers
    slices: list[str | None]
    tokens: NDArray[np.int64]
    probabilities: Probabilities


def write(path: Path, split: Dataset, labels: tuple[str, ...], probabilities: Probabilities) -> None:
    """Write a tokenised split with its probabilities, [comments, labels] in the split's order."""
    columns = {
        "text": split.data.column("text"),
        "label": [labels[place] for place in split["labels"]],
        "slice": split.data.column("slice"),
        "tokens": split.data.column("length"),
        "probabilities": probabilities.tolist(),
    }
    parquet.write_table(pa.table(columns), path)


def read(path: Path, labels: list[str]) -> HeldOut:
    """Read what `write` wrote.

    Raises:
        CheckpointError: it is missing, damaged, or of an older version.
    """
    try:
        columns: dict[str, Any] = parquet.read_table(path, columns=list(_COLUMNS)).to_pydict()
        return HeldOut(
            texts=columns["text"],
            labels=np.array([labels.index(label) for label in columns["label"]]),
            slices=columns["slice"],
            tokens=np.array(columns["tokens"]),
            probabilities=np.array(columns["probabilities"]),
        )
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise CheckpointError(f"cannot read {path} ({error}): fine-tune again") from None
