"""Training comments with sentences about somebody or some place."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from consumer.window import Window
from finetune import alike, base_model, cases
from finetune.variations import NAMES, PLACES, SENTENCES, Varied, varied


class Draw:
    """Chance that falls as it is told: each draw is below every share, or above."""

    def __init__(self, *falls: bool) -> None:
        self._falls = list(falls)

    def random(self) -> float:
        """The next draw."""
        return 0.0 if self._falls.pop(0) else 0.999

    def choice(self, among: object) -> object:
        """The first of them."""
        return among[0]  # type: ignore[index]


@pytest.mark.parametrize(("before", "expected"), [(True, "{} It broke."), (False, "It broke. {}")])
def test_sentence_is_added(before: bool, expected: str) -> None:
    """A sentence about somebody comes before the comment or after it."""
    sentence = SENTENCES[0].format(name=NAMES[0])
    assert varied("It broke.", Draw(True, before)) == expected.format(sentence)  # type: ignore[arg-type]


def test_most_comments_stay_as_they_are() -> None:
    """Three comments in ten get a sentence."""
    draw = np.random.default_rng(0)
    changed = sum(varied("It broke.", draw) != "It broke." for _ in range(2000)) / 2000
    assert 0.27 < changed < 0.33


def test_what_is_learnt_is_not_what_is_tried() -> None:
    """No name, place or sentence is also one of those by which checkpoints are tried, nor a listed one."""
    tried = " ".join([*cases.WITH_NAME, *cases.WITH_PLACE, *cases.WITH_PRONOUN, *cases.NEUTRAL])
    assert not {*NAMES, *PLACES} & {*cases.UNLISTED_NAMES, *cases.UNLISTED_PLACES}
    assert not {*NAMES, *PLACES} & {*alike.NAMES, *alike.PLACES}
    assert not [sentence for sentence in SENTENCES if sentence in tried]


def test_seed_epoch_and_place_decide(tiny_bert: Path) -> None:
    """The same seed varies a comment alike in the same epoch, and otherwise in the next and elsewhere."""
    text = "ba be bi"
    split = Dataset.from_dict({"text": [text] * 100, "labels": [0] * 100, "length": [5] * 100})
    tokenizer = base_model.load_tokenizer(tiny_bert)

    def of(seed: int, epoch: int) -> list[list[int]]:
        comments = Varied(split, tokenizer, Window(64, 16), seed)
        comments.epoch = epoch
        return [list(comments[index]["input_ids"]) for index in range(100)]

    assert of(0, 1) == of(0, 1)
    assert of(0, 1) != of(0, 2)
    assert of(0, 1) != of(1, 1)
    assert len({tuple(ids) for ids in of(0, 1)}) > 5
