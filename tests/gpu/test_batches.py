"""Micro-batches of tokens."""

import numpy as np

from tests.gpu import batches


def test_texts_are_padded_on_the_right() -> None:
    """Each text's tokens come first, then zeros, and the mask says which are which."""
    input_ids, attention_mask = batches.padded([np.array([7, 8, 9]), np.array([6])])

    assert input_ids.tolist() == [[7, 8, 9], [6, 0, 0]]
    assert attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_every_text_is_in_one_batch_under_the_budget() -> None:
    """Grouped texts are all there, once, and no batch is wider than the budget."""
    tokens = batches.drawn([3, 30, 7, 12, 12, 1], vocabulary=100)

    ready = batches.grouped(tokens, token_budget=36)

    rows = [ids[mask == 1].tolist() for batch in ready for ids, mask in zip(*batch, strict=True)]
    assert sorted(rows) == sorted(one.tolist() for one in tokens)
    assert all(input_ids.size <= 36 for input_ids, _ in ready)
