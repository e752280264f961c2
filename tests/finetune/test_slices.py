"""Parts of a split, against counts made by hand."""

import numpy as np
import pytest

from finetune.held_out import HeldOut
from finetune.slices import Slice, slices


def held_out(right: list[bool], values: list[str | None], tokens: list[int]) -> HeldOut:
    """A split of two labels whose true one is the first, and is found or not."""
    probabilities = np.where(np.array(right)[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
    texts = [str(number) for number in range(len(right))]
    return HeldOut(texts, np.zeros(len(right), dtype=int), values, np.array(tokens), probabilities)


def by_name(found: list[Slice]) -> dict[str, Slice]:
    """The slices by their names."""
    return {one.name: one for one in found}


def test_values_of_the_column() -> None:
    """Each value with enough comments is a slice with its own accuracy; rare ones and none are not."""
    split = held_out(
        [True] * 30 + [False] * 30 + [True] * 10, ["a"] * 40 + ["b"] * 20 + ["c"] * 5 + [None] * 5, [8] * 70
    )
    found = by_name([one for one in slices(split, "shop", 64) if one.kind == "shop"])
    assert found.keys() == {"a", "b"}
    assert (found["a"].comments, found["a"].accuracy) == (40, 0.75)
    assert (found["b"].comments, found["b"].accuracy) == (20, 0.0)


def test_lengths_cover_all() -> None:
    """Every comment is in one slice by length, the last of which ends where comments are cut."""
    split = held_out([True] * 80, [None] * 80, [1, 16, 17, 32, 33, 50, 50, 50] * 10)
    found = by_name(slices(split, "shop", 50))
    assert {name: one.comments for name, one in found.items()} == {
        "up to 16": 20,
        "17 to 32": 20,
        "33 to 50 (or cut to that)": 40,
    }


def test_worse_than_chance_explains() -> None:
    """A slice is worse when the whole's accuracy lies above its interval, not when it is merely lower."""
    split = held_out(
        [True] * 88 + [False] * 12 + [True] * 20 + [False] * 20,
        ["most"] * 60 + ["near"] * 40 + ["bad"] * 40,
        [8] * 140,
    )
    found = by_name(slices(split, "shop", 64))
    assert found["bad"].worse
    assert found["near"].accuracy < 108 / 140
    assert not found["near"].worse
    assert not found["most"].worse


def test_interval() -> None:
    """The bounds are Wilson's: 10 of 20 are 0.299 to 0.701."""
    split = held_out([True] * 10 + [False] * 10, ["a"] * 20, [8] * 20)
    found = by_name(slices(split, "shop", 64))["a"]
    assert (found.low, found.high) == (pytest.approx(0.299, abs=5e-4), pytest.approx(0.701, abs=5e-4))
