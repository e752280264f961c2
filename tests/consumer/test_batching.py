"""Micro-batches and the bound of a batch."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.batching import BatchBound, fastest_budget, micro_batches

token_counts = st.lists(st.integers(1, 512), min_size=1, max_size=200)


@given(token_counts, st.integers(1, 4096))
def test_every_text_is_in_one_micro_batch(counts: list[int], budget: int) -> None:
    """Together the micro-batches name every text exactly once."""
    groups = micro_batches(np.array(counts), budget)

    assert sorted(np.concatenate(groups).tolist()) == list(range(len(counts)))


@given(token_counts, st.integers(1, 4096))
def test_padded_size_stays_within_the_budget(counts: list[int], budget: int) -> None:
    """No micro-batch of two or more texts, padded to its longest, exceeds the budget."""
    for group in micro_batches(np.array(counts), budget):
        assert len(group) == 1 or len(group) * max(counts[index] for index in group) <= budget


def test_texts_of_like_length_share_a_micro_batch() -> None:
    """Short and long texts are kept apart, so that the short ones are not padded to the long ones."""
    groups = micro_batches(np.array([100, 3, 99, 2, 98, 1]), 300)

    assert [group.tolist() for group in groups] == [[0, 2, 4], [1, 3, 5]]


def test_bound_is_what_the_device_does_in_the_time() -> None:
    """A device of 40 comments a second gets 60 comments for a second and a half."""
    assert BatchBound(max_seconds=1.5, max_comments=1000, rate=40.0).comments == 60


def test_bound_follows_the_device() -> None:
    """After batches at another rate the bound tends to that rate."""
    bound = BatchBound(max_seconds=1.0, max_comments=10_000, rate=40.0)

    for _ in range(30):
        bound.observe(comments=500, seconds=0.5)

    assert 990 <= bound.comments <= 1000


def test_bound_never_ends_the_stream_or_exceeds_the_limit() -> None:
    """However slow or fast the device, a batch holds at least one comment and at most the limit."""
    assert BatchBound(max_seconds=1.0, max_comments=100, rate=0.001).comments == 1
    assert BatchBound(max_seconds=1.0, max_comments=100, rate=1e9).comments == 100


@given(token_counts, st.integers(1, 4096), st.floats(0, 1000))
def test_padding_in_a_micro_batch_costs_no_more_than_a_run(
    counts: list[int], budget: int, run_cost: float
) -> None:
    """Whatever a run costs, no micro-batch holds more padding than that, and none that it could not avoid."""
    groups = [np.array(counts)[group] for group in micro_batches(np.array(counts), budget, run_cost)]

    assert all((group.max() - group).sum() <= run_cost for group in groups)
    assert sorted(counts) == sorted(np.concatenate(groups).tolist())
    for group, following in pairwise(groups):
        longer = np.append(group, following[0])
        assert (longer.max() - longer).sum() > run_cost or len(longer) * longer.max() > budget


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [
        ([1.0, 2.0, 3.0, 4.0], 8),
        ([1.0, 2.0, 1.99, 2.01], 2),
        ([1.0, 0.9, 2.0, 1.0], 4),
        ([3.0, 2.0, 4.0, 4.0], 1),
        ([1.0, 2.0, None, 4.0], 2),
        ([None, 2.0, 3.0, 4.0], 1),
    ],
)
def test_smallest_budget_as_fast_as_the_fastest_is_chosen(rates: list[float | None], chosen: int) -> None:
    """They are tried from the smallest on, up to the first that is clearly slower or does not fit."""
    budgets = [1, 2, 4, 8]

    def rate(budget: int) -> float:
        measured = rates[budgets.index(budget)]
        if measured is None:
            raise MemoryError
        return measured

    assert fastest_budget(budgets, rate) == chosen
