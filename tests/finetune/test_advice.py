"""`python -m finetune advise`, on checkpoints whose probabilities are known."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from finetune.__main__ import main
from finetune.checkpoint import NEEDED

LABELS = ["1", "2", "3", "4", "5"]
ROUTES = {"high": ["1", "2"], "medium": ["3"], "low": ["4", "5"]}


def write_split(path: Path, seed: int, labels: list[int]) -> None:
    """Write a split whose true label is likelier than others, by a random amount."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(len(labels), 5)) + 2 * np.eye(5)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = {
        "text": [f"comment {number}" for number in range(len(labels))],
        "label": [LABELS[label] for label in labels],
        "slice": pa.array([None] * len(labels), pa.string()),
        "tokens": [4] * len(labels),
        "probabilities": probabilities.tolist(),
    }
    parquet.write_table(pa.table(columns), path)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """What advise reads of a checkpoint: 200 comments of each label in each split."""
    record = dict.fromkeys(NEEDED) | {"labels": LABELS, "routes": ROUTES}
    (tmp_path / "training.json").write_text(json.dumps(record))
    for seed, name in enumerate(("validation", "test")):
        write_split(tmp_path / f"{name}.parquet", seed, [number % 5 for number in range(1000)])
    return tmp_path


def test_the_weight_reaches_the_recall(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The advised weight finds the share asked for on validation, in the words the consumer takes."""
    assert main(["advise", "--checkpoint", str(checkpoint), "--minimum-recall", "0.95"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = re.fullmatch(r"--weights 'high: ([0-9.]+)'", lines[0])
    assert found
    validation = next(line.split() for line in lines if line.startswith("validation"))
    assert validation[1] == found[1]
    assert 0.95 <= float(validation[2]) < 0.96


def test_the_cost_is_that_of_the_test_split(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it costs on test stands beside what a weight of 1 costs there: more traffic, less precision."""
    main(["advise", "--checkpoint", str(checkpoint), "--minimum-recall", "0.99"])
    printed = capsys.readouterr().out
    advised, plain = (
        [float(part) for part in line.split()[1:]]
        for line in printed.splitlines()
        if line.startswith("test ")
    )
    assert plain[0] == 1
    assert advised[1] > plain[1]
    assert advised[2] < plain[2]
    assert advised[3] > plain[3]
    assert "The test split has 400 comments of high" in printed


@pytest.mark.parametrize("recall", ["0", "1.1", "much"])
def test_a_recall_that_is_none(recall: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recall that no weight could reach is refused with its bounds."""
    with pytest.raises(SystemExit, match="2"):
        main(["advise", "--checkpoint", str(checkpoint), "--minimum-recall", recall])
    assert "not a number above 0 and at most 1" in capsys.readouterr().err


def test_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that holds no checkpoint ends with 1 and a sentence."""
    assert main(["advise", "--checkpoint", str(tmp_path), "--minimum-recall", "0.9"]) == 1
    assert "name a directory that `python -m finetune` wrote" in capsys.readouterr().err


def test_an_older_checkpoint(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint from before there was advice ends with 1 and says what it lacks."""
    (checkpoint / "training.json").write_text('{"labels": []}')
    assert main(["advise", "--checkpoint", str(checkpoint), "--minimum-recall", "0.9"]) == 1
    assert "is of an older version, it lacks baselines, max_length" in capsys.readouterr().err


def test_without_held_out_comments(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint without its held-out comments ends with 1 and says which file is missing."""
    (checkpoint / "validation.parquet").unlink()
    assert main(["advise", "--checkpoint", str(checkpoint), "--minimum-recall", "0.9"]) == 1
    assert "validation.parquet" in capsys.readouterr().err


def test_nothing_urgent(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A split without an urgent comment, which no weight could find, ends with 1 and says so."""
    write_split(checkpoint / "validation.parquet", 0, [4] * 10)
    assert main(["advise", "--checkpoint", str(checkpoint), "--minimum-recall", "0.9"]) == 1
    assert "the validation split has no comment of high" in capsys.readouterr().err
