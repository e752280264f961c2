"""The baselines, on comments whose words tell the label."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumer.window import Window
from finetune import alike, base_model, baselines, splits
from finetune.settings import BASELINES, Settings

Measured = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def measure(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_bert: Path,
    comments: Any,
    write_reviews: Any,
    settings: Callable[..., Settings],
) -> Callable[..., Measured]:
    """Gives baselines' measures of 600 comments, half of them of one label."""
    folder = tmp_path_factory.mktemp("baselines")
    rows = [row for row in comments(1000) if row[0] == "5"] + comments(400, seed=1)
    data = write_reviews(folder / "a.tsv", rows)
    tokenizer = base_model.load_tokenizer(tiny_bert)
    alike.add(tokenizer)
    splits.prepare(settings(data, folder), ["0"], tokenizer, Window(32, 8), folder)

    def run(*names: str) -> Measured:
        asked = settings(data, folder, "--baselines", ",".join(names))
        return baselines.measure_all(asked, splits.load(folder), tiny_bert, tokenizer, folder / "work")

    return run


@pytest.fixture(scope="module")
def measured(measure: Callable[..., Measured]) -> Measured:
    """Every baseline's measures."""
    return measure(*BASELINES)


def test_all_are_measured(measured: Measured) -> None:
    """Each baseline has the measures that the model has, of the same comments."""
    assert tuple(measured) == BASELINES
    assert {one["comments"] for one in measured.values()} == {60}
    assert all({"accuracy", "macro_f1", "brier_score", "urgency"} <= one.keys() for one in measured.values())


def test_majority(measured: Measured) -> None:
    """The majority baseline is right for the commonest label, and for no other."""
    confusion = measured["majority"]["confusion"]
    assert [sum(row[:4]) for row in confusion] == [0] * 5
    assert measured["majority"]["accuracy"] == pytest.approx(28 / 60)


def test_words(measured: Measured) -> None:
    """Counted words tell labels that words tell."""
    assert measured["tf-idf"]["accuracy"] > 0.7


def test_frozen_encoder(measured: Measured) -> None:
    """What even a random encoder makes of the words tells more than the commonest label."""
    assert measured["frozen-encoder"]["macro_f1"] > measured["majority"]["macro_f1"] + 0.1


def test_trainer_defaults(measured: Measured) -> None:
    """The baseline of Trainer's defaults has trained: its probabilities differ from comment to comment."""
    confusion = measured["trainer-defaults"]["confusion"]
    assert sum(map(sum, confusion)) == 60
    assert measured["trainer-defaults"]["brier_score"] != measured["majority"]["brier_score"]


def test_more_comments_than_fit(measure: Callable[..., Measured], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more comments than are held in memory some from the whole file are learnt from."""
    monkeypatch.setattr(baselines, "LIMIT", 200)
    found = measure("tf-idf", "frozen-encoder")
    assert found["tf-idf"]["comments"] == 60
    assert found["tf-idf"]["macro_f1"] > 0.2
    assert found["frozen-encoder"]["macro_f1"] > 0.2
