"""`python -m finetune measure`: tables of measures, and measures of other comments."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetune import inference
from finetune.__main__ import main
from finetune.checkpoint import NEEDED
from tests.conftest import comments

ROUTES = {"high": ["1", "2"], "medium": ["3"], "low": ["4", "5"]}


def measures(accuracy: float, **other: Any) -> dict[str, Any]:
    """Measures of which only the accuracy matters."""
    urgency = {"high": {"recall": 0.5, "precision": 0.6, "comments": 40}}
    rest = {"macro_f1": 0.1, "expected_calibration_error": 0.02, "brier_score": 0.4}
    return {"comments": 100, "accuracy": accuracy, **rest, "urgency": urgency, **other}


def write(directory: Path, accuracy: float, baselines: dict[str, Any]) -> str:
    """Write what is read of a checkpoint when no model is asked."""
    directory.mkdir()
    record = dict.fromkeys(NEEDED) | {
        "routes": ROUTES,
        "measures": measures(accuracy),
        "baselines": baselines,
    }
    (directory / "training.json").write_text(json.dumps(record))
    return str(directory)


def rows(printed: str) -> dict[str, list[str]]:
    """The cells of each row of a table, by the first."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()]
    return {first: rest for first, *rest in cells}


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint with a model."""
    directory = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, directory)
    record = json.loads((directory / "training.json").read_text())
    (directory / "training.json").write_text(json.dumps({**record, "routes": ROUTES, "baselines": {}}))
    return directory


def test_one_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The measures of the test split stand above those of the baselines, without a spread."""
    assert main(["measure", write(tmp_path / "a", 0.7, {"majority": measures(0.6)})]) == 0
    table = rows(capsys.readouterr().out)
    assert table["this model"][:3] == ["100", "0.700", "0.100"]
    assert table["majority"][:3] == ["100", "0.600", "0.100"]
    assert table["this model"][-2:] == ["0.500", "0.600"]


def test_several_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several checkpoints the mean and the standard deviation are shown; a name says if some lack it."""
    both = {"majority": measures(0.5)}
    first = write(tmp_path / "a", 0.6, both)
    second, third = (
        write(tmp_path / "b", 0.7, {**both, "tf-idf": measures(0.4)}),
        write(tmp_path / "c", 0.8, both),
    )
    assert main(["measure", first, second, third]) == 0
    table = rows(capsys.readouterr().out)
    assert table["this model"][1] == "0.700 ± 0.100"
    assert table["majority"][1] == "0.500 ± 0.000"
    assert table["tf-idf (1 of 3)"][1] == "0.400"


def test_other_comments(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On other comments the model is asked: it is right where the label is what it says."""
    texts = comments(40, seed=9)
    said = inference.load(checkpoint)(texts).argmax(axis=1)
    labels = [(label + (number < 10)) % 5 + 1 for number, label in enumerate(said)]
    lines = [f"{label}\t{text}" for label, text in zip([*labels, 9], [*texts, "x"], strict=True)]
    (tmp_path / "other.tsv").write_text("\n".join(["stars\twords", *lines, ""]))
    flags = ["--data", str(tmp_path / "other.tsv"), "--text-column", "words", "--label-column", "stars"]
    assert main(["measure", str(checkpoint), *flags]) == 0
    table = rows(capsys.readouterr().out)
    assert table["this model"][:2] == ["40", "0.750"]
    assert float(table["this model"][table[""].index("by chance")]) > 0


def test_no_usable_row(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without a usable row ends with 1 and says what to check."""
    (tmp_path / "other.tsv").write_text("star_rating\treview_body\n9\tx\n")
    assert main(["measure", str(checkpoint), "--data", str(tmp_path / "other.tsv")]) == 1
    assert "check --text-column and --label-column" in capsys.readouterr().err
