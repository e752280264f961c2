"""Does an answer depend on the texts that share its batch?"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.gpu.record import Figure, Result, Verdict

Classify = Callable[[Sequence[str]], NDArray[np.float32]]

# So few that they share a micro-batch with the text, enough to change the shape of everything.
NEIGHBOURS = 3


def check(classify: Classify, texts: Sequence[str], *, long: str, short: str) -> Result:
    """Ask about each text alone, among all, among all in another order, and beside long and short neighbours.

    Args:
        classify: texts -> probabilities [texts, labels].
        texts: what to ask.
        long: a text as long as the model reads; a text beside it is padded most.
        short: a text of one word; a text beside it is the longest of its batch.
    """
    alone = np.concatenate([classify([text]) for text in texts])
    answers = {
        "all in one batch": classify(texts),
        "all in one batch, backwards": classify(texts[::-1])[::-1],
        "beside long texts": _beside(classify, texts, long),
        "beside short texts": _beside(classify, texts, short),
    }
    rows, changes = [], 0
    for name, answer in answers.items():
        row, changed = _compared(name, answer, alone)
        rows.append(row)
        changes += changed
    verdict = Verdict(
        claim="no label depends on the batch",
        measured=f"{changes} changes in {len(answers)} x {len(texts):,} labels",
        held=changes == 0,
        hard=True,
    )
    return Result(rows=rows, verdicts=[verdict])


def _beside(classify: Classify, texts: Sequence[str], neighbour: str) -> NDArray[np.float32]:
    return np.stack([classify([text, *[neighbour] * NEIGHBOURS])[0] for text in texts])


def _compared(
    name: str, answer: NDArray[np.float32], alone: NDArray[np.float32]
) -> tuple[dict[str, Figure], int]:
    """A row of the table, and how many labels changed."""
    changed = answer.argmax(axis=1) != alone.argmax(axis=1)
    # Tells a label that was as good as tied, and fell to rounding, from one that its neighbours decided.
    second, first = np.sort(alone[changed], axis=1)[:, -2:].T
    row: dict[str, Figure] = {
        "each text against itself alone": name,
        "largest difference of a probability": float(np.abs(answer - alone).max()),
        "labels changed": int(changed.sum()),
        "their largest lead alone": float((first - second).max()) if changed.any() else "",
    }
    # NaN has a label too, always the same one.
    return row, int(changed.sum()) + int((~np.isfinite(answer)).any(axis=1).sum())
